"""``python -m features``: look at the catalogue, at what would be computed, and at proofs that nothing leaks."""

from __future__ import annotations

import json
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import Annotated

import typer
from rich.text import Text

from competitions import Dataset, open_dataset
from engine import SamewiseError, Settings, Store, out, room_app, run_room, settings_of, write_atomically
from features import Catalogue, FeatureError, load_catalogue, load_registry
from features._audit import audit_tables, stored_audit
from features._cards import (
    Kind,
    card_columns,
    card_file_name,
    cards_html,
    catalogue_rows,
    catalogue_table,
    check_page,
    import_feature,
    make_cards,
    next_steps,
    plan_facts,
    plan_tables,
    show_cards,
    unavailable_table,
    write_feature,
    write_page,
)
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
def audit_features(
    ctx: typer.Context,
    pattern: Pattern = "*",
    full: Annotated[bool, typer.Option("--full", help="On the whole log and all pairs: takes long.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail, too.")] = False,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Show and store, and never fail.")] = False,
    as_json: AsJson = False,
) -> None:
    """Prove that no feature knows the future and that each is the same everywhere; exit code 1 if one is not.

    On a small log cut from the real one. Warnings tell of drift, near-duplicates and constants; the result is stored
    and stands in the report.
    """
    settings = settings_of(ctx)
    dataset = open_dataset(settings)
    catalogue = load_catalogue(dataset)
    names = _matching(catalogue, pattern)
    if not names:
        raise FeatureError(
            f"No feature that matches {pattern!r} is available here: there is nothing to audit.",
            todo=f"python -m features list '{pattern}' says what they need",
        )
    found = stored_audit(catalogue, plan_folds(dataset, settings.folds), names, settings, full=full)
    if as_json:
        typer.echo(json.dumps([asdict(f) for f in found.findings], indent=1))
    else:
        for part in audit_tables(found):
            out.print(part)
    if not exit_zero and (found.defects or (strict and found.findings)):
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
    # In this process: a worker would refuse a file that is newer than the run.
    inline = settings.model_copy(update={"backend": "inline"})
    try:
        import_feature(name)
        show_card(dataset, load_catalogue(dataset), name, inline)
    except SamewiseError as error:
        raise FeatureError(
            f"features/{path.name} is written and stays, but its card could not be made: {error}",
            todo=f"edit it, then python -m features card {name}; or delete it",
        ) from error
    out.print(Text.assemble(("Next: ", "bold"), next_steps(name)))


@app.command("page")
def write_catalogue_page(
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether it is current; exit code 1 if not.")
    ] = False,
) -> None:
    """Write docs/features.md, the catalogue with meanings, from the feature files. Needs no data."""
    registry = load_registry()
    if check:
        check_page(registry)
        out.print("docs/features.md is current.")
        return
    changed = write_page(registry)
    out.print(f"docs/features.md: {'written' if changed else 'current already'}.")


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
