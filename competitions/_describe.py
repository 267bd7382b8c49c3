"""Tables for the terminal: what a competition declares and what its data set holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

import polars as pl
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from competitions._competition import Competition, LogShare
from competitions._dataset import Dataset
from competitions._declaration import log_columns

N_BARS = 20
N_SPANS = 12


def overview(competitions: Iterable[Competition]) -> Table:
    """One line a competition."""
    table = Table("name", "title", "clock", "metric", title="competitions")
    for c in competitions:
        table.add_row(*map(escape, (c.name, c.title, c.clock.kind, c.metric.name)))
    return table


def declaration(c: Competition) -> Iterator[RenderableType]:
    """What the competition says of itself, without its data."""
    facts = Table(title=escape(f"{c.name}: {c.title}"), show_header=False)
    policy = ", ".join(f"{k} = {v}" for k, v in c.metric.policy.items())
    columns = ", ".join(f"{k} = {v}" if k != v else k for k, v in c.submission.columns.items())
    order = "in the given order" if c.submission.ordered else "in any order"
    for label, text in (
        ("licence", c.licence),
        ("clock", _clock_in_words(c)),
        ("horizon, gap", f"{_horizon_in_words(c)}, {c.gap} {_unit(c)}"),
        ("relevance", str(c.relevance)),
        ("metric", c.metric.name + (f" ({policy})" if policy else "")),
        ("source", c.source or "none"),
        ("counted rows", "; ".join(f"those that {words}" for words in c.remarks) or "none"),
        ("submission", f"{columns}; separated by {c.submission.separator!r}, {order}"),
    ):
        facts.add_row(label, escape(text))
    yield facts
    yield _columns_table(c)


def holdings(dataset: Dataset, notes: Sequence[str]) -> Iterator[RenderableType]:
    """What the data set holds: sizes, rows and classes along the clock, notes of the intake."""
    c = dataset.competition
    sizes = Table(
        "table", "rows", "columns", title=escape(f"data of {c.name}, fingerprint {dataset.fingerprint}")
    )
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
    yield Group(*(f"[yellow]Note:[/] {escape(note)}" for note in notes))


def _columns_table(c: Competition) -> Table:
    table = Table("table", "column", "dtype", "role", "meaning", title="columns")
    derived = {name: f"= {expression}" for name, expression in c.derived.items()}
    for name in log_columns(c):
        column = c.interactions.columns().get(name)
        dtype = "derived" if column is None else str(column.dtype)
        meaning = derived.get(name) or (column.description if column else "") or ""
        table.add_row("interactions", *map(escape, (name, dtype, c.roles[name], meaning)))
    for place, schema, key in (("users", c.users, c.user), ("items", c.items, c.item)):
        for name, column in schema.columns().items():
            role = "key" if name == key else "observed"
            table.add_row(place, *map(escape, (name, _short(column.dtype), role, column.description or "")))
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
        return datetime.fromtimestamp(start / 1e6, tz=UTC).strftime("%Y-%m-%d %H:%M") + " on"
    return str(start) if width == 1 else f"[{start}, {start + width})"
