"""The states of aggregates: one number or value a group of rows, named by what it is made of.

All but ``raw`` are mergeable: the state of a group is made of the partials of some of its rows each. ``partial`` gives
one, as Int64 sums or as a value; sums are added up, ``merge_values`` merges values, ``composed`` gives the state. Sums
are exact (``exact_sums``): neither the order of rows nor threads can change one, not even where large addends cancel.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import polars as pl

from features._arithmetic.exact_sums import (
    EXACT_SQUARES,
    EXACT_STEPS,
    GRID,
    INT64_SAFE,
    SMALL,
    STEPS,
    Spread,
    deviation,
    exact_sum,
    grid_sum,
    in_limbs,
    is_whole,
    of_limbs,
    square,
    steps,
)
from features._arithmetic.expressions import dtype_of, is_splittable, widened

Operation = Literal[
    "count",
    "valid",
    "total",
    "decayed",
    "deviation",
    "squares",
    "smallest",
    "largest",
    "first",
    "last",
    "raw",
]
_VALUES = {"smallest", "largest", "first", "last", "raw"}
_ZERO_WHEN_EMPTY = {"count", "valid", "total", "decayed", "deviation", "squares"}
_NEVER_WRAPS = (*SMALL, pl.Int32, pl.UInt32)
_OF_WINDOW = {"cutoff", "horizon"}
EXTREMES = {"smallest": np.minimum, "largest": np.maximum}
NO_EXTREME = {"smallest": np.iinfo(np.int64).max, "largest": np.iinfo(np.int64).min}  # in place of null


def serialized(expression: pl.Expr) -> str:
    """Text of an expression that changes when any constant in it changes. It differs between Polars versions.

    Made from the binary form: the JSON form writes infinities and NaN alike, as null.
    """
    return expression.meta.serialize(format="binary").hex()


def reads_window(expression: pl.Expr) -> bool:
    """Tell whether the expression depends on the window that it is computed for."""
    return not _OF_WINDOW.isdisjoint(expression.meta.root_names())


@dataclass(frozen=True)
class State:
    """One number (or value) a group: ``operation`` over ``expression``.

    ``everywhere``: over all keys at once. ``needs_time``: the expression counts in microseconds of a time clock.
    ``half_life``: of ``decayed``, in clock units; it may read ``horizon``.
    """

    operation: Operation
    expression: pl.Expr
    everywhere: bool = False
    needs_time: bool = False
    half_life: pl.Expr | None = None

    @cached_property
    def name(self) -> str:
        """Column that holds the state: the operation and a hash of all it is made of."""
        made_of = f"{self.operation}|{self.everywhere}|{serialized(self.expression)}"
        if self.half_life is not None:
            made_of += f"|{serialized(self.half_life)}"
        return f"{self.operation}_{hashlib.blake2b(made_of.encode(), digest_size=10).hexdigest()}"

    @property
    def is_value(self) -> bool:
        """Tell whether it is one of the values (or ``raw``), and not a count or sum."""
        return self.operation in _VALUES

    @property
    def is_sum(self) -> bool:
        """Tell whether values are added up."""
        return self.operation in ("total", "decayed", "deviation", "squares")

    @cached_property
    def is_mergeable(self) -> bool:
        """Tell whether partials can be merged, whatever window they are for."""
        if self.operation in ("raw", "count"):
            return self.operation == "count"
        return not reads_window(self.expression) and is_splittable(self.expression)

    @property
    def origin(self) -> str | None:
        """Column with the first value of the history that deviations are taken from, if the operation needs it."""
        if self.operation not in ("deviation", "squares"):
            return None
        digest = hashlib.blake2b(serialized(self.expression).encode(), digest_size=10).hexdigest()
        return f"origin_{digest}"

    @property
    def when_empty(self) -> int | None:
        """Value for a key without rows: 0 for counts and sums, null otherwise."""
        return 0 if self.operation in _ZERO_WHEN_EMPTY else None

    def value_dtype(self, schema: pl.Schema) -> pl.DataType | None:
        """Dtype of the values that the state is one of; None for counts and sums."""
        return self.dtype(schema) if self.operation in _VALUES else None

    def dtype(self, schema: pl.Schema) -> pl.DataType:
        """Dtype of the expression."""
        return dtype_of(self.expression, schema)

    def within_group(self, schema: pl.Schema) -> pl.Expr:
        """Express the state within a group of rows that are sorted by (clock, row)."""
        dtype = self.value_dtype(schema)
        state = self._expressed(schema)
        return (state if dtype is None else widened(state, dtype)).alias(self.name)

    def _expressed(self, schema: pl.Schema) -> pl.Expr:
        x = self.expression
        match self.operation:
            case "count":
                return pl.len().cast(pl.Int64)
            case "valid":
                return x.count().cast(pl.Int64)
            case "total":
                return exact_sum(x, self.dtype(schema))
            case "decayed":
                return grid_sum(x.cast(pl.Float64) * self.weight(pl.col("cutoff"), self._half_life()))
            case "deviation":
                return deviation(x, self._first(), small=self.is_small(schema)).sum()
            case "squares":
                return square(x, self._first(), small=self.is_small(schema)).sum()
            case "smallest":
                return x.min()
            case "largest":
                return x.max()
            case "first":
                return x.drop_nulls().first()
            case "last":
                return x.drop_nulls().last()
            case "raw":
                return x

    def weight(self, until: pl.Expr, half_life: pl.Expr) -> pl.Expr:
        """Weight of a row of a decayed sum as seen from a clock: ``2^(-(until - clock) / half_life)``."""
        age = (until - pl.col("clock")).cast(pl.Float64)
        return (-age / half_life * math.log(2)).exp()

    def _half_life(self) -> pl.Expr:
        return pl.lit(1.0) if self.half_life is None else self.half_life

    def clock_units(self, horizon: int) -> float:
        """Half-life of a decayed sum in clock units, for windows of that horizon."""
        frame = pl.DataFrame({"horizon": [horizon]}, schema={"horizon": pl.Int64})
        return float(frame.select(self._half_life().cast(pl.Float64)).item())

    def partial(self, schema: pl.Schema, until: int, half_life: float, origin: float | None) -> list[pl.Expr]:
        """Express a partial within a group: Int64 sums, or one value. Columns as ``partial_columns`` names them.

        ``until`` and ``half_life``: where and how a decayed sum is weighed from. ``origin``: what deviations are taken
        from.
        """
        x, first = self.expression, pl.lit(origin, pl.Float64)
        match self.operation:
            case "total" if not is_whole(self.dtype(schema)):
                return [steps(x).sum().alias(self.name)]
            case "decayed":
                addend = x.cast(pl.Float64) * self.weight(pl.lit(until, pl.Int64), pl.lit(half_life))
                return [steps(addend).sum().alias(self.name)]
            case "deviation":
                return [deviation(x, first, small=self.is_small(schema)).sum().alias(self.name)]
            case "squares":
                total, names = (
                    square(x, first, small=self.is_small(schema)).sum(),
                    self.partial_columns(schema),
                )
                return [total.alias(self.name)] if self.is_small(schema) else in_limbs(total, names)
            case _:
                return [self.within_group(schema)]

    def addend(self, schema: pl.Schema) -> pl.Expr | None:
        """Size of what is added up in Int64, as Float64; None if so many rows cannot leave its range."""
        x = self.expression
        if self.operation not in ("total", "decayed", "deviation"):
            return None
        if self.dtype(schema) in _NEVER_WRAPS:
            return None
        size = x.cast(pl.Float64).abs()
        return size if self.operation == "total" and is_whole(self.dtype(schema)) else size / GRID

    def exact_bound(self, dtype: pl.DataType) -> float | None:
        """Size from which on the state, a column of that dtype, is refused as inexact; None if it adds nothing up."""
        match self.operation:
            case "deviation":  # it is squared in Int128
                return INT64_SAFE
            case "squares":
                return EXACT_SQUARES / STEPS**2 if dtype == pl.Int64 else EXACT_SQUARES
            case "total" | "decayed":
                return EXACT_STEPS * GRID if dtype == pl.Float64 else EXACT_STEPS
            case _:
                return None

    def partial_columns(self, schema: pl.Schema) -> tuple[str, ...]:
        """Names of the columns of ``partial``."""
        if self.operation == "squares" and not self.is_small(schema):
            return (f"{self.name}_high", f"{self.name}_low")
        return (self.name,)

    def merge_values(self, earlier: pl.Series, later: pl.Series) -> pl.Series:
        """Merge two columns of values, those of earlier rows first."""
        frame = pl.DataFrame([earlier.alias("a"), later.alias("b")])
        a, b = pl.col("a"), pl.col("b")
        how = {
            "first": pl.coalesce(a, b),
            "last": pl.coalesce(b, a),
            "smallest": pl.when(a.is_null() | (b < a)).then(b).otherwise(a),
            "largest": pl.when(a.is_null() | (b > a)).then(b).otherwise(a),
        }
        return frame.select(how[self.operation]).to_series().alias(later.name)

    def composed(self, columns: Sequence[pl.Series], *, is_whole: bool) -> pl.Series:
        """Give the state from the merged columns of ``partial``. ``is_whole``: as ``sums_integers`` tells."""
        if self.operation == "squares" and not is_whole:
            return of_limbs(*columns).alias(self.name)
        return columns[0] * GRID if self.operation == "total" and not is_whole else columns[0]

    def is_integer_extreme(self, schema: pl.Schema) -> bool:
        """Tell whether it is the smallest or largest of integers, which are kept as dense Int64."""
        dtype = self.value_dtype(schema) if self.operation in EXTREMES else None
        return dtype is not None and dtype.is_integer() and dtype not in (pl.UInt64, pl.Int128, pl.UInt128)

    def sums_integers(self, schema: pl.Schema) -> bool:
        """Tell whether partials are sums of whole numbers; others are summed in steps of the grid."""
        return self.is_small(schema) or (self.operation == "total" and is_whole(self.dtype(schema)))

    def is_small(self, schema: pl.Schema) -> bool:
        """Tell whether deviations are in units of one: those of integers of 16 bits at most."""
        return self.operation in ("deviation", "squares") and self.dtype(schema) in SMALL

    @cached_property
    def spread(self) -> Spread | None:
        """What the squares are for."""
        if self.operation != "squares":
            return None
        rows, deviations = State("valid", self.expression), State("deviation", self.expression)
        return Spread(rows.name, deviations.name, self.name)

    def _first(self) -> pl.Expr:
        # first(): the origin is one number, however many rows a filter in the expression leaves.
        return pl.col(str(self.origin)).first()
