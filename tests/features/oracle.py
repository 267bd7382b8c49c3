"""Aggregates in plain Python: what each should give, from the rows of its key and those of all keys."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

import polars as pl

from features import (
    Aggregate,
    Log,
    count,
    decayed,
    first,
    horizon,
    largest,
    last,
    last_n,
    mean,
    raw,
    smallest,
    smoothed,
    std,
    total,
)

GRID = 2.0**-20
HOUR = 3_600_000_000
EPOCH = datetime(1970, 1, 1)

Row = Mapping[str, Any]
Rows = Sequence[Row]


# The oracle: each function takes the rows of the key, in the order of (clock, row), and those of all keys.


def on_grid(x: float) -> int:
    return round(x / GRID)


def values(rows: Rows, name: str) -> list[Any]:
    return [row[name] for row in rows if row[name] is not None]


def summed(xs: Sequence[float]) -> float:
    return sum(on_grid(x) for x in xs) * GRID


def averaged(xs: Sequence[float]) -> float | None:
    return summed(xs) / len(xs) if xs else None


def spread(xs: Sequence[float]) -> float | None:
    if len(xs) < 2:
        return None
    centre = math.fsum(xs) / len(xs)
    return math.sqrt(math.fsum((x - centre) ** 2 for x in xs) / (len(xs) - 1))


def pulled(xs: Sequence[float], all_xs: Sequence[float], strength: float) -> float | None:
    prior = averaged(all_xs)
    return None if prior is None else (summed(xs) + strength * prior) / (len(xs) + strength)


def faded(rows: Rows, half_life: float) -> float:
    return math.fsum(r["value"] * 2 ** (-r["age"] / half_life) for r in rows if r["value"] is not None)


def one(xs: Sequence[Any], at: int) -> Any:
    return xs[at] if xs else None


def quotient(a: float | None, b: float | None) -> float | None:
    return None if a is None or not b else a / b


def liked(rows: Rows) -> Rows:
    return [row for row in rows if row["like"]]


@dataclass(frozen=True)
class Case:
    """One aggregate, what it should give, and how near: 0 = bit-equal after rounding to Float32.

    ``where`` is always ``log.like`` here: the oracle is given those rows only, before ``last`` counts them.
    """

    declared: Callable[[Log], Aggregate | pl.Expr]
    expected: Callable[[Rows, Rows], Any]
    tolerance: float = 0.0
    where: Callable[[Log], pl.Expr] | None = None


CASES: dict[str, Case] = {
    "n_rows": Case(lambda log: count(), lambda own, _: len(own)),
    "n_liked": Case(lambda log: count(log.like), lambda own, _: len(liked(own))),
    "total_value": Case(lambda log: total(log.value), lambda own, _: summed(values(own, "value"))),
    "total_stars": Case(lambda log: total(log.stars), lambda own, _: sum(values(own, "stars"))),
    "mean_value": Case(lambda log: mean(log.value), lambda own, _: averaged(values(own, "value"))),
    "mean_centred": Case(
        lambda log: mean(log.stars - 3), lambda own, _: averaged([x - 3 for x in values(own, "stars")])
    ),
    "std_stars": Case(lambda log: std(log.stars), lambda own, _: spread(values(own, "stars")), 1e-6),
    "std_value": Case(lambda log: std(log.value), lambda own, _: spread(values(own, "value")), 1e-5),
    "smallest_value": Case(
        lambda log: smallest(log.value), lambda own, _: min(values(own, "value"), default=None)
    ),
    "largest_stars": Case(
        lambda log: largest(log.stars), lambda own, _: max(values(own, "stars"), default=None)
    ),
    "first_value": Case(lambda log: first(log.value), lambda own, _: one(values(own, "value"), 0)),
    "last_device": Case(lambda log: last(log.device), lambda own, _: one(values(own, "device"), -1)),
    "last_at": Case(lambda log: last(log.at), lambda own, _: one(values(own, "at"), -1)),
    "decayed_value": Case(lambda log: decayed(log.value, 3 * HOUR), lambda own, _: faded(own, 3), 1e-4),
    "decayed_horizon": Case(lambda log: decayed(log.value, horizon(1)), lambda own, _: faded(own, 2), 1e-4),
    "smoothed_like": Case(
        lambda log: smoothed(log.like, strength=10),
        lambda own, every: pulled(values(own, "like"), values(every, "like"), 10),
    ),
    "smoothed_value": Case(
        lambda log: smoothed(log.value, strength=0.5),
        lambda own, every: pulled(values(own, "value"), values(every, "value"), 0.5),
    ),
    "n_devices": Case(
        lambda log: log.device.n_unique(), lambda own, _: len({r["device"] for r in own}) or None
    ),
    "median_stars": Case(
        lambda log: raw(log.stars.median()), lambda own, _: median(values(own, "stars")) if own else None
    ),
    "share": Case(lambda log: count(log.like) / count(), lambda own, _: quotient(len(liked(own)), len(own))),
    "by_one_less": Case(
        lambda log: total(log.value) / (count() - 1),
        lambda own, _: quotient(summed(values(own, "value")), len(own) - 1),
    ),
    "inverse": Case(lambda log: 1 / count(log.like), lambda own, _: quotient(1, len(liked(own)))),
    "by_nothing": Case(lambda log: count() / 0, lambda own, _: None),
    "mixed": Case(
        lambda log: 2 - count() * 3 + count(log.like) - 0.5,
        lambda own, _: 2 - 3 * len(own) + len(liked(own)) - 0.5,
    ),
    "negative": Case(lambda log: -count(log.like), lambda own, _: -len(liked(own))),
    "turned": Case(lambda log: 10 + (5 - count()) * 2, lambda own, _: 10 + (5 - len(own)) * 2),
    "change": Case(
        lambda log: first(log.stars) - last(log.stars),
        lambda own, _: values(own, "stars")[0] - values(own, "stars")[-1] if own else None,
    ),
    "hundredfold": Case(
        lambda log: largest(log.stars) * 100, lambda own, _: 100 * max(values(own, "stars")) if own else None
    ),
    "mapped": Case(lambda log: count().map(lambda n: n.log1p()), lambda own, _: math.log1p(len(own)), 1e-6),
    "liked_mean": Case(
        lambda log: mean(log.value), lambda own, _: averaged(values(own, "value")), where=lambda log: log.like
    ),
    "liked_smoothed": Case(
        lambda log: smoothed(log.value, strength=2),
        lambda own, every: pulled(values(own, "value"), values(every, "value"), 2),
        where=lambda log: log.like,
    ),
    "filtered_mean": Case(
        lambda log: mean(log.value.filter(log.like)), lambda own, _: averaged(values(liked(own), "value"))
    ),
    "filtered_std": Case(
        lambda log: std(log.stars.filter(log.like)), lambda own, _: spread(values(liked(own), "stars")), 1e-6
    ),
    "filtered_smoothed": Case(
        lambda log: smoothed(log.value.filter(log.like), strength=1),
        lambda own, every: pulled(values(liked(own), "value"), values(liked(every), "value"), 1),
    ),
}

KEYS: tuple[tuple[str, ...], ...] = (("user_id",), ("device",), ("user_id", "device"), ())
LOOKBACKS = {"": None, "__last2": last_n(2), "__h1": horizon(1), "__3h": "3h"}


def looking_back(rows: Rows, key: tuple[str, ...], lookback: str) -> tuple[dict[Any, list[Row]], list[Row]]:
    """Rows by key and rows of all keys that the lookback keeps. ``last`` counts within the key only."""
    within = {"": math.inf, "__last2": math.inf, "__h1": 2, "__3h": 3}[lookback]
    every = [row for row in rows if row["age"] <= within]
    own: dict[Any, list[Row]] = {}
    for row in every:
        parts = tuple(row[name] for name in key)
        if None not in parts:
            own.setdefault(parts, []).append(row)
    if lookback == "__last2":
        own = {parts: members[-2:] for parts, members in own.items()}
    return own, every
