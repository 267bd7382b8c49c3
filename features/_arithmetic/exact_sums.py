"""Which sums are exact, whatever the order of rows: addends in steps of a grid, and the deviations of a spread.

Floats are rounded to the grid of 2^-20 and summed as integers. The squares of integers of 16 bits at most are
integers that add up in Int64, in units of one. Others are in steps of the grid, their squares summed as Int128 and
carried as two Int64: whole multiples of ``LIMB``, and the rest. A sum of 2^53 steps (8.6e9) or more is refused, and
before that any addends that could leave the range of Int64, where a sum wraps around unseen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import polars as pl

GRID = 2.0**-20
STEPS = 2**20
EXACT_STEPS = 2.0**53
INT64_SAFE = 2.0**62  # addends of a smaller total size cannot have wrapped around
INT64_SAFE_TILE = 2.0**56  # so that 64 tiles cannot either


def steps(x: pl.Expr) -> pl.Expr:
    """Round to the grid, as Int64 steps."""
    return (x.cast(pl.Float64) / GRID).round().cast(pl.Int64)


def grid_sum(x: pl.Expr) -> pl.Expr:
    """Sum on the grid, as Float64."""
    return steps(x).sum() * GRID


def exact_sum(x: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Sum integers as Int64 and floats on the grid."""
    if dtype == pl.Boolean:  # twice as fast as a sum of Int64
        return x.sum().cast(pl.Int64)
    return x.cast(pl.Int64).sum() if is_whole(dtype) else grid_sum(x)


def is_whole(dtype: pl.DataType) -> bool:
    """Tell whether the values are integers or Booleans."""
    return dtype.is_integer() or dtype == pl.Boolean


EXACT_SQUARES = 2.0**94  # of steps squared, summed as Int128: times 2^32 rows it still is one
LIMB = 2**32
SMALL = (
    pl.Boolean,
    pl.Int8,
    pl.UInt8,
    pl.Int16,
    pl.UInt16,
)  # squares of deviations add up in Int64, in units of one
_FITS = 2.0**62


def deviation(x: pl.Expr, origin: pl.Expr, *, small: bool) -> pl.Expr:
    """Distance from the origin, as Int64: in units of one if the values are small, else in steps."""
    if small:
        return x.cast(pl.Int64) - origin.cast(pl.Int64)
    return steps(x.cast(pl.Float64) - origin)


def square(x: pl.Expr, origin: pl.Expr, *, small: bool) -> pl.Expr:
    """Square of the distance, as Int64 if the values are small, else as Int128."""
    far = deviation(x, origin, small=small)
    return far * far if small else far.cast(pl.Int128) * far.cast(pl.Int128)


def in_limbs(squares: pl.Expr, names: Sequence[str]) -> list[pl.Expr]:
    """Carry an Int128 sum as two Int64. At the upper bound it is refused."""
    limbs = ((squares // LIMB).clip(upper_bound=2**62), squares % LIMB)
    return [limb.cast(pl.Int64).alias(name) for limb, name in zip(limbs, names, strict=True)]


def of_limbs(high: pl.Series, low: pl.Series) -> pl.Series:
    """Give the Int128 sum that two Int64 carry."""
    whole = pl.lit(high.cast(pl.Int128)) * pl.lit(LIMB, pl.Int128) + pl.lit(low.cast(pl.Int128))
    return pl.select(whole).to_series()


@dataclass(frozen=True)
class Spread:
    """Names of the states that a spread is made of: number of values, sum of deviations, sum of their squares."""

    rows: str
    deviation: str
    squares: str

    @property
    def name(self) -> str:
        """Column of the spread."""
        return f"spread_{hashlib.blake2b(self.squares.encode(), digest_size=10).hexdigest()}"

    def expressed(self, *, unit: int, in_64_bits: bool) -> pl.Expr:
        """Express ``rows * squares - deviation^2`` in steps squared, as Float64; ``unit``: steps in a deviation's one.

        The integers are exact. That the unit is a power of two leaves the digits of the rounded one as they are.
        """
        n, s1, s2 = (pl.col(name) for name in (self.rows, self.deviation, self.squares))
        if not in_64_bits:
            n, s1, s2 = (one.cast(pl.Int128) for one in (n, s1, s2))
        elif unit == 1:
            s2 = s2.cast(pl.Int64)
        return ((n * s2 - s1 * s1).cast(pl.Float64) * float(unit**2)).alias(self.name)


class HasSpread(Protocol):
    """A state that may be the squares of a spread."""

    @property
    def spread(self) -> Spread | None:
        """The spread, if it is."""


def spreads(states: Iterable[HasSpread]) -> list[Spread]:
    """Give the spreads that states belong to, each once."""
    return list(dict.fromkeys(s.spread for s in states if s.spread is not None))


def spread_columns(frame: pl.DataFrame, asked: Iterable[Spread]) -> list[pl.Expr]:
    """Express spreads over a frame of states, in Int64 where all of it provably fits, which is several times faster.

    Where ``rows * squares`` fits, the square of the sum fits as well: it is not larger (Cauchy-Schwarz).
    """
    found = []
    for one in asked:
        squares = frame[one.squares]
        product = _largest(frame[one.rows]) * _largest(squares)
        unit = STEPS if squares.dtype == pl.Int64 else 1
        found.append(one.expressed(unit=unit, in_64_bits=product < _FITS))
    return found


def _largest(values: pl.Series) -> float:
    largest: Any = values.max()
    return 0.0 if largest is None else float(largest)
