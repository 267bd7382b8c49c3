"""The columns of random competitions: kinds of values, ids, and the names that shipped features claim."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

EPOCH = dt.datetime(2024, 3, 1)
LEVELS = ["a", "b", "c"]
ODD = [
    "",
    " ",
    "a,b",
    "a;b",
    '"q"',
    "two\nlines",
    "\u03a9",
    "NaN",
    "null",
    "00",
    "a\tb",
    "it's",
    "a|b",
    "\\",
    "%s",
    "[b]",
    "[/b]",
]


@dataclass(frozen=True)
class Kind:
    """A dtype that a column may have: how dataframely and Polars write it, and how a value is drawn."""

    schema: str
    dtype: pl.DataType
    draw: Callable[[random.Random], Any]


def an_instant(r: random.Random) -> dt.datetime:
    """Draw a second of sixty days."""
    return EPOCH + dt.timedelta(seconds=r.randrange(60 * 86_400))


KINDS: Mapping[str, Kind] = {
    "boolean": Kind("dy.Bool({n})", pl.Boolean(), lambda r: r.random() < 0.4),
    "zero or one": Kind("dy.UInt8({n})", pl.UInt8(), lambda r: int(r.random() < 0.4)),
    "small integer": Kind("dy.Int8({n})", pl.Int8(), lambda r: r.randrange(-3, 6)),
    "id": Kind("dy.UInt32({n})", pl.UInt32(), lambda r: r.randrange(9)),
    "integer": Kind("dy.Int64({n})", pl.Int64(), lambda r: r.choice([0, 1, 7, 10**6, -(10**5)])),
    "unix seconds": Kind("dy.Int64({n})", pl.Int64(), lambda r: 1_709_000_000 + r.randrange(10**6)),
    "float": Kind("dy.Float64({n})", pl.Float64(), lambda r: r.gauss(3, 20)),
    "odd float": Kind(
        "dy.Float32({n}, allow_inf=True, allow_nan=True)",
        pl.Float32(),
        lambda r: r.choice([0.0, 1.5, float("nan"), float("inf"), -1e4]),
    ),
    "text": Kind("dy.String({n})", pl.String(), lambda r: r.choice(["", "x", "Comedy|Drama", "Ω", "12"])),
    "enum": Kind('dy.Enum(["a", "b", "c"], {n})', pl.Enum(LEVELS), lambda r: r.choice(LEVELS)),
    "categorical": Kind("dy.Categorical({n})", pl.Categorical(), lambda r: r.choice(LEVELS)),
    "odd text": Kind("dy.String({n})", pl.String(), lambda r: r.choice(ODD)),
    "huge": Kind("dy.UInt64({n})", pl.UInt64(), lambda r: 2**64 - 1 - r.randrange(3)),
    "date": Kind("dy.Date({n})", pl.Date(), lambda r: an_instant(r).date()),
    "instant": Kind('dy.Datetime(time_unit="us", {n})', pl.Datetime("us"), an_instant),
    "instant ms": Kind('dy.Datetime(time_unit="ms", {n})', pl.Datetime("ms"), an_instant),
    "zoned instant": Kind(
        'dy.Datetime(time_unit="us", time_zone="UTC", {n})', pl.Datetime("us", "UTC"), an_instant
    ),
    "instant ns": Kind('dy.Datetime(time_unit="ns", {n})', pl.Datetime("ns"), an_instant),
    "span": Kind("dy.Duration({n})", pl.Duration("us"), lambda r: dt.timedelta(seconds=r.randrange(999))),
    "time": Kind("dy.Time({n})", pl.Time(), lambda r: dt.time(r.randrange(24), 5)),
    "texts": Kind(
        "dy.List(dy.String(), {n})", pl.List(pl.String()), lambda r: r.sample(LEVELS, r.randrange(4))
    ),
    "enums": Kind(
        'dy.List(dy.Enum(["a", "b", "c"]), {n})',
        pl.List(pl.Enum(LEVELS)),
        lambda r: r.sample(LEVELS, r.randrange(4)),
    ),
    "vector": Kind(
        "dy.Array(dy.Float32(), 3, {n})",
        pl.Array(pl.Float32(), 3),
        lambda r: [r.gauss(0, 1) for _ in range(3)],
    ),
    "numbers": Kind(
        "dy.List(dy.Float64(), {n})", pl.List(pl.Float64()), lambda r: [r.random()] * r.randrange(3)
    ),
    "struct": Kind(
        'dy.Struct({{"x": dy.Int64()}}, {n})', pl.Struct({"x": pl.Int64()}), lambda r: {"x": r.randrange(3)}
    ),
    "decimal": Kind("dy.Decimal(10, 2, {n})", pl.Decimal(10, 2), lambda r: r.randrange(100)),
    "binary": Kind("dy.Binary({n})", pl.Binary(), lambda r: b"x"),
}
USUAL = {  # what shipped features take these names for
    "like": "boolean", "dislike": "boolean", "share": "boolean", "bookmarks": "boolean",
    "timespent": "small integer", "duration": "small integer", "rating": "small integer", "timestamp": "instant",
    "content": "vector", "genres": "enums", "main_genre": "enum", "source_id": "id", "age": "small integer",
    "age_group": "enum", "gender": "enum", "occupation": "enum", "release_year": "small integer",
    "duration_bucket": "small integer", "title": "text", "device": "enum", "price": "float", "release_date": "date",
    "session": "small integer", "position": "small integer",
}  # fmt: skip
OF_USER, OF_ITEM = {"age", "age_group", "gender", "occupation"}, {
    "content", "genres", "main_genre", "source_id", "release_year", "duration", "duration_bucket", "title",
    "release_date", "price",
}  # fmt: skip
MOST_IDS = 200  # different ones, so that a byte holds them
ID_LEVELS = [f"e{i}" for i in range(MOST_IDS, 0, -1)]
IDS: Mapping[str, tuple[str, pl.DataType, Callable[[int], Any]]] = {
    "UInt32": ("dy.UInt32({n})", pl.UInt32(), lambda i: i),
    "UInt8": ("dy.UInt8({n})", pl.UInt8(), lambda i: i),
    "Int8": ("dy.Int8({n})", pl.Int8(), lambda i: i - 100),
    "Int64": ("dy.Int64({n})", pl.Int64(), lambda i: 10**15 - i),
    "UInt64": ("dy.UInt64({n})", pl.UInt64(), lambda i: 2**64 - 1 - i),
    "String": ("dy.String({n})", pl.String(), lambda i: f"id {i}"),
    "odd String": ("dy.String({n})", pl.String(), lambda i: ODD[i % len(ODD)] + str(i // len(ODD) or "")),
    "Enum": (
        "dy.Enum([f'e{{i}}' for i in range(200, 0, -1)], {n})",
        pl.Enum(ID_LEVELS),
        lambda i: ID_LEVELS[i],
    ),
    "Categorical": ("dy.Categorical({n})", pl.Categorical(), lambda i: f"c{i}"),
    "Int16": ("dy.Int16({n})", pl.Int16(), lambda i: -i),
}


def drawn_column(r: random.Random, kind: Kind, n: int) -> pl.Series:
    """Draw ``n`` values: no nulls, some, or only nulls."""
    nulls = r.choice([0.0, 0.0, 0.0, 0.3, 1.0])
    values = [None if r.random() < nulls else kind.draw(r) for _ in range(n)]
    return pl.Series(values, dtype=kind.dtype, strict=False)
