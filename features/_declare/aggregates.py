"""The aggregate functions of ``@aggregate``: states within a group, arithmetic between them, a finish.

An aggregate is a set of *states* (one number a group each, named by what they are made of, so that two features
share them) and a *finish*: a Polars expression over the states. Arithmetic between aggregates joins the states and
combines the finishes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real

import polars as pl

from competitions import is_rowwise, keeps_rows
from features._arithmetic import GRID, Operation, State, spreads
from features._declare.errors import FeatureError
from features._declare.lookback import Lookback, as_lookback


@dataclass(frozen=True)
class Aggregate:
    """States by name and the finish over them. ``dtype``: what a column of it has unless declared otherwise."""

    states: Mapping[str, State]
    finish: pl.Expr
    dtype: pl.DataType | None = None

    def map(self, change: Callable[[pl.Expr], pl.Expr]) -> Aggregate:
        """Apply an elementwise Polars function to the finished value: ``count().map(lambda n: n.log1p())``.

        Raises FeatureError if it looks at other keys or columns: ranks and the like are for ``@per_pair``.
        """
        finish = _column(change(self.finish))
        known = {*self.states, *(one.name for one in spreads(self.states.values()))}
        others = set(finish.meta.root_names()) - known
        if others or not is_rowwise(finish) or not keeps_rows(finish):
            raise FeatureError(
                "An aggregate is mapped by a function that looks at more than its own value.",
                expected="an elementwise expression of the value, such as n.log1p()",
                todo="put the aggregate and what is made of it into two features, the second @per_pair",
            )
        return Aggregate(self.states, finish)

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
    if not isinstance(b, Real):
        raise FeatureError(
            f"An aggregate meets {b!r} in arithmetic.", expected="another aggregate, or a number"
        )
    return Aggregate(a.states, how(a.finish, pl.lit(b)))


def _one(
    operation: Operation, x: pl.Expr, *, everywhere: bool = False, dtype: pl.DataType | None = None
) -> Aggregate:
    state = State(operation, _column(x), everywhere)
    return Aggregate({state.name: state}, pl.col(state.name), dtype)


def _column(x: object) -> pl.Expr:
    if isinstance(x, pl.Expr) and not x.meta.has_multiple_outputs():
        return x
    raise FeatureError(
        f"An aggregate was given {x!r}.",
        expected="one column of the log, or an expression of it, such as log.rating",
        todo="write the lookback of the last rows of a key as last_n(10)" if isinstance(x, int) else "",
    )


def raw(expression: pl.Expr) -> Aggregate:
    """Wrap a plain Polars aggregation (``log.item_id.n_unique()``). Null for a key without rows."""
    return _one("raw", expression)


def count(where: pl.Expr | None = None) -> Aggregate:
    """Number of rows, or of rows where the expression holds. 0 for a key without rows."""
    if where is None:
        return _one("count", pl.lit(1), dtype=pl.UInt32())
    return _one("total", _column(where).cast(pl.Boolean), dtype=pl.UInt32())


def total(x: pl.Expr) -> Aggregate:
    """Sum of the non-null values. 0 for a key without rows."""
    return _one("total", x)


def mean(x: pl.Expr) -> Aggregate:
    """Mean of the non-null values. Null for a key without any."""
    return total(x) / _one("valid", x)


def std(x: pl.Expr) -> Aggregate:
    """Sample standard deviation of the non-null values (n - 1). Null below two values.

    Values are rounded to the grid of 2^-20 (about 1e-6), and no digit is lost after that: the sums of their deviations
    from the history's first value and of the squares of these are integers.
    """
    n, s1, s2 = _one("valid", x), _one("deviation", x), _one("squares", x)
    states = {**n.states, **s1.states, **s2.states}
    (spread,) = spreads(states.values())
    deviation = (pl.col(spread.name) / (n.finish * (n.finish - 1))).sqrt() * GRID
    return Aggregate(states, pl.when(n.finish > 1).then(deviation))


def smallest(x: pl.Expr) -> Aggregate:
    """Smallest non-null value. Null for a key without any."""
    return _one("smallest", x)


def largest(x: pl.Expr) -> Aggregate:
    """Largest non-null value. Null for a key without any."""
    return _one("largest", x)


def first(x: pl.Expr) -> Aggregate:
    """First non-null value by (clock, row). Null for a key without any."""
    return _one("first", x)


def last(x: pl.Expr) -> Aggregate:
    """Last non-null value by (clock, row). Null for a key without any."""
    return _one("last", x)


def decayed(x: pl.Expr, half_life: float | str | Lookback) -> Aggregate:
    """Sum of ``x * 2^(-(cutoff - clock) / half_life)``. 0 for a key without rows.

    ``half_life``: clock units, a duration (``"7d"``, time clock) or ``horizon(n)``. Addends are on the grid, so what
    has decayed below 2^-21 counts nothing. The clock is cut where histories of windows end, and each addend is first
    weighed from the next cut: within 2^-21 a row of the exact sum, and the same bits whatever else is computed, as
    long as windows lie one horizon apart. A filter within ``x`` is refused: its values
    would meet others' ages.
    """
    if not keeps_rows(_column(x)):
        raise FeatureError(
            "decayed() was given a filtered column.",
            expected="one value a row",
            todo="use pl.when(log.like).then(log.x), or where=",
        )
    state = State("decayed", x, needs_time=isinstance(half_life, str), half_life=_clock_units(half_life))
    return Aggregate({state.name: state}, pl.col(state.name))


def _clock_units(half_life: float | str | Lookback) -> pl.Expr:
    if isinstance(half_life, str | Lookback):
        span = as_lookback(half_life)
        if span.kind == "horizon":
            return (pl.col("horizon") * span.size).cast(pl.Float64)
        if span.kind == "span":
            return pl.lit(float(span.size))
    elif isinstance(half_life, Real) and half_life > 0 and math.isfinite(half_life):
        return pl.lit(float(half_life))
    raise FeatureError(
        f"{half_life!r} is not a half-life.", expected="clock units, a duration such as '7d', or horizon(n)"
    )


def smoothed(x: pl.Expr, strength: float) -> Aggregate:
    """Mean pulled to the mean over all keys: ``(sum + strength * prior) / (n + strength)``.

    ``strength`` counts as so many rows (m-estimate, Micci-Barreca 2001). A key without rows gets the prior; null
    only if there is no history at all. Raises FeatureError if the strength is negative.
    """
    if not isinstance(strength, Real) or not 0 <= strength < math.inf:
        raise FeatureError(
            f"smoothed() has a strength of {strength!r}.", expected="a number of rows, 0 or more"
        )
    prior = _divide_states("total", "valid", x)
    return (total(x) + strength * prior) / (_one("valid", x) + strength)


def _divide_states(above: Operation, below: Operation, x: pl.Expr) -> Aggregate:
    return _one(above, x, everywhere=True) / _one(below, x, everywhere=True)
