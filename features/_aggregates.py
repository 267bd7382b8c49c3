"""The aggregate functions of ``@aggregate``: states within a group, arithmetic between them, a finish.

An aggregate is a set of *states* (one number a group each, named by what they are made of, so that two features
share them) and a *finish*: a Polars expression over the states. Arithmetic between aggregates joins the states and
combines the finishes. Float addends are rounded to the grid of 2^-20 and summed as Int64 grid steps, so neither the
order of rows nor threads can change a sum, not even where large addends cancel. A sum is exact as long as it stays
below 2^53 grid steps (8.6e9); beyond, it is refused.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, overload

import polars as pl

from features._errors import FeatureError
from features._lookback import Lookback, as_lookback, last_rows

GRID = 2.0**-20
EXACT_STEPS = 2.0**53
Operation = Literal[
    "count", "valid", "total", "deviation", "squares", "smallest", "largest", "first", "last", "raw"
]
_ZERO_WHEN_EMPTY = {"count", "valid", "total", "deviation", "squares"}


def serialized(expression: pl.Expr) -> str:
    """Text of an expression that changes when any constant in it changes. It differs between Polars versions.

    Made from the binary form: the JSON form writes infinities and NaN alike, as null.
    """
    return expression.meta.serialize(format="binary").hex()


@dataclass(frozen=True)
class State:
    """One number (or value) a group: ``operation`` over ``expression``; ``everywhere``: over all keys at once."""

    operation: Operation
    expression: pl.Expr
    everywhere: bool = False

    @property
    def name(self) -> str:
        """Column that holds the state: the operation and a hash of all it is made of."""
        made_of = f"{self.operation}|{self.everywhere}|{serialized(self.expression)}"
        return f"{self.operation}_{hashlib.blake2b(made_of.encode(), digest_size=10).hexdigest()}"

    @property
    def reference(self) -> str | None:
        """Column with the first value of the history that deviations are taken from, if the operation needs it."""
        if self.operation not in ("deviation", "squares"):
            return None
        digest = hashlib.blake2b(serialized(self.expression).encode(), digest_size=10).hexdigest()
        return f"reference_{digest}"

    @property
    def when_empty(self) -> int | None:
        """Value for a key without rows: 0 for counts and sums, null otherwise."""
        return 0 if self.operation in _ZERO_WHEN_EMPTY else None

    def within_group(self, schema: pl.Schema) -> pl.Expr:
        """Express the state within a group of rows that are sorted by (clock, row)."""
        x = self.expression
        match self.operation:
            case "count":
                state = pl.len().cast(pl.Int64)
            case "valid":
                state = x.count().cast(pl.Int64)
            case "total":
                state = _exact_sum(x, schema)
            case "deviation":
                state = _grid_sum(x.cast(pl.Float64) - pl.col(str(self.reference)))
            case "squares":
                state = _grid_sum((x.cast(pl.Float64) - pl.col(str(self.reference))).pow(2))
            case "smallest":
                state = x.min()
            case "largest":
                state = x.max()
            case "first":
                state = x.drop_nulls().first()
            case "last":
                state = x.drop_nulls().last()
            case "raw":
                state = x
        return state.alias(self.name)


def _grid_sum(x: pl.Expr) -> pl.Expr:
    return (x.cast(pl.Float64) / GRID).round().cast(pl.Int64).sum() * GRID


def _exact_sum(x: pl.Expr, schema: pl.Schema) -> pl.Expr:
    """Sum integers as Int64 and floats on the grid."""
    dtype = pl.LazyFrame(schema=schema).select(x.alias("x")).collect_schema()["x"]
    return x.cast(pl.Int64).sum() if dtype.is_integer() or dtype == pl.Boolean else _grid_sum(x)


@dataclass(frozen=True)
class Aggregate:
    """States by name and the finish over them. ``dtype``: what a column of it has unless declared otherwise."""

    states: Mapping[str, State]
    finish: pl.Expr
    dtype: pl.DataType | None = None

    def map(self, change: Callable[[pl.Expr], pl.Expr]) -> Aggregate:
        """Apply an elementwise Polars function to the finished value: ``count().map(lambda n: n.log1p())``."""
        return Aggregate(self.states, change(self.finish))

    def __add__(self, other: Aggregate | float) -> Aggregate:
        return _combine(self, other, lambda a, b: a + b)

    def __radd__(self, other: float) -> Aggregate:
        return _combine(self, other, lambda a, b: b + a)

    def __sub__(self, other: Aggregate | float) -> Aggregate:
        return _combine(self, other, lambda a, b: a - b)

    def __rsub__(self, other: float) -> Aggregate:
        return _combine(self, other, lambda a, b: b - a)

    def __mul__(self, other: Aggregate | float) -> Aggregate:
        return _combine(self, other, lambda a, b: a * b)

    def __rmul__(self, other: float) -> Aggregate:
        return _combine(self, other, lambda a, b: b * a)

    def __truediv__(self, other: Aggregate | float) -> Aggregate:
        """Divide; null where the divisor is zero."""
        return _combine(self, other, _divide)

    def __rtruediv__(self, other: float) -> Aggregate:
        return _combine(self, other, lambda a, b: _divide(b, a))

    def __neg__(self) -> Aggregate:
        return Aggregate(self.states, -self.finish)


def _divide(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return pl.when(b != 0).then(a / b)


def _combine(a: Aggregate, b: Aggregate | float, how: Callable[[pl.Expr, pl.Expr], pl.Expr]) -> Aggregate:
    if isinstance(b, Aggregate):
        return Aggregate({**a.states, **b.states}, how(a.finish, b.finish))
    return Aggregate(a.states, how(a.finish, pl.lit(b)))


def _one(
    operation: Operation, x: pl.Expr, *, everywhere: bool = False, dtype: pl.DataType | None = None
) -> Aggregate:
    state = State(operation, x, everywhere)
    return Aggregate({state.name: state}, pl.col(state.name), dtype)


def raw(expression: pl.Expr) -> Aggregate:
    """Wrap a plain Polars aggregation (``log.item_id.n_unique()``). Null for a key without rows."""
    return _one("raw", expression)


def count(where: pl.Expr | None = None) -> Aggregate:
    """Number of rows, or of rows where the expression holds. 0 for a key without rows."""
    if where is None:
        return _one("count", pl.lit(1), dtype=pl.UInt32())
    return _one("total", where.cast(pl.Boolean), dtype=pl.UInt32())


def total(x: pl.Expr) -> Aggregate:
    """Sum of the non-null values. 0 for a key without rows."""
    return _one("total", x)


def mean(x: pl.Expr) -> Aggregate:
    """Mean of the non-null values. Null for a key without any."""
    return total(x) / _one("valid", x)


def std(x: pl.Expr) -> Aggregate:
    """Sample standard deviation of the non-null values (n - 1). Null below two values.

    Computed from deviations from the history's first value: a sum of squares of large numbers would cancel. Both
    sums are on the grid, which bounds the error of the variance by about 2^-19; rescale values beyond 1e4 first.
    """
    n, s1, s2 = _one("valid", x), _one("deviation", x), _one("squares", x)
    states = {**n.states, **s1.states, **s2.states}
    variance = (s2.finish - s1.finish.pow(2) / n.finish) / (n.finish - 1)
    return Aggregate(states, pl.when(n.finish > 1).then(variance.clip(lower_bound=0.0).sqrt()))


def smallest(x: pl.Expr) -> Aggregate:
    """Smallest non-null value. Null for a key without any."""
    return _one("smallest", x)


def largest(x: pl.Expr) -> Aggregate:
    """Largest non-null value. Null for a key without any."""
    return _one("largest", x)


def first(x: pl.Expr) -> Aggregate:
    """First non-null value by (clock, row). Null for a key without any."""
    return _one("first", x)


@overload
def last(what: pl.Expr) -> Aggregate: ...
@overload
def last(what: int) -> Lookback: ...
def last(what: pl.Expr | int) -> Aggregate | Lookback:
    """Take the last non-null value by (clock, row); of a number: the lookback of the last so many rows of the key.

    Null for a key without any value.
    """
    return last_rows(what) if isinstance(what, int) else _one("last", what)


def decayed(x: pl.Expr, half_life: float | str | Lookback) -> Aggregate:
    """Sum of ``x * 2^(-(cutoff - clock) / half_life)``. 0 for a key without rows.

    ``half_life``: clock units, a duration (``"7d"``, time clock) or ``horizon(n)``. Addends are on the grid, so what
    has decayed below 2^-21 counts nothing.
    """
    age = (pl.col("cutoff") - pl.col("clock")).cast(pl.Float64)
    return _one("total", x.cast(pl.Float64) * (-age / _clock_units(half_life) * math.log(2)).exp())


def _clock_units(half_life: float | str | Lookback) -> pl.Expr:
    if isinstance(half_life, float | int):
        return pl.lit(float(half_life))
    span = as_lookback(half_life)
    if span.kind == "horizon":
        return (pl.col("horizon") * span.size).cast(pl.Float64)
    if span.kind == "span":
        return pl.lit(float(span.size))
    raise FeatureError(
        f"{half_life!r} is not a half-life.", expected="clock units, a duration such as '7d', or horizon(n)"
    )


def smoothed(x: pl.Expr, strength: float) -> Aggregate:
    """Mean pulled to the mean over all keys: ``(sum + strength * prior) / (n + strength)``.

    ``strength`` counts as so many rows (m-estimate, Micci-Barreca 2001). A key without rows gets the prior; null
    only if there is no history at all.
    """
    prior = _divide_states("total", "valid", x)
    return (total(x) + strength * prior) / (_one("valid", x) + strength)


def _divide_states(above: Operation, below: Operation, x: pl.Expr) -> Aggregate:
    return _one(above, x, everywhere=True) / _one(below, x, everywhere=True)
