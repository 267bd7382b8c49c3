"""Aggregates of a wide key for all of its values: rows sorted by (key, tile, row), and prefix sums over the rows.

With nearly as many keys as rows, grouping them is most of the work. Here key, tile and row are one number, sorting
numbers is cheap, and every window and lookback is the difference of two running sums, several in one number.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from competitions import Dataset
from features._grid import Grid
from features._groups import Group, full_schema
from features._lanes import WORD, Lane, Lanes, Words, pack
from features._lookback import Lookback
from features._registry import Key
from features._spans import Positions
from features._states import State
from features._tails import References
from features._widths import plain_column
from validation import Window

CHUNK_CELLS = 2**23  # rows x tables of a chunk: large enough that tables are few, small enough for memory
CHUNK_ROWS = (2**16, 2**19)  # at least and at most
MOST_IDS = 2**27  # of a key's column: they are looked up in an array
_UNSIGNED = (pl.UInt8, pl.UInt16, pl.UInt32, pl.Enum, pl.Boolean)

Slot = tuple[Window, Lookback]
T = TypeVar("T")


def can_sort(group: Group, dataset: Dataset, grid: Grid, rows: pl.DataFrame) -> bool:
    """Tell whether every state of the group is a sum of what rows add, or of the clock, and rows fit 64 bits."""
    schema = full_schema(dataset)
    n_codes = math.prod(n_values(rows, group.key))
    return (
        bool(group.key)
        and all(_is_small(rows[name]) for name in group.key)
        and not group.carried
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


@dataclass(frozen=True)
class SortedRows:
    """Rows of the log sorted by (key, tile, row), as one number a row.

    ``packed`` UInt64 (n_rows,): the key's code, the tile, and the number of the row in ``keys``, ``clock`` and
    ``addends``, in so many bits. ``whole``: states that are sums of integers.
    """

    packed: npt.NDArray[np.uint64]
    n_row_bits: int
    n_tile_bits: int
    keys: pl.DataFrame
    clock: Positions
    addends: Lanes
    whole: Collection[str]
    grid: Grid

    def in_chunks(self, work: Callable[[Chunk], Sequence[T]], n_tables: int) -> Iterator[T]:
        """Cut at keys into chunks, and yield what ``work`` makes of each, ``n_tables`` tables, in their order.

        It runs in as many threads as Polars has.
        """
        chunk = min(max(CHUNK_CELLS // max(n_tables, 1), CHUNK_ROWS[0]), CHUNK_ROWS[1])
        codes, n_rows = self.packed >> np.uint64(self.n_row_bits + self.n_tile_bits), len(self.packed)
        cuts = [0]
        while cuts[-1] < n_rows:
            end = min(cuts[-1] + chunk, n_rows)
            cuts.append(int(np.searchsorted(codes, codes[end - 1], side="right")))
        del codes
        spans, n_threads = list(pairwise(cuts)), pl.thread_pool_size()

        def done(span: tuple[int, int]) -> Sequence[T]:
            return work(self._chunk(*span))

        with ThreadPoolExecutor(n_threads) as pool:
            waiting = deque(pool.submit(done, span) for span in spans[:n_threads])
            for number in range(len(spans)):
                found = waiting.popleft().result()
                if number + n_threads < len(spans):
                    waiting.append(pool.submit(done, spans[number + n_threads]))
                yield from found

    def _chunk(self, begin: int, end: int) -> Chunk:
        part = self.packed[begin:end]
        rows = (part & np.uint64(2**self.n_row_bits - 1)).astype(np.int64)
        key_and_tile = part >> np.uint64(self.n_row_bits)
        tile = (key_and_tile & np.uint64(2**self.n_tile_bits - 1)).astype(np.uint16)
        key = key_and_tile >> np.uint64(self.n_tile_bits)
        starts = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1])))
        sums = [_prefix_sums(word.take(rows)) for word in self.addends.words]
        edges = _edges(tile, starts, self.grid.n_cells)
        return Chunk(
            self.keys[rows[starts]],
            self.clock.take(rows),
            edges,
            sums,
            self.addends.lanes,
            self.whole,
            self.grid,
        )


def _edges(tile: npt.NDArray[np.uint16], starts: Positions, n_cells: int) -> list[Positions]:
    """Where each key's rows of each tile begin, and where its last tile ends."""
    is_first = np.empty(len(tile), dtype=np.bool_)
    is_first[:1] = True
    np.not_equal(tile[1:], tile[:-1], out=is_first[1:])
    is_first[starts] = True
    begins = np.flatnonzero(is_first)  # of the rows of one key in one tile
    own = tile.take(begins)
    number = np.searchsorted(starts, begins, side="right") - 1
    edges = [np.append(starts[1:], len(tile))]
    for cell in range(n_cells - 1, -1, -1):
        edge, here = edges[-1].copy(), np.flatnonzero(own == cell)
        edge[number.take(here)] = begins.take(here)
        edges.append(edge)
    return edges[::-1]


@dataclass(frozen=True)
class Chunk:
    """Some keys, the clock of their rows one key after the other, where their tiles begin, and running sums.

    ``sums``: of the words that ``lanes`` lie in. ``whole``: states that are sums of integers.
    """

    keys: pl.DataFrame
    clock: Positions
    edges: Sequence[Positions]
    sums: Sequence[Words]
    lanes: Mapping[str, Lane]
    whole: Collection[str]
    grid: Grid

    def states(self, wanted: Sequence[tuple[Slot, Positions]], asked: Mapping[str, State]) -> pl.DataFrame:
        """Give states, by the names to give them, for some keys in each of several slots, one below the other."""
        spans = [(self.grid.cells(*slot), keys) for slot, keys in wanted]
        begin = np.concatenate([self.edges[first].take(keys) for (first, _), keys in spans])
        end = np.concatenate([self.edges[until].take(keys) for (_, until), keys in spans])
        words = [sums.take(end) - sums.take(begin) for sums in self.sums]
        return pl.DataFrame(
            [self._state(state, begin, end, words).alias(name) for name, state in asked.items()]
        )

    def _state(self, state: State, begin: Positions, end: Positions, words: Sequence[Words]) -> pl.Series:
        """Give a state of the rows from ``begin`` to before ``end``, over which the words sum to ``words``."""
        if state.operation == "count":
            return pl.Series(state.name, end - begin)
        if state.is_value:
            return pl.Series(state.name, self.clock.take(begin if state.operation == "smallest" else end - 1))
        lane = self.lanes[state.name]
        part = pl.Series(state.name, lane.total(words[lane.word], end - begin))
        return state.composed([part], is_whole=state.name in self.whole)


def _prefix_sums(values: Words) -> Words:
    sums = np.zeros(len(values) + 1, dtype=np.uint64)
    np.cumsum(values, out=sums[1:])
    return sums


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
