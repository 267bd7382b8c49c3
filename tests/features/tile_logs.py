"""A competition with every dtype that tiles must carry, and logs of it, as one table or in partitions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import dataframely as dy
import numpy as np
import polars as pl

from competitions import (
    Clock,
    Competition,
    Dataset,
    Metric,
    Partition,
    PartitionedLog,
    RawTables,
    SubmissionFormat,
)
from features import Window

HOUR = 3_600_000_000
HORIZON = 2  # hours
END = 12  # hours: the test window begins
DEVICES = ("tv", "phone", "web")  # not in the order of the alphabet: an Enum is ordered by its list
KINDS = ("series", "film")


class Plays(dy.Schema):
    user_id = dy.UInt32()
    item_id = dy.UInt32()
    at = dy.Datetime(time_unit="us")
    device = dy.Enum(DEVICES, nullable=True)
    room = dy.UInt16(nullable=True)
    guest = dy.Bool(nullable=True)
    note = dy.String(nullable=True)
    stars = dy.UInt8()
    seconds = dy.Int64()
    value = dy.Float64(nullable=True)
    odd = dy.Float64(nullable=True)


class Users(dy.Schema):
    user_id = dy.UInt32(primary_key=True)
    age = dy.UInt8(nullable=True)


class Items(dy.Schema):
    item_id = dy.UInt32(primary_key=True)
    kind = dy.Enum(KINDS, nullable=True)


def _not_read(folder: Path) -> RawTables:
    raise NotImplementedError(folder)


TILED = Competition(
    name="tiled",
    title="A tiled one",
    licence="none",
    read=_not_read,
    interactions=Plays,
    users=Users,
    items=Items,
    outcomes=("note", "stars", "seconds", "value", "odd"),
    derived={"like": pl.col("stars") >= 4},
    relevance=pl.col("like").cast(pl.Int8),
    clock=Clock("time", column="at"),
    horizon=HORIZON * HOUR,
    metric=Metric("user_auc", policy={"one_class": "skip"}),
    submission=SubmissionFormat({"id": "pair_id", "predict": "score"}),
    source="kind",
)

PAIR_SCHEMA = pl.Schema(
    {
        "pair_id": pl.UInt32(),
        "user_id": pl.UInt32(),
        "item_id": pl.UInt32(),
        "at": pl.Datetime("us"),
        "device": pl.Enum(DEVICES),
        "room": pl.UInt16(),
        "guest": pl.Boolean(),
    }
)
LOG_SCHEMA = pl.Schema(
    {
        "row": pl.UInt32(),
        "clock": pl.Int64(),
        **{name: dtype for name, dtype in PAIR_SCHEMA.items() if name != "pair_id"},
        "note": pl.String(),
        "stars": pl.UInt8(),
        "seconds": pl.Int64(),
        "value": pl.Float64(),
        "odd": pl.Float64(),
        "like": pl.Boolean(),
        "relevance": pl.Int8(),
    }
)


def rows_of(seed: int, n_rows: int) -> pl.DataFrame:
    """Draw a log: few keys and hours, so that keys repeat and clocks tie; ``odd`` has values that are no numbers."""
    random = np.random.default_rng(seed)
    hours = np.sort(random.integers(0, END, n_rows)) if n_rows else np.zeros(0, dtype=np.int64)
    stars = random.integers(1, 6, n_rows)

    def some(values: Sequence[object]) -> list[object]:
        return [values[i] for i in random.integers(0, len(values), n_rows)]

    columns = {
        "row": random.permutation(n_rows),
        "clock": hours * HOUR,
        "user_id": some([1, 2, 3, 4, 2**32 - 1]),
        "item_id": some([1, 2, 3, 5, 2**32 - 1, 77]),
        "at": hours * HOUR,
        "device": some([None, *DEVICES]),
        "room": some([None, 0, 1, 2**16 - 1]),
        "guest": some([None, False, True]),
        "note": some([None, "", "b", "a", "é"]),
        "stars": stars,
        "seconds": some([0, -3, 2**40, 2**40 + 1, 5]),
        "value": [None if x < -1 else x * 100 for x in random.normal(size=n_rows).tolist()],
        "odd": some([None, np.nan, np.inf, -np.inf, 0.5, -2.0]),
        "like": stars >= 4,
        "relevance": stars >= 4,
    }
    frame = pl.DataFrame(columns, schema_overrides=LOG_SCHEMA, strict=False).cast(LOG_SCHEMA)
    return frame.select(LOG_SCHEMA.names()).sort("clock", "row")


def pairs_of(n_pairs: int, seed: int = 0) -> pl.DataFrame:
    """Draw pairs: known and unknown keys, and null ones."""
    random = np.random.default_rng(seed)

    def some(values: Sequence[object]) -> list[object]:
        return [values[i] for i in random.integers(0, len(values), n_pairs)]

    columns = {
        "pair_id": random.permutation(n_pairs) + 900,
        "user_id": some([1, 2, 3, 4, 9, 2**32 - 1]),
        "item_id": some([1, 2, 3, 5, 8, 2**32 - 1]),
        "at": [0] * n_pairs,
        "device": some([None, *DEVICES]),
        "room": some([None, 0, 1, 7, 2**16 - 1]),
        "guest": some([None, False, True]),
    }
    return pl.DataFrame(columns, schema_overrides=PAIR_SCHEMA, strict=False).cast(PAIR_SCHEMA)


def pairs_of_log(rows: pl.DataFrame) -> pl.DataFrame:
    """Give a pair for every row of the log: every key is asked for."""
    return rows.select(pl.row_index("pair_id"), *PAIR_SCHEMA.names()[1:]).cast(PAIR_SCHEMA)


USERS = pl.DataFrame(
    {"user_id": [1, 2, 3, 4, 2**32 - 1], "age": [30, 30, None, 7, 255]},
    schema={"user_id": pl.UInt32(), "age": pl.UInt8()},
)
ITEMS = pl.DataFrame(  # 77 has no attributes at all
    {"item_id": [1, 2, 3, 5, 2**32 - 1], "kind": ["film", "film", None, "series", "series"]},
    schema={"item_id": pl.UInt32(), "kind": pl.Enum(KINDS)},
)


def whole(rows: pl.DataFrame) -> Dataset:
    """Give the rows as a data set whose log is one table in memory, in whatever physical order it has."""
    return Dataset(
        competition=TILED,
        log=rows.lazy(),
        users=USERS.lazy(),
        items=ITEMS.lazy(),
        test_pairs=pairs_of(0).lazy(),
        test_start=END * HOUR,
        test_until=(END + HORIZON) * HOUR,
        fingerprint="tiled",
    )


def cut(dataset: Dataset, rows: pl.DataFrame, ends: Iterable[int]) -> Dataset:
    """Cut the log (sorted by clock and row) after so many rows, as the intake does: never an empty partition."""
    edges = sorted({0, rows.height, *(end for end in ends if end <= rows.height)})
    tables = [rows[a:b] for a, b in pairwise(edges)] or [rows]
    partitions = tuple(
        Partition(
            table.lazy(),
            table["clock"].first(),  # type: ignore[arg-type]
            table["clock"].last(),  # type: ignore[arg-type]
            table.height,
            f"digest {number}",
        )
        for number, table in enumerate(tables)
    )
    log = pl.concat([partition.rows for partition in partitions])
    return replace(dataset, log=log, partitioned=PartitionedLog(log, partitions))


def window_at(hour: int, horizon: int = HORIZON) -> Window:
    """Give the window whose cutoff is at that hour."""
    return Window(hour * HOUR, hour * HOUR, (hour + horizon) * HOUR)
