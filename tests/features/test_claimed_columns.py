"""A shipped feature that claims a column by its name: whatever lies there fits, or it is not available and says why.

Every column that shipped features name gets other dtypes and another role, one at a time, on a small log that has all
others as they are taken for. What is available is computed.
"""

from __future__ import annotations

import random
from functools import cache

import dataframely as dy
import polars as pl
import pytest

from benchmarks._fuzz_columns import KINDS, OF_ITEM, OF_USER, USUAL, Kind, drawn_column
from competitions import Clock, Competition, Dataset, Metric, RawTables, SubmissionFormat
from features import Catalogue, Registry, bind_catalogue, compute_window, load_registry
from validation import Window

DAY = 86_400_000_000
N_ROWS, N_USERS, N_ITEMS = 60, 6, 9
START = 1_709_251_200_000_000
WINDOW = Window(START + N_ROWS * DAY, START + N_ROWS * DAY, START + (N_ROWS + 9) * DAY)
OUTCOMES = {"like", "dislike", "share", "bookmarks", "timespent", "rating"}
KEYS = ("user_id", "item_id")
HUGE = {
    "huge integer": Kind("", pl.Int64(), lambda r: r.choice([2**62, -(2**63), 1])),
    "huge unsigned": Kind("", pl.UInt64(), lambda r: r.choice([2**64 - 1, 0])),
    "huge float": Kind("", pl.Float64(), lambda r: r.choice([1e300, -1e308, 1.0])),
    "tiny float": Kind("", pl.Float64(), lambda r: r.choice([5e-324, -1e-300])),
}
ALL = {**KINDS, **HUGE}


def not_read(folder: object) -> RawTables:
    raise NotImplementedError


@cache
def columns_of(seed: int) -> dict[str, pl.Series]:
    r = random.Random(seed)
    return {name: table_column(name, kind, r) for name, kind in USUAL.items()}


def table_column(name: str, kind: str, r: random.Random) -> pl.Series:
    n = N_USERS if name in OF_USER else N_ITEMS if name in OF_ITEM else N_ROWS
    values = drawn_column(r, ALL[kind], n)
    return (drawn_column(r, ALL[kind], n) if values.null_count() == n else values).alias(name)


def schema_of(dtypes: dict[str, pl.DataType]) -> type[dy.Schema]:
    """Declare columns; the drawn floats hold NaN and infinities, and say so."""
    odd = dy.Float32(allow_nan=True, allow_inf=True)
    return type("Drawn", (dy.Schema,), {n: odd if d.is_float() else dy.Any() for n, d in dtypes.items()})


def log_with(name: str, kind: str, *, is_outcome: bool) -> Dataset:
    """Make a log on a time clock with the usual columns, but one of them of another kind, or role."""
    columns = {**columns_of(1), name: table_column(name, kind, random.Random(2))}
    in_log = {n: s for n, s in columns.items() if len(s) == N_ROWS}
    if is_outcome and name not in in_log:
        in_log[name] = pl.concat([columns[name]] * N_ROWS).head(N_ROWS)
    schema = schema_of({**dict.fromkeys(KEYS, pl.UInt32()), **{n: s.dtype for n, s in in_log.items()}})
    users_of, items_of = (
        schema_of(
            {key: pl.UInt32(), **{c: s.dtype for c, s in columns.items() if len(s) == n and c not in in_log}}
        )
        for key, n in zip(KEYS, (N_USERS, N_ITEMS), strict=True)
    )
    outcomes = {*OUTCOMES, *([name] if is_outcome else [])} - (set() if is_outcome else {name} - OUTCOMES)
    competition = Competition(
        name="claimed", title="", licence="", read=not_read, interactions=schema, outcomes=outcomes & {*in_log},
        clock=Clock("time", "timestamp"), relevance=pl.lit(1), metric=Metric("roc_auc"), horizon=9 * DAY,
        submission=SubmissionFormat({"s": "score"}), source="source_id", users=users_of, items=items_of,
    )  # fmt: skip
    base = pl.DataFrame({"row": range(N_ROWS), "clock": [START + i * DAY for i in range(N_ROWS)]}).with_columns(
        pl.col("row").cast(pl.UInt32), user_id=pl.col("row").cast(pl.UInt32) * 7 % N_USERS,
        item_id=pl.col("row").cast(pl.UInt32) * 5 % N_ITEMS, relevance=(pl.col("row") % 3 == 0).cast(pl.Int8),
    )  # fmt: skip
    log = base.with_columns(*in_log.values())
    tables = (
        pl.DataFrame({key: pl.Series(range(n), dtype=pl.UInt32)}).with_columns(
            s for c, s in columns.items() if len(s) == n and c not in in_log
        )
        for key, n in zip(KEYS, (N_USERS, N_ITEMS), strict=True)
    )
    pairs = log.tail(9).drop(outcomes & {*in_log}, "row", "clock", "relevance").with_row_index("pair_id")
    users, items = (table.lazy() for table in tables)
    return Dataset(
        competition, log.lazy(), users, items, pairs.lazy(), WINDOW.start, WINDOW.until, f"{name} {kind}"
    )


def readers(catalogue: Catalogue, name: str) -> Registry:
    """Keep the declarations that read a column, themselves or through others, and what those read."""
    reading = {n for n, c in catalogue.columns.items() if name in c.columns}
    for n, c in catalogue.columns.items():  # each after what it reads
        if reading & {*c.reads}:
            reading.add(n)
    reached = [catalogue.columns[n].declaration for n in catalogue.closure(reading)]
    return Registry({d.name: d for d in load_registry().declarations.values() if d in reached})


@pytest.fixture(scope="module")
def usual() -> Catalogue:
    return bind_catalogue(log_with("like", "boolean", is_outcome=True), load_registry())


def check(usual: Catalogue, name: str, kind: str, *, is_outcome: bool, most: int = 1000) -> None:
    """Bind what reads a column that is of this kind and role, and compute so much of what is available."""
    registry = readers(usual, name)
    dataset = log_with(name, kind, is_outcome=is_outcome)
    catalogue = bind_catalogue(dataset, registry)
    known = {n for d in registry.declarations.values() for n in d.names}
    of_each = {n for n in known if n.endswith("__*")}  # of columns that depend on the log
    found = {*catalogue.columns, *catalogue.unavailable}
    assert known - of_each == {n for n in found if f"{n.split('__')[0]}__*" not in of_each}
    assert all(
        reason.startswith("needs ") and "\n" not in reason for reason in catalogue.unavailable.values()
    )
    some = random.Random(name + kind).sample([*catalogue.columns], min(most, len(catalogue.columns)))
    values = compute_window(catalogue, WINDOW, catalogue.closure(some), dataset.test_pairs.collect())
    assert values.height == 9


@pytest.mark.parametrize("name", USUAL)
def test_a_claimed_column_of_another_kind_or_role_stops_nothing(usual: Catalogue, name: str) -> None:
    """The usual kind and another one, in either role: all kinds of all columns take minutes."""
    for number, kind in enumerate([USUAL[name], *random.Random(name).sample([*KINDS], 1)]):
        check(usual, name, kind, is_outcome=(name in OUTCOMES) == (number > 0), most=12)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("like", "huge integer"),
        ("dislike", "unix seconds"),
        ("rating", "huge unsigned"),
        ("timespent", "huge float"),
        ("duration", "huge float"),
        ("duration", "tiny float"),
    ],
)
def test_a_claimed_column_of_any_size_stops_nothing(usual: Catalogue, name: str, kind: str) -> None:
    check(usual, name, kind, is_outcome=name in OUTCOMES)
