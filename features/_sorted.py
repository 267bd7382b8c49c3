"""Aggregates of a wide key for all of its values: rows sorted by (key, tile, row), and prefix sums over the rows.

With nearly as many keys as rows, grouping them is most of the work. Here key, tile and row are one number, sorting
numbers is cheap, and every window and lookback is the difference of two running sums, several in one number.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from competitions import Dataset
from features._chunks import SortedRows
from features._grid import Grid
from features._groups import Group, full_schema
from features._lanes import WORD, pack
from features._registry import Key
from features._spans import MOST_TILES
from features._states import State
from features._tails import References
from features._widths import plain_column

MOST_IDS = 2**27  # of a key's column: they are looked up in an array
_UNSIGNED = (pl.UInt8, pl.UInt16, pl.UInt32, pl.Enum, pl.Boolean)


def can_sort(group: Group, dataset: Dataset, grid: Grid, rows: pl.DataFrame) -> bool:
    """Tell whether every state of the group is a sum of what rows add, or of the clock, and rows fit 64 bits."""
    schema = full_schema(dataset)
    n_codes = math.prod(n_values(rows, group.key))
    return (
        bool(group.key)
        and all(_is_small(rows[name]) for name in group.key)
        and not group.carried
        and grid.n_cells <= MOST_TILES
        and n_codes.bit_length() + sum(_n_bits(rows, grid)) <= WORD
        and all(_is_sum(state, schema) or _is_of_clock(state, schema) for state in group.merged)
    )


def n_values(rows: pl.DataFrame, key: Key) -> list[int]:
    """Count the values of each column of a key, null among them."""
    return [_n_values(rows[name]) for name in key]


def _n_values(ids: pl.Series) -> int:
    """Count small numbers by an array, which is faster than by a hash table."""
    return int(np.count_nonzero(_known(ids))) + ids.has_nulls() if _is_small(ids) else ids.n_unique()


def _is_small(ids: pl.Series) -> bool:
    return isinstance(ids.dtype, _UNSIGNED) and int(ids.to_physical().max() or 0) < MOST_IDS  # type: ignore[arg-type]


def _known(ids: pl.Series) -> npt.NDArray[np.bool_]:
    """Tell of every number up to the largest whether it occurs. Null counts as nothing."""
    numbers = ids.drop_nulls().to_physical().cast(pl.UInt32).to_numpy()
    known = np.zeros(int(numbers.max(initial=0)) + 1, dtype=np.bool_)
    known[numbers] = True
    return known


def _n_bits(rows: pl.DataFrame, grid: Grid) -> tuple[int, int]:
    """Bits that hold the number of a row, and that of a tile."""
    return max(rows.height, 2).bit_length(), grid.n_cells.bit_length()


def _is_sum(state: State, schema: pl.Schema) -> bool:
    return state.operation == "count" or state.by_row(schema, 0.0) is not None


def _is_of_clock(state: State, schema: pl.Schema) -> bool:
    return state.operation in ("smallest", "largest") and plain_column(state.expression, schema) == "clock"


def sort_rows(
    group: Group, dataset: Dataset, grid: Grid, rows: pl.DataFrame, references: References
) -> SortedRows:
    """Sort rows, which lie in the order of (clock, row). ``can_sort`` tells whether they can be."""
    schema = full_schema(dataset)
    n_row_bits, n_tile_bits = _n_bits(rows, grid)
    rows = rows.filter(pl.all_horizontal(pl.col(name).is_not_null() for name in group.key))
    codes = _codes(rows, group.key)
    clock = rows["clock"].to_numpy()
    tile = np.searchsorted(np.asarray(grid.bounds), clock, side="right").astype(np.uint64)
    packed = ((codes << np.uint64(n_tile_bits)) | tile) << np.uint64(n_row_bits)
    packed |= np.arange(rows.height, dtype=np.uint64)
    packed = packed[: int(np.searchsorted(clock, grid.bounds[-1]))]
    packed.sort()
    addends = pack(_addends(group, rows, schema, references), _most_rows(packed, n_row_bits + n_tile_bits))
    whole = {state.name for state in group.merged if state.sums_integers(schema)}
    return SortedRows(packed, n_row_bits, n_tile_bits, rows.select(group.key), clock, addends, whole, grid)


def _most_rows(packed: npt.NDArray[np.uint64], n_bits: int) -> int:
    """Give the most rows that a key has; the key is above so many bits."""
    codes = packed >> np.uint64(n_bits)
    ends = np.flatnonzero(codes[1:] != codes[:-1])
    return int(np.diff(ends, prepend=-1, append=len(codes) - 1).max())


def _codes(rows: pl.DataFrame, key: Key) -> npt.NDArray[np.uint64]:
    """Number each row's key, column by column."""
    codes = np.zeros(rows.height, dtype=np.uint64)
    for name in key:
        known = _known(rows[name])
        numbers = (np.cumsum(known) - 1).astype(np.uint64)
        codes *= np.uint64(np.count_nonzero(known))
        codes += numbers.take(rows[name].to_physical().cast(pl.UInt32).to_numpy())
    return codes


def _addends(
    group: Group, rows: pl.DataFrame, schema: pl.Schema, references: References
) -> dict[str, npt.NDArray[Any]]:
    """What each row adds to each sum, in as few bytes as hold it."""
    found: dict[str, npt.NDArray[Any]] = {}
    for state in group.merged:
        added = state.by_row(schema, references.get(str(state.reference)))
        if state.operation != "count" and added is not None:
            values = rows.select(added.alias(state.name)).to_series()
            values = values.cast(pl.UInt8) if values.dtype == pl.Boolean else values.shrink_dtype()
            found[state.name] = values.fill_null(0).to_numpy()
    return found
