"""States of narrowed rows without a group-by: rows sorted by (code, row) as one number each, and sums over runs.

A wide key has few rows each. Sorting their numbers is several times cheaper than hashing them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from features._accumulate import EXTREME, NONE, is_integer_extreme
from features._rowwise import is_rowwise
from features._states import State
from features._widths import plain_column

_SUMMED = (
    pl.Boolean,
    pl.Int8,
    pl.UInt8,
    pl.Int16,
    pl.UInt16,
    pl.Int32,
    pl.UInt32,
)  # as they are; others as Int64


def can_reduce(state: State, schema: pl.Schema) -> bool:
    """Tell whether the state is a number of rows, a sum of what rows add, or an extreme of integers.

    What leaves rows out (``x.filter(...)``), and a constant, has no value for each of them.
    """
    x = state.expression
    if state.operation == "count":
        return True
    if not x.meta.is_known_length() or not x.meta.root_names():
        return False
    is_extreme = is_integer_extreme(state, schema) and is_rowwise(x)
    return is_extreme or state.by_row(schema, 0.0) is not None


def reduced(
    states: Sequence[State], rows: pl.DataFrame, schema: pl.Schema, references: Mapping[str, float | None]
) -> pl.DataFrame:
    """Give what ``State.partial`` gives in a group-by of ``code``, which is a column of the rows; codes ascend."""
    runs = _Runs(rows["code"].to_numpy())
    added = {s.name: _by_row(s, schema, references) for s in states if s.operation != "count"}
    values = rows.select(expression.alias(name) for name, expression in added.items())
    found: dict[str, pl.Series] = {"code": pl.Series("code", runs.codes)}
    for state in states:
        if state.operation == "count":
            parts = runs.lengths
        elif state.operation in EXTREME:
            none = NONE[state.operation]
            column = values[state.name].cast(pl.Int64).fill_null(none).to_numpy()
            parts = EXTREME[state.operation].reduceat(column.take(runs.order), runs.starts)
        else:
            parts = runs.sums(values[state.name])
        found[state.name] = pl.Series(state.name, parts)
    return pl.DataFrame(list(found.values()))


def _by_row(state: State, schema: pl.Schema, references: Mapping[str, float | None]) -> pl.Expr:
    if state.operation in EXTREME:
        return state.expression
    name = plain_column(state.expression, schema)
    if state.operation == "total" and name is not None and schema[name] in _SUMMED:
        return pl.col(name)  # in as few bytes as it has
    added = state.by_row(schema, references.get(str(state.reference)))
    return pl.lit(0) if added is None else added


class _Runs:
    """Rows of the same code, one after the other. ``order``: numbers of the rows, in that order."""

    def __init__(self, codes: npt.NDArray[np.uint32]) -> None:
        n_bits = np.uint64(len(codes).bit_length())
        packed = codes.astype(np.uint64) << n_bits
        packed |= np.arange(len(codes), dtype=np.uint64)
        packed.sort()
        self.order = (packed & ((np.uint64(1) << n_bits) - np.uint64(1))).astype(np.int64)
        ordered = (packed >> n_bits).astype(np.uint32)
        is_start = np.ones(len(codes), dtype=np.bool_)
        np.not_equal(ordered[1:], ordered[:-1], out=is_start[1:])
        self.starts = np.flatnonzero(is_start)
        self.codes = ordered.take(self.starts)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Number of rows of each code."""
        return np.diff(self.starts, append=len(self.order))

    def sums(self, values: pl.Series) -> npt.NDArray[np.int64]:
        """Sum of the values of each code, null counting as 0."""
        narrow = values if values.dtype in _SUMMED else values.cast(pl.Int64)
        column: npt.NDArray[Any] = narrow.fill_null(0 if narrow.dtype != pl.Boolean else False).to_numpy()
        return np.add.reduceat(column.take(self.order), self.starts, dtype=np.int64)
