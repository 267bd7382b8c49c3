"""``python -m features``: look at the catalogue, at what would be computed, and at proofs that nothing leaks."""

from __future__ import annotations

import json
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.text import Text

from competitions import Dataset, open_dataset, random_tables, take_in
from engine import Settings, Store, console, out, room_app, run_room, settings_of, write_atomically
from features import Catalogue, FeatureError, load_catalogue
from features._audit import Finding, audit, audit_processes
from features._card import card_columns, card_file_name, make_cards
from features._card_page import cards_html
from features._card_show import show_cards
from features._explain import plan_facts, plan_tables
from features._new import import_feature, next_steps, write_feature
from features._new_bodies import Kind
from features._show import catalogue_rows, catalogue_table, findings_table, unavailable_table
from validation import Window, plan_folds

app = room_app("The feature catalogue: what there is, what it takes, and whether it can be trusted.")

Pattern = Annotated[str, typer.Argument(help="Names with * and ?.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@app.command("list")
def list_features(ctx: typer.Context, pattern: Pattern = "*", as_json: AsJson = False) -> None:
    """List the catalogue: name, meaning, key, what it needs, dtype, cost when known; and what is not available."""
    settings, catalogue, windows = _bound(ctx)
    names = _matching(catalogue, pattern)
    rows = catalogue_rows(catalogue, names, windows[-1], Store(settings.store))
    lacking = {n: r for n, r in catalogue.unavailable.items() if fnmatchcase(n, pattern)}
    if as_json:
        typer.echo(json.dumps({"features": rows, "unavailable": lacking}, indent=1))
        return
    out.print(catalogue_table(rows))
    if lacking:
        out.print(unavailable_table(lacking))


@app.command()
def explain(ctx: typer.Context, pattern: Pattern = "*", as_json: AsJson = False) -> None:
    """Show the passes over the log, which features share them, and what is missing in the store and why."""
    settings, catalogue, windows = _bound(ctx)
    facts = plan_facts(catalogue, _matching(catalogue, pattern), windows, Store(settings.store))
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    for table in plan_tables(facts):
        out.print(table)


@app.command("audit")
def audit_features(ctx: typer.Context, pattern: Pattern = "*", as_json: AsJson = False) -> None:
    """Prove on the real log and on a generated one that no feature knows the future; exit code 1 if one does."""
    settings, catalogue, windows = _bound(ctx)
    names = _matching(catalogue, pattern)
    train_and_eval = [windows[0], windows[-2]]
    console.print(f"Auditing {len(names)} features in {len(train_and_eval)} windows of the real log ...")
    findings = audit(catalogue, train_and_eval, names, seed=settings.seed)
    findings += audit_processes(catalogue, train_and_eval, names, settings)
    console.print("Auditing on a generated log ...")
    findings += _audit_generated(catalogue.dataset, names, settings)
    if as_json:
        typer.echo(json.dumps([asdict(f) for f in findings], indent=1))
    elif findings:
        out.print(findings_table(findings))
    else:
        out.print(
            f"[green]No finding.[/] {len(names)} features are the same everywhere and do not know the future."
        )
    if findings:
        raise typer.Exit(1)


@app.command()
def card(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A feature function, a column, or a pattern with * and ?.")],
) -> None:
    """Show what columns look like, are worth and cost, here and in reports/card_NAME.html; computes what is missing."""
    settings = settings_of(ctx)
    dataset = open_dataset(settings)
    show_card(dataset, load_catalogue(dataset), name, settings)


def show_card(dataset: Dataset, catalogue: Catalogue, name: str, settings: Settings) -> None:
    """Compute, print and write the cards that a name stands for."""
    folds = plan_folds(dataset, settings.folds)
    cards = make_cards(catalogue, folds, card_columns(catalogue, name), Store(settings.store), settings)
    show_cards(cards, out)
    path = settings.reports / card_file_name(name)
    write_atomically(path, cards_html(name, dataset.competition.title, cards))
    out.print(Text(f"Card: {path}"))


@app.command("new")
def new_feature(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Of the file and the feature, as in fresh_likes.")],
    kind: Annotated[Kind, typer.Option(help="Which of the four ways to write it in.")] = "aggregate",
) -> None:
    """Write features/NAME.py with an example that runs here, compute it and show its card."""
    settings = settings_of(ctx)
    dataset = open_dataset(settings)
    path = write_feature(name, kind, load_catalogue(dataset))
    out.print(Text(f"Written: features/{path.name} (@{kind})", style="bold"))
    import_feature(name)
    # In this process: a worker would refuse a file that is newer than the run.
    inline = settings.model_copy(update={"backend": "inline"})
    show_card(dataset, load_catalogue(dataset), name, inline)
    out.print(Text.assemble(("Next: ", "bold"), next_steps(name)))


def _audit_generated(dataset: Dataset, names: list[str], settings: Settings) -> list[Finding]:
    tables = random_tables(dataset.competition, n_users=60, n_items=80, n_rows=2000, seed=settings.seed)
    with TemporaryDirectory() as folder:
        generated = take_in(dataset.competition, tables, Path(folder), fingerprint="generated")
        catalogue = load_catalogue(generated)
        window = plan_folds(generated, settings.folds).folds[-1].eval
        return audit(catalogue, [window], [n for n in names if n in catalogue.columns], seed=settings.seed)


def _bound(ctx: typer.Context) -> tuple[Settings, Catalogue, tuple[Window, ...]]:
    settings = settings_of(ctx)
    dataset = open_dataset(settings)
    return settings, load_catalogue(dataset), plan_folds(dataset, settings.folds).windows


def _matching(catalogue: Catalogue, pattern: str) -> list[str]:
    names = [name for name in catalogue.columns if fnmatchcase(name, pattern)]
    if not names and not any(fnmatchcase(name, pattern) for name in catalogue.unavailable):
        catalogue.closure([pattern])  # raises with the nearest name
        raise FeatureError(f"No feature matches {pattern!r}.")
    return names


if __name__ == "__main__":
    run_room(app)
