"""Aggregates as they are declared, and the plain Polars aggregations that they must equal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from features import (
    Aggregate,
    Log,
    Window,
    count,
    decayed,
    first,
    horizon,
    largest,
    last,
    mean,
    raw,
    smallest,
    smoothed,
    std,
    total,
)
from tests.features.tile_logs import HOUR

GRID = 2.0**-20


@dataclass(frozen=True)
class Seen:
    """What a query sees: the rows within the lookback, of all keys; and the first value of the log by column."""

    rows: pl.DataFrame
    log: pl.DataFrame
    window: Window


@dataclass(frozen=True)
class Case:
    """A declared aggregate, the plain aggregation, and its value for a key without rows.

    ``bound``: how far the two may lie apart for each row that is summed; 0 = no bit. ``where`` is ``log.like``.
    """

    declared: Callable[[Log], Aggregate | pl.Expr]
    plain: Callable[[Seen], pl.Expr]
    empty: Callable[[Seen], object] = lambda seen: None
    dtype: type[pl.DataType] | None = None
    bound: float = 0.0
    where: bool = False


def zero(_: Seen) -> object:
    return 0


def steps(x: pl.Expr) -> pl.Expr:
    return (x.cast(pl.Float64) / GRID).round().cast(pl.Int64)


def summed(x: pl.Expr) -> pl.Expr:
    return steps(x).sum() * GRID


def averaged(x: pl.Expr) -> pl.Expr:
    return pl.when(x.count() > 0).then(summed(x) / x.count())


def spread(name: str) -> Callable[[Seen], pl.Expr]:
    """Deviations are taken from the first value of the log, the same for every window."""

    def plain(seen: Seen) -> pl.Expr:
        origin = seen.log[name].drop_nulls().first()
        x = pl.col(name)
        deviation = steps(x.cast(pl.Float64) - pl.lit(origin, pl.Float64)).cast(pl.Int128)
        n, s1, s2 = x.count().cast(pl.Int128), deviation.sum(), (deviation * deviation).sum()
        squares = (n * s2 - s1 * s1).cast(pl.Float64)
        rows = x.count().cast(pl.Int64)
        return pl.when(rows > 1).then((squares / (rows * (rows - 1))).sqrt() * GRID)

    return plain


def prior(seen: Seen, x: pl.Expr) -> float | None:
    value: float | None = seen.rows.select(averaged(x)).item()
    return value


def pulled(x: pl.Expr, strength: float) -> Callable[[Seen], pl.Expr]:
    def plain(seen: Seen) -> pl.Expr:
        pull = pl.lit(prior(seen, x), pl.Float64) * strength
        return (summed(x) + pull) / (x.count() + strength)

    return plain


def pulled_empty(x: pl.Expr, strength: float) -> Callable[[Seen], object]:
    def empty(seen: Seen) -> object:
        value = prior(seen, x)
        return None if value is None else (value * strength) / strength

    return empty


def faded(half_life: float) -> Callable[[Seen], pl.Expr]:
    def plain(seen: Seen) -> pl.Expr:
        weight = pl.lit(2.0).pow((pl.col("clock") - seen.window.cutoff) / half_life)
        return (pl.col("value") * weight).sum()

    return plain


def one(expression: pl.Expr) -> Callable[[Seen], pl.Expr]:
    return lambda seen: expression


value, odd, stars, like, seconds = (pl.col(name) for name in ("value", "odd", "stars", "like", "seconds"))
F = pl.Float64
CASES: dict[str, Case] = {
    "n": Case(lambda log: count(), one(pl.len()), zero),
    "n_like": Case(lambda log: count(log.like), one(like.sum()), zero),
    "sum_stars": Case(lambda log: total(log.stars), one(stars.cast(pl.Int64).sum()), zero),
    "sum_value": Case(lambda log: total(log.value), one(summed(value)), zero, F),
    "sum_like": Case(lambda log: total(log.like), one(like.cast(pl.Int64).sum()), zero),
    "mean_value": Case(lambda log: mean(log.value), one(averaged(value)), dtype=F),
    "mean_like": Case(lambda log: mean(log.like), one(averaged(like)), dtype=F),
    "std_stars": Case(lambda log: std(log.stars), spread("stars"), dtype=F),
    "std_value": Case(lambda log: std(log.value), spread("value"), dtype=F),
    "std_like": Case(lambda log: std(log.like), spread("like"), dtype=F),
    "std_room": Case(lambda log: std(log.room), spread("room"), dtype=F),
    "std_seconds": Case(lambda log: std(log.seconds / 2**20), spread("scaled"), dtype=F),
    "low_value": Case(lambda log: smallest(log.value), one(value.min()), dtype=F),
    "high_stars": Case(lambda log: largest(log.stars), one(stars.max())),
    "low_device": Case(lambda log: smallest(log.device), one(pl.col("device").min())),
    "high_device": Case(lambda log: largest(log.device), one(pl.col("device").max())),
    "low_note": Case(lambda log: smallest(log.note), one(pl.col("note").min())),
    "high_guest": Case(lambda log: largest(log.guest), one(pl.col("guest").max())),
    "high_at": Case(lambda log: largest(log.at), one(pl.col("at").max())),
    "first_value": Case(lambda log: first(log.value), one(value.drop_nulls().first()), dtype=F),
    "last_value": Case(lambda log: last(log.value), one(value.drop_nulls().last()), dtype=F),
    "first_note": Case(lambda log: first(log.note), one(pl.col("note").drop_nulls().first())),
    "last_device": Case(lambda log: last(log.device), one(pl.col("device").drop_nulls().last())),
    "last_guest": Case(lambda log: last(log.guest), one(pl.col("guest").drop_nulls().last())),
    "first_clock": Case(lambda log: first(log.clock), one(pl.col("clock").first())),
    "low_odd": Case(lambda log: smallest(log.odd), one(odd.min()), dtype=F),
    "high_odd": Case(lambda log: largest(log.odd), one(odd.max()), dtype=F),
    "pulled_like": Case(
        lambda log: smoothed(log.like, strength=10), pulled(like, 10), pulled_empty(like, 10), F
    ),
    "pulled_value": Case(
        lambda log: smoothed(log.value, strength=0.5), pulled(value, 0.5), pulled_empty(value, 0.5), F
    ),
    "fading": Case(lambda log: decayed(log.value, 3.0 * HOUR), faded(3.0 * HOUR), zero, F, 2.0**-21),
    "fading_h": Case(lambda log: decayed(log.value, horizon(1)), faded(2.0 * HOUR), zero, F, 2.0**-21),
    "n_notes": Case(lambda log: raw(log.note.n_unique()), one(pl.col("note").n_unique())),
    "middle": Case(lambda log: raw(log.value.median()), one(value.median()), dtype=F),
    "liked_n": Case(lambda log: count(), one(pl.len()), zero, where=True),
    "liked_mean": Case(lambda log: mean(log.value), one(averaged(value)), dtype=F, where=True),
    "liked_std": Case(lambda log: std(log.value), spread("value"), dtype=F, where=True),
    "liked_first": Case(lambda log: first(log.note), one(pl.col("note").drop_nulls().first()), where=True),
    "liked_pulled": Case(
        lambda log: smoothed(log.value, 2), pulled(value, 2), pulled_empty(value, 2), F, where=True
    ),
    "liked_middle": Case(lambda log: raw(log.value.median()), one(value.median()), dtype=F, where=True),
}
