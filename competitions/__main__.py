"""Command line: which competitions there are, what one declares, what its data hold."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from competitions._begin import begin_competition
from competitions._competition import Competition, LogShare
from competitions._dataset import Dataset
from competitions._dense import dense_outcome
from competitions._discover import competitions, get_competition
from competitions._intake import open_dataset, taken_notes
from competitions.simulator import (
    LAYOUTS,
    ORDER_BLIND,
    STATISTICIAN,
    Ceiling,
    Simulated,
    ceiling,
    origin_of,
    simulate,
)
from engine import ConfigError, as_typed, out, room_app, run_room, settings_of

N_BARS = 20
N_SPANS = 12

app = room_app("What a competition gives: tables, roles, clock, target, metric, file format.")


@app.command("list")
def list_competitions() -> None:
    """List the competitions of this checkout."""
    table = Table("name", "title", "clock", "metric", title="competitions")
    for c in competitions().values():
        table.add_row(c.name, c.title, c.clock.kind, c.metric.name)
    out.print(table)


@app.command()
def show(name: Annotated[str, typer.Argument(help="Name of a competition, as `list` gives it.")]) -> None:
    """Show what a competition declares. Reads no data."""
    for table in _declaration(get_competition(name)):
        out.print(table)


@app.command()
def check(
    ctx: typer.Context,
    rehash: Annotated[
        bool, typer.Option(help="Read the input files even if their time stamps are old.")
    ] = False,
) -> None:
    """Check all that the competition, the settings and the features say, take the data in, and show what they hold."""
    settings = settings_of(ctx)
    # The rooms that know models and features lie above this one: only this command asks them.
    plan = import_module("stacking").make_plan
    if rehash:
        open_dataset(settings, rehash=True)
    found = plan(settings, with_keys=False)
    unread = [f"{n} ({dtype})" for n, dtype in found.catalogue.unread(found.all_columns).items()]
    notes = taken_notes(settings)
    if unread:
        notes.append(
            f"No feature that models are given reads {', '.join(unread)} of the pairs: write one "
            "(`python -m features new NAME --kind per_pair`), or leave the columns out of the competition."
        )
    if keys := found.dataset.all_new:
        left_out = [n for n, why in found.catalogue.unavailable.items() if "with a past" in why]
        notes.append(
            f"No test pair has a {' or a '.join(map(repr, keys))} with a past: {len(left_out)} columns would be the "
            "same for all of them and are not computed (`python -m features list` names them)."
        )
    for table in _holdings(found.dataset, notes):
        out.print(table)


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Of the competition and of its file: my_feed.")],
    data: Annotated[
        Path,
        typer.Option(help="Folder of its files and subfolders: CSV, TSV, Parquet, JSON lines; .gz, .zst."),
    ],
    user: Annotated[str | None, typer.Option(help="The log's column of users, instead of a guess.")] = None,
    item: Annotated[str | None, typer.Option(help="The log's column of items, instead of a guess.")] = None,
) -> None:
    """Look at the files of a competition and write its first adapter: a short file in which every guess says why."""
    path = begin_competition(name, data, user=user, item=item)
    out.print(path.read_text(encoding="utf-8"), markup=False, highlight=False, soft_wrap=True)
    out.print(f"Written: competitions/{path.name}. Look at every guess in it; then:", markup=False)
    settings = f"--set competition={name} --set data={shlex.quote(str(data))}"
    out.print(as_typed(f"-m competitions check {settings}"), soft_wrap=True)


@app.command("simulate")
def simulate_files(
    name: Annotated[str, typer.Argument(help="vk2024, or a foreign layout: clicks, lists, ratings.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder for the files: empty, or not there yet.")],
    rows: Annotated[int, typer.Option(help="Rows of the log, e.g. 10_000_000; exactly.")] = 1_000_000,
    seed: Annotated[int, typer.Option(help="The same seed and rows give the same files.")] = 7,
    parts: Annotated[int, typer.Option(help="Files of the log, one after the other in time.")] = 1,
    world: Annotated[str, typer.Option(help="tastes, or topics: what makes the rows.")] = "tastes",
    effects: Annotated[
        str, typer.Option(help="Of order, in the world of tastes: boredom,mood,contagion,position or some.")
    ] = "",
) -> None:
    """Write simulated files of a competition, or of a foreign layout; with the true probabilities of given pairs."""
    some = [effect.strip() for effect in effects.split(",") if effect.strip()]
    made = simulate(name, folder, n_rows=rows, seed=seed, n_parts=parts, world=world, effects=some)
    for line in _words(name, made):
        out.print(line, soft_wrap=True)


@app.command("ceiling")
def show_ceiling(
    name: Annotated[str, typer.Argument(help="vk2024: the only competition with a simulator.")],
    rows: Annotated[int | None, typer.Option(help="Rows of the log, as for `simulate`.")] = None,
    seed: Annotated[int | None, typer.Option(help="As for `simulate`.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of simulated files, instead of --rows and --seed.")
    ] = None,
) -> None:
    """Show how far anyone can get on a simulated log who knows all but the tastes of the users.

    With --data, the score of each pair is written beside the files, for `python -m submissions score`.
    """
    if data is not None:
        if rows is not None:
            raise ConfigError("--rows is given beside --data.", expected="one of them")
        origin = origin_of(data, seed)
        if origin.world != "tastes" or origin.effects:
            what = (
                f"has {', '.join(origin.effects)}" if origin.effects else f"is of the world of {origin.world}"
            )
            raise ConfigError(
                f"{data} {what}: nobody has worked out a statistician of that.",
                expected="files that `simulate` made of the world of tastes, without effects of order",
            )
        rows, seed = origin.rows, origin.seed
    elif rows is None or seed is None:
        raise ConfigError("--rows or --seed is missing.", expected="both of them, or --data")
    _show_ceiling(ceiling(name, n_rows=rows, seed=seed, folder=data))
    if data is not None:
        out.print(f"in {data / STATISTICIAN}", soft_wrap=True)


def _show_ceiling(found: Ceiling) -> None:
    table = Table(
        "", "AUC", "of the way to the oracle", title=f"{found.n_pairs:,} pairs of {found.n_users:,} users"
    )
    way = found.oracle - found.popularity
    for name in ("popularity", "statistician", "oracle"):
        value = getattr(found, name)
        table.add_row(name, f"{value:.4f}", f"{(value - found.popularity) / way:.1%}")
    out.print(table)


def _words(name: str, made: Simulated) -> list[str]:
    n, folder = made.sizes, shlex.quote(str(made.folder))
    competition = "vk2024_order" if ORDER_BLIND in made.files else "vk2024"
    items, step = ("items", f"new my_{name} --data {folder}")
    if name not in LAYOUTS:
        items, step = "clips", f"check --set competition={competition} --set data={folder}"
    return [
        f"{n.rows:,} rows of {n.users:,} users, {n.items:,} {items} of {n.sources:,} sources",
        f"{made.n_pairs:,} test pairs",
        f"in {made.folder}: {', '.join(made.files)}",
        f"Next: {as_typed(f'-m competitions {step}')}",
    ]


def _declaration(c: Competition) -> Iterator[RenderableType]:
    """What the competition says of itself, without its data."""
    facts = Table(title=f"{c.name}: {c.title}", show_header=False)
    policy = ", ".join(f"{k} = {v}" for k, v in c.metric.policy.items())
    columns = ", ".join(f"{k} = {v}" if k != v else k for k, v in c.submission.columns.items())
    order = "in the given order" if c.submission.ordered else "in any order"
    for label, text in (
        ("licence", c.licence),
        ("clock", _clock_in_words(c)),
        ("horizon, gap", f"{_horizon_in_words(c)}, {c.gap} {_unit(c)}"),
        ("relevance", str(c.relevance)),
        (
            "thresholds",
            "; ".join(f"{n} = {t.quantile:g} quantile of {t.of}" for n, t in c.thresholds.items()) or "none",
        ),
        ("metric", c.metric.name + (f" ({policy})" if policy else "")),
        ("source", c.source or "none"),
        ("counted rows", "; ".join(f"those that {words}" for words in c.remarks) or "none"),
        ("submission", f"{columns}; separated by {c.submission.separator!r}, {order}"),
    ):
        facts.add_row(label, text)
    yield facts
    yield _columns_table(c)


def _holdings(dataset: Dataset, notes: Sequence[str]) -> Iterator[RenderableType]:
    """What the data set holds: sizes, rows and classes along the clock, notes of the intake."""
    c = dataset.competition
    sizes = Table("table", "rows", "columns", title=f"data of {c.name}, fingerprint {dataset.fingerprint}")
    for name, frame in (
        ("log before the test window", dataset.log),
        ("test pairs", dataset.test_pairs),
        ("users", dataset.users),
        ("items", dataset.items),
    ):
        n_rows = frame.select(pl.len()).collect(engine="streaming").item()
        sizes.add_row(name, f"{n_rows:,}", ", ".join(frame.collect_schema().names()))
    yield sizes
    yield _clock_table(dataset)
    dense = dense_outcome(dataset.log, dataset.numeric_outcomes, c.dense, c.dense_per)
    yield f"Dense outcome: {dense}"
    yield Group(*(Text.assemble(("Note: ", "yellow"), note) for note in notes))


def _columns_table(c: Competition) -> Table:
    table = Table("table", "column", "dtype", "role", "meaning", title="columns")
    derived = {name: f"= {expression}" for name, expression in c.derived.items()}
    derived |= {alias: f"= {own}, as features call it" for alias, own in c.aliases.items()}
    for name in c.log_columns:
        column = c.interactions.columns().get(name)
        dtype = "derived" if column is None else str(column.dtype)
        meaning = derived.get(name) or (column.description if column else "") or ""
        table.add_row("interactions", name, dtype, c.roles[name], meaning)
    for entity in c.entities:
        for name, column in entity.columns.items():
            role = "key" if name == entity.key else "observed"
            table.add_row(entity.table, name, _short(column.dtype), role, column.description or "")
    return table


def _short(dtype: pl.DataType) -> str:
    """Name of a dtype; an Enum with the number of its categories instead of all of them."""
    if isinstance(dtype, pl.Enum):
        return f"Enum of {len(dtype.categories)}"
    if isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.DataType):
        return f"List of {_short(dtype.inner)}"
    return str(dtype)


def _horizon_in_words(c: Competition) -> str:
    horizon = c.horizon
    return f"{horizon.parts}/{horizon.of} of the log" if isinstance(horizon, LogShare) else str(horizon)


def _unit(c: Competition) -> str:
    return {"time": "microseconds", "row": "rows", "per_user": "steps"}[c.clock.kind]


def _clock_in_words(c: Competition) -> str:
    order = f"{c.clock.column}, then row" if c.clock.column else "row"
    return {
        "time": f"time: {c.clock.column}",
        "row": "row: the order of the log",
        "per_user": f"per_user: each user's rows by {order}, in {c.clock.steps} equal steps",
    }[c.clock.kind]


def _clock_table(dataset: Dataset) -> Table:
    """Rows, users, items and mean relevance of equal spans of the clock, with a bar each; the test window last."""
    c = dataset.competition
    first = dataset.log.select(pl.col("clock").min()).collect(engine="streaming").item()
    width = max(1, -(-(dataset.test_start - first) // N_SPANS))
    spans = (
        dataset.log.group_by(span=(pl.col("clock") - first) // width)
        .agg(
            n_rows=pl.len(),
            n_users=pl.col(c.user).n_unique(),
            n_items=pl.col(c.item).n_unique(),
            relevance=pl.col("relevance").mean(),
        )
        .sort("span")
        .collect(engine="streaming")
    )
    table = Table(
        "clock", "rows", "users", "items", "mean relevance", "", title=f"along the clock ({_unit(c)})"
    )
    most = int(spans["n_rows"].max())  # type: ignore[arg-type]  # the log is not empty
    for span, n_rows, n_users, n_items, relevance in spans.iter_rows():
        bar = "█" * max(1, round(N_BARS * n_rows / most))
        where = _span_in_words(c, first + span * width, width)
        table.add_row(where, f"{n_rows:,}", f"{n_users:,}", f"{n_items:,}", f"{relevance:.3f}", bar)
    _add_test_window(table, dataset)
    return table


def _add_test_window(table: Table, dataset: Dataset) -> None:
    c = dataset.competition
    n_pairs, n_users, n_items = (
        dataset.test_pairs.select(
            pl.len(), pl.col(c.user).n_unique(), pl.col(c.item).n_unique().alias("items")
        )
        .collect(engine="streaming")
        .row(0)
    )
    where = "test " + _span_in_words(c, dataset.test_start, dataset.test_until - dataset.test_start)
    table.add_section()
    table.add_row(where, f"{n_pairs:,} pairs", f"{n_users:,}", f"{n_items:,}", "hidden", "")


def _span_in_words(c: Competition, start: int, width: int) -> str:
    if c.clock.kind == "time":
        return c.clock.shown(start)[:16] + " on"
    return str(start) if width == 1 else f"[{start}, {start + width})"


if __name__ == "__main__":
    run_room(app)
