"""Rows of a wide key that are sorted, cut at keys into chunks: where the tiles of each key begin, and running sums."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from features._grid import Grid
from features._lanes import Lane, Words
from features._spans import Positions, Slot, Tiles, narrowest
from features._states import State

CHUNK_CELLS = 2**23  # rows x tables of a chunk: large enough that tables are few, small enough for memory
CHUNK_ROWS = (2**16, 2**19)  # at least and at most


@dataclass(frozen=True)
class SortedRows:
    """Rows of the log sorted by (key, tile, row), as one number a row.

    ``packed`` UInt64 (n_rows,): the key's code, the tile, and the number of the row in ``keys`` and ``values``, in so
    many bits. ``values`` (n_rows, n): the words that ``lanes`` lie in, then the clock. They lie side by side, and n is
    a power of two, because that is gathered several times faster. ``whole``: states that are sums of integers.
    """

    packed: Words
    n_row_bits: int
    n_tile_bits: int
    keys: pl.DataFrame
    values: Words
    lanes: Mapping[str, Lane]
    whole: Collection[str]
    grid: Grid

    def spans(self, n_tables: int) -> Iterator[tuple[int, int]]:
        """Cut at keys into chunks, each of which becomes so many tables."""
        most = min(max(CHUNK_CELLS // max(n_tables, 1), CHUNK_ROWS[0]), CHUNK_ROWS[1])
        n_bits = np.uint64(self.n_row_bits + self.n_tile_bits)
        end, n_rows = 0, len(self.packed)
        while end < n_rows:
            begin, code = end, self.packed[min(end + most, n_rows) - 1] >> n_bits
            end = int(np.searchsorted(self.packed, (code + np.uint64(1)) << n_bits))
            yield begin, end

    def chunk(self, begin: int, end: int) -> Chunk:
        """Find the cells (key, tile) of some rows, and sum up before each."""
        part = self.packed[begin:end]
        rows = (part & np.uint64(2**self.n_row_bits - 1)).view(np.int64)
        key_and_tile = part >> np.uint64(self.n_row_bits)
        starts = run_starts(key_and_tile)
        ends = np.append(starts[1:], len(part)) - 1
        cells = key_and_tile.take(starts)
        first_cell = run_starts(cells >> np.uint64(self.n_tile_bits))
        tile = cells & np.uint64(2**self.n_tile_bits - 1)
        dtype = narrowest(self.grid.n_cells)
        n_words = max((lane.word + 1 for lane in self.lanes.values()), default=0)
        values = self.values.take(rows, axis=0)
        clock = values[:, n_words].view(np.int64)
        return Chunk(
            self.keys[pl.Series(rows.take(starts.take(first_cell)).astype(np.uint32))],
            first_cell,
            np.bitwise_or.reduceat(dtype.type(1) << tile.astype(dtype), first_cell),
            np.append(starts, len(part)),
            clock.take(starts),
            clock.take(ends),
            [_prefix_sums(values[:, word], ends) for word in range(n_words)],
            self.lanes,
            self.whole,
            self.grid,
        )


def run_starts(values: npt.NDArray[Any]) -> Positions:
    """Positions where values begin that differ from the one before."""
    is_start = np.empty(len(values), dtype=np.bool_)
    is_start[:1] = True
    np.not_equal(values[1:], values[:-1], out=is_start[1:])
    return np.flatnonzero(is_start)


def _prefix_sums(values: Words, ends: Positions) -> Words:
    sums = np.zeros(len(ends) + 1, dtype=np.uint64)
    sums[1:] = np.cumsum(values).take(ends)
    return sums


@dataclass(frozen=True)
class Chunk:
    """Some keys, and the cells (key, tile) that have rows, sorted.

    Of each key ``first_cell`` and the bits of its ``tiles``; of each cell the rows and the ``sums`` of words before it
    (one more: in all), and its first and last clock. ``lanes``: where in the words a state's sum lies. ``whole``:
    states that are sums of integers.
    """

    keys: pl.DataFrame
    first_cell: Positions
    tiles: Tiles
    n_before: Positions
    first_clock: Positions
    last_clock: Positions
    sums: Sequence[Words]
    lanes: Mapping[str, Lane]
    whole: Collection[str]
    grid: Grid

    def tiles_between(self, ends: Sequence[int]) -> Tiles:
        """By key, bit ``i`` tells whether it has rows in some tile ``ends[i] <= tile < ends[i + 1]``."""
        if list(ends) == list(range(self.grid.n_cells + 1)):
            return self.tiles
        found = np.zeros(len(self.tiles), dtype=narrowest(len(ends)))
        for bit, (first, until) in enumerate(pairwise(ends)):
            between = self.tiles & self.tiles.dtype.type((1 << until) - (1 << first))
            found |= (between != 0).astype(found.dtype) << found.dtype.type(bit)
        return found

    def states(self, wanted: Sequence[tuple[Slot, Positions]], asked: Mapping[str, State]) -> pl.DataFrame:
        """Give states, by the names to give them, for some keys in each of several slots, one below the other."""
        spans = [self._cells(*self.grid.cells(*slot), keys) for slot, keys in wanted]
        begin, end = (np.concatenate(ends) for ends in zip(*spans, strict=True))
        n_rows = self.n_before.take(end) - self.n_before.take(begin)
        words = [sums.take(end) - sums.take(begin) for sums in self.sums]
        made: dict[str, pl.Series] = {}
        for state in asked.values():
            if state.name not in made:
                made[state.name] = self._state(state, begin, end, words, n_rows)
        return pl.DataFrame([made[state.name].alias(name) for name, state in asked.items()])

    def _state(
        self, state: State, begin: Positions, end: Positions, words: Sequence[Words], n_rows: Positions
    ) -> pl.Series:
        """Give a state of the cells from ``begin`` to before ``end``: so many rows, over which the words sum up."""
        if state.operation == "count":
            return pl.Series(state.name, n_rows)
        if state.operation == "smallest":
            return pl.Series(state.name, self.first_clock.take(begin))
        if state.operation == "largest":
            return pl.Series(state.name, self.last_clock.take(end - 1))
        lane = self.lanes[state.name]
        part = pl.Series(state.name, lane.total(words[lane.word], n_rows))
        return state.composed([part], is_whole=state.name in self.whole)

    def _cells(self, first: int, until: int, keys: Positions) -> tuple[Positions, Positions]:
        """Give the cells of some tiles of each key: from which, to before which."""
        begin, tiles = self.first_cell.take(keys), self.tiles.take(keys)
        ends = (tiles & self.tiles.dtype.type((1 << tile) - 1) for tile in (first, until))
        n_before_first, n_before_until = (np.bitwise_count(below) for below in ends)
        return begin + n_before_first, begin + n_before_until
