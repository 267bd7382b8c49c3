"""The states of aggregates: one number or value a group of rows, named by what it is made of.

Float addends are rounded to the grid of 2^-20 and summed as Int64 grid steps, so neither the order of rows nor
threads can change a sum, not even where large addends cancel. A sum is exact as long as it stays below 2^53 grid
steps (8.6e9); beyond, it is refused. Deviations and their squares are kept in steps, the squares as Int128.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import polars as pl

from features._widths import dtype_of, widened

GRID = 2.0**-20
EXACT_STEPS = 2.0**53
EXACT_SQUARES = 2.0**94  # of steps squared, summed as Int128: times 2^32 rows it still is one
Operation = Literal[
    "count", "valid", "total", "deviation", "squares", "smallest", "largest", "first", "last", "raw"
]
_VALUES = {"smallest", "largest", "first", "last", "raw"}
_ZERO_WHEN_EMPTY = {"count", "valid", "total", "deviation", "squares"}


def serialized(expression: pl.Expr) -> str:
    """Text of an expression that changes when any constant in it changes. It differs between Polars versions.

    Made from the binary form: the JSON form writes infinities and NaN alike, as null.
    """
    return expression.meta.serialize(format="binary").hex()


@dataclass(frozen=True)
class State:
    """One number (or value) a group: ``operation`` over ``expression``.

    ``everywhere``: over all keys at once. ``needs_time``: the expression counts in microseconds of a time clock.
    """

    operation: Operation
    expression: pl.Expr
    everywhere: bool = False
    needs_time: bool = False

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

    def value_dtype(self, schema: pl.Schema) -> pl.DataType | None:
        """Dtype of the values that the state is one of; None for counts and sums."""
        return dtype_of(self.expression, schema) if self.operation in _VALUES else None

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
                return _exact_sum(x, schema)
            case "deviation":
                return self._deviation_steps().sum()
            case "squares":
                return (
                    self._deviation_steps().cast(pl.Int128) * self._deviation_steps().cast(pl.Int128)
                ).sum()
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

    def _deviation_steps(self) -> pl.Expr:
        # first(): the reference is one number, however many rows a filter in the expression leaves.
        return _steps(self.expression.cast(pl.Float64) - pl.col(str(self.reference)).first())


def _steps(x: pl.Expr) -> pl.Expr:
    return (x.cast(pl.Float64) / GRID).round().cast(pl.Int64)


def _grid_sum(x: pl.Expr) -> pl.Expr:
    return _steps(x).sum() * GRID


def _exact_sum(x: pl.Expr, schema: pl.Schema) -> pl.Expr:
    """Sum integers as Int64 and floats on the grid."""
    dtype = dtype_of(x, schema)
    return x.cast(pl.Int64).sum() if dtype.is_integer() or dtype == pl.Boolean else _grid_sum(x)
