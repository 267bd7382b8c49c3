"""``python -m features``: look at the catalogue, at what would be computed, and at proofs that nothing leaks."""

from __future__ import annotations

import json
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import Annotated

import typer

from competitions import open_dataset
from engine import Settings, Store, out, room_app, run_room, settings_of
from features import Catalogue, FeatureError, _audit, _cards, load_catalogue, load_registry
from validation import Window, plan_folds

app = room_app("The feature catalogue: what there is, what it takes, and whether it can be trusted.")

Pattern = Annotated[str, typer.Argument(help="Names with * and ?.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@app.command("list")
def list_features(ctx: typer.Context, pattern: Pattern = "*", as_json: AsJson = False) -> None:
    """List the catalogue: name, meaning, key, what it needs, dtype, cost when known; and what is not available."""
    settings, catalogue, windows = _bound(ctx)
    names = _matching(catalogue, pattern)
    rows = _cards.catalogue_rows(catalogue, names, windows[-1], Store(settings.store))
    lacking = {n: r for n, r in catalogue.unavailable.items() if fnmatchcase(n, pattern)}
    if as_json:
        typer.echo(json.dumps({"features": rows, "unavailable": lacking}, indent=1))
        return
    out.print(_cards.catalogue_table(rows))
    if lacking:
        out.print(_cards.unavailable_table(lacking))


@app.command()
def explain(ctx: typer.Context, pattern: Pattern = "*", as_json: AsJson = False) -> None:
    """Show the passes over the log, which features share them, and what is missing in the store and why."""
    settings, catalogue, windows = _bound(ctx)
    facts = _cards.plan_facts(catalogue, _matching(catalogue, pattern), windows, Store(settings.store))
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    for table in _cards.plan_tables(facts):
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
    found = _audit.stored_audit(catalogue, plan_folds(dataset, settings.folds), names, settings, full=full)
    if as_json:
        typer.echo(json.dumps([asdict(f) for f in found.findings], indent=1))
    else:
        for table in _audit.audit_tables(found):
            out.print(table)
    if not exit_zero and (found.defects or (strict and found.findings)):
        raise typer.Exit(1)


@app.command()
def card(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A feature function, a column, or a pattern with * and ?.")],
) -> None:
    """Show what columns look like, are worth and cost, here and as a page in reports/; computes what is missing."""
    settings = settings_of(ctx)
    dataset = open_dataset(settings)
    _cards.show_card(dataset, load_catalogue(dataset), name, settings)


@app.command("new")
def new_feature(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Of the file and the feature, as in fresh_likes.")],
    kind: Annotated[_cards.Kind, typer.Option(help="Which of the five ways to write it in.")] = "aggregate",
) -> None:
    """Write features/NAME.py with an example that runs here, compute it and show its card."""
    settings = settings_of(ctx)
    _cards.begin_feature(name, kind, open_dataset(settings), settings)


@app.command("page")
def write_catalogue_page(
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether it is current; exit code 1 if not.")
    ] = False,
) -> None:
    """Write docs/features.md, the catalogue with meanings, from the feature files. Needs no data."""
    text = _cards.page_text(load_registry())
    if check:
        _cards.check_page(text)
        out.print("docs/features.md is current.")
        return
    out.print(f"docs/features.md: {'written' if _cards.write_page(text) else 'current already'}.")


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
