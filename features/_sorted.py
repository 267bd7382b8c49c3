"""Aggregates of a wide key for all of its values: rows sorted by (key, tile, row), and prefix sums over the rows.

With nearly as many keys as rows, grouping them is most of the work. Here key, tile and row are one number, sorting
numbers is cheap, and every window and lookback is the difference of two running sums, several in one number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from competitions import Dataset
from features._chunks import SortedRows, run_starts
from features._grid import Grid
from features._groups import Group, full_schema
from features._lanes import WORD, Lane, Words, lay_out
from features._registry import Key
from features._spans import MOST_TILES
from features._states import State
from features._tails import References
from features._widths import plain_column

MOST_IDS = 2**27  # of a key's column: they are looked up in an array
BLOCK_ROWS = 2**16  # so that what is made of them stays near the processor
Ranks = npt.NDArray[np.uint64]  # by id
_UNSIGNED = (pl.UInt8, pl.UInt16, pl.UInt32, pl.Enum, pl.Boolean)
_NARROW = (pl.Boolean, pl.Int8, pl.UInt8, pl.Int16, pl.UInt16, pl.Int32, pl.UInt32)


def can_sort(group: Group, dataset: Dataset, grid: Grid, n_rows: int, ranks: Sequence[Ranks]) -> bool:
    """Tell whether every state of the group is a sum of what rows add, or of the clock, and rows fit 64 bits."""
    schema = full_schema(dataset)
    n_codes = math.prod(int(one[-1]) + 1 for one in ranks)
    return (
        len(ranks) == len(group.key) > 0
        and not group.carried
        and grid.n_cells <= MOST_TILES
        and n_codes.bit_length() + sum(_n_bits(n_rows, grid)) <= WORD
        and all(_is_sum(state, schema) or _is_of_clock(state, schema) for state in group.merged)
    )


def ranks_of(rows: pl.DataFrame, key: Key) -> list[Ranks]:
    """Number the ids of each column of a key; columns whose ids are no small numbers are left out."""
    return [_ranks(_numbers(rows[name].drop_nulls())) for name in key if _most_id(rows[name]) < MOST_IDS]


def _ranks(numbers: npt.NDArray[np.uint32]) -> Ranks:
    known = np.zeros(int(numbers.max(initial=0)) + 1, dtype=np.bool_)
    known[numbers] = True
    return (np.cumsum(known) - 1).astype(np.uint64)


def most_values(rows: pl.DataFrame, key: Key) -> int:
    """Give a bound of the number of keys. Small numbers are not counted, only the largest is found."""
    most = [(_most_id(rows[name]), rows[name]) for name in key]
    return math.prod(largest + 2 if largest < MOST_IDS else ids.n_unique() for largest, ids in most)


def _most_id(ids: pl.Series) -> int:
    """Largest number of a column; MOST_IDS if it holds no small numbers."""
    if not isinstance(ids.dtype, _UNSIGNED):
        return MOST_IDS
    return int(ids.to_physical().max() or 0)  # type: ignore[arg-type]


def _numbers(ids: pl.Series) -> npt.NDArray[np.uint32]:
    return ids.to_physical().cast(pl.UInt32).to_numpy()


def _n_bits(n_rows: int, grid: Grid) -> tuple[int, int]:
    """Bits that hold the number of a row, and that of a tile."""
    return max(n_rows, 2).bit_length(), grid.n_cells.bit_length()


def _is_sum(state: State, schema: pl.Schema) -> bool:
    return state.operation == "count" or state.by_row(schema, 0.0) is not None


def _is_of_clock(state: State, schema: pl.Schema) -> bool:
    return state.operation in ("smallest", "largest") and plain_column(state.expression, schema) == "clock"


def sort_rows(
    group: Group,
    dataset: Dataset,
    grid: Grid,
    rows: pl.DataFrame,
    ranks: Sequence[Ranks],
    references: References,
) -> SortedRows:
    """Sort rows, which lie in the order of (clock, row). ``can_sort`` tells whether they can be."""
    schema = full_schema(dataset)
    n_row_bits, n_tile_bits = _n_bits(rows.height, grid)
    if any(rows[name].has_nulls() for name in group.key):
        rows = rows.drop_nulls(group.key)
    ends = np.searchsorted(rows["clock"].to_numpy(), grid.bounds)
    tiles = np.repeat(np.arange(grid.n_cells, dtype=np.uint8), np.diff(ends, prepend=0))
    rows = rows[: len(tiles)]
    numbers = [_numbers(rows[name]) for name in group.key]
    packed = np.empty(rows.height, dtype=np.uint64)
    for begin, end in _blocks(rows.height):
        own = _codes([ids[begin:end] for ids in numbers], ranks)
        own <<= np.uint64(n_tile_bits)
        own |= tiles[begin:end]
        own <<= np.uint64(n_row_bits)
        own |= np.arange(begin, end, dtype=np.uint64)
        packed[begin:end] = own
    packed.sort()
    most_rows = _most_rows(packed, n_row_bits + n_tile_bits)
    values, lanes = _values(group, rows, schema, references, most_rows)
    whole = {state.name for state in group.merged if state.sums_integers(schema)}
    return SortedRows(packed, n_row_bits, n_tile_bits, rows.select(group.key), values, lanes, whole, grid)


def _codes(ids: Sequence[npt.NDArray[np.uint32]], ranks: Sequence[Ranks]) -> Words:
    """Number each row's key, column by column."""
    codes = np.zeros(len(ids[0]), dtype=np.uint64)
    for rank, own in zip(ranks, ids, strict=True):
        codes *= rank[-1] + np.uint64(1)
        codes += rank.take(own)
    return codes


def _blocks(n_rows: int) -> Iterator[tuple[int, int]]:
    for begin in range(0, n_rows, BLOCK_ROWS):
        yield begin, min(begin + BLOCK_ROWS, n_rows)


def _most_rows(packed: Words, n_bits: int) -> int:
    """Give the most rows that a key has; the key is above so many bits."""
    most, first = 0, 0
    for begin, end in _blocks(len(packed)):
        starts = run_starts(packed[max(begin - 1, 0) : end] >> np.uint64(n_bits)) + max(begin - 1, 0)
        starts[0] = first  # of the key that the row before belongs to
        most = max(most, int(np.diff(starts, append=end).max()))
        first = int(starts[-1])
    return most


def _values(
    group: Group, rows: pl.DataFrame, schema: pl.Schema, references: References, most_rows: int
) -> tuple[Words, dict[str, Lane]]:
    """Pack what each row adds to each sum, and put its clock beside it."""
    states = [state for state in group.merged if state.operation != "count" and _is_sum(state, schema)]
    added = {state.name: _added(state, schema, references) for state in states}
    lanes = lay_out(_ranges(states, added, rows, schema), most_rows)
    n_words = max((lane.word + 1 for lane in lanes.values()), default=0)
    packed = np.zeros((rows.height, 2 ** n_words.bit_length()), dtype=np.uint64)
    clock = rows["clock"].to_numpy().view(np.uint64)
    for begin, end in _blocks(rows.height):
        packed[begin:end, n_words] = clock[begin:end]
        block = rows[begin:end].select(added.values())
        for name, lane in lanes.items():
            values = block[name]
            own = values.cast(pl.Int64).fill_null(0) if values.has_nulls() else values
            lane.put(own.to_numpy(), packed[begin:end, lane.word])
    return packed, lanes


def _added(state: State, schema: pl.Schema, references: References) -> pl.Expr:
    """Express what a row adds to a sum, an integer in as few bytes as it has."""
    column = plain_column(state.expression, schema)
    if column is not None and state.operation == "total" and schema[column] in _NARROW:
        return pl.col(column).alias(state.name)
    added = state.by_row(schema, references.get(str(state.reference)))
    return (pl.lit(0) if added is None else added).alias(state.name)


def _ranges(
    states: Sequence[State], added: Mapping[str, pl.Expr], rows: pl.DataFrame, schema: pl.Schema
) -> dict[str, tuple[int, int]]:
    """Smallest and largest of what rows add to each sum, but for zero; 0 where nothing.

    What is made of one column is farthest from zero where the column is smallest or largest.
    """
    ends = pl.concat([rows.select(pl.all().min()), rows.select(pl.all().max())])
    found: dict[str, tuple[int, int]] = {}
    for state in states:
        of = rows if plain_column(state.expression, schema) is None else ends
        values = of.select(added[state.name].cast(pl.Int64))[state.name]
        found[state.name] = (int(values.min() or 0), int(values.max() or 0))  # type: ignore[arg-type]
    return found
