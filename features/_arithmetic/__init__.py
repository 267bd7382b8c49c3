"""Exact sums, states of aggregates, and the expressions that they are made of."""

from features._arithmetic.exact_sums import (
    EXACT_SQUARES,
    EXACT_STEPS,
    GRID,
    INT64_SAFE,
    INT64_SAFE_TILE,
    is_whole,
    spread_columns,
    spreads,
)
from features._arithmetic.expressions import (
    Handed,
    dtype_of,
    handed_out,
    is_filter,
    is_splittable,
    narrow_arithmetic,
    plain_column,
)
from features._arithmetic.states import EXTREMES, NO_EXTREME, Operation, State, reads_window, serialized

__all__ = [
    "EXACT_SQUARES",
    "EXACT_STEPS",
    "EXTREMES",
    "GRID",
    "INT64_SAFE",
    "INT64_SAFE_TILE",
    "NO_EXTREME",
    "Handed",
    "Operation",
    "State",
    "dtype_of",
    "handed_out",
    "is_filter",
    "is_splittable",
    "is_whole",
    "narrow_arithmetic",
    "plain_column",
    "reads_window",
    "serialized",
    "spread_columns",
    "spreads",
]
