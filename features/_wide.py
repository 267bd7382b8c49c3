"""Tables of all values of wide keys: which are made of sorted rows, and their columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from competitions import Dataset
from features._chunks import Chunk, SortedRows
from features._grid import Grid, make_grid
from features._groups import Group, GroupName, full_schema, physical
from features._key_table import KeyTable
from features._keys import index_of
from features._lookback import EVERYTHING
from features._partials import Partials
from features._plan import Pass
from features._rollup import plan_rollups
from features._running import blamed
from features._scan import Scan
from features._shared import finishing
from features._sorted import can_sort, most_values, ranks_of, sort_rows
from features._spans import Positions, Slot, Tiles
from features._states import State
from validation import Window

PART_BYTES = 2**27  # of states that are merged at a time
SORTED_BYTES = 2**30  # of rows that are sorted in memory


def sorted_groups(
    dataset: Dataset,
    groups: Mapping[GroupName, Group],
    grid: Grid,
    windows: Sequence[Window],
    read: Callable[[], Iterable[pl.DataFrame]],
) -> dict[GroupName, Callable[[], SortedRows]]:
    """Find the wide keys whose states are sums, if all of their rows fit into memory, and how to sort them."""
    _, rollups = plan_rollups(groups, dataset)
    rolled = {*rollups, *(rollup.finer for rollup in rollups.values())}
    found: dict[GroupName, Callable[[], SortedRows]] = {}
    for name, group in groups.items():
        if not group.key or name in rolled or not fits(dataset, group):
            continue
        rows = pl.concat([rows.select(sorted(group.reads)) for rows in read()])
        if n_parts_of(dataset, group, grid, rows) == 1:
            continue
        own_grid = make_grid(windows, [lookback for lookback, _ in group.wanted])
        ranks = ranks_of(rows, group.key)
        if not can_sort(group, dataset, own_grid, rows.height, ranks):
            continue
        partials = Partials(group, dataset, index_of((), ()), windows[0].horizon)
        try:
            own = partials.prepared(rows)
            partials.check([own])
        except PolarsError as error:
            raise blamed(group, rows, error, partials.fails_on) from error
        if not partials.watched:
            kept = own.select(sorted(group.reads))
            found[name] = partial(sort_rows, group, dataset, own_grid, kept, ranks, partials.references)
    return found


def fits(dataset: Dataset, group: Group) -> bool:
    """Tell whether all rows of the log, sorted, fit into SORTED_BYTES."""
    n_rows = sum(piece.n_rows or 0 for piece in dataset.partitions)
    return n_rows * (16 + 4 * len(group.merged)) < SORTED_BYTES


def sorted_tables(
    ordered: SortedRows, passes: Sequence[Pass], windows: Sequence[Window], everywhere: Scan
) -> Iterator[Callable[[], list[KeyTable]]]:
    """Finish the columns of a wide key for every window and lookback, chunk by chunk: each can be made by itself."""
    plan = finishing(passes)
    states = [state for one in passes for state in one.states if not state.everywhere]
    asked = {state.name: physical(EVERYTHING, state, everywhere.dataset)[1] for state in states}

    def tables(begin: int, end: int) -> list[KeyTable]:
        part = _ChunkPart(ordered.chunk(begin, end), asked, everywhere)
        return list(plan.tables(part, windows, ordered.grid))

    for span in ordered.spans(len(windows) * len(passes)):
        yield partial(tables, *span)


@dataclass(frozen=True)
class _ChunkPart:
    """Keys of a chunk of sorted rows; what is over all keys comes from ``everywhere``."""

    chunk: Chunk
    asked: Mapping[str, State]
    everywhere: Scan

    @property
    def keys(self) -> pl.DataFrame:
        """The key's columns."""
        return self.chunk.keys

    def tiles(self, ends: Sequence[int]) -> Tiles:
        """By key, bit ``i`` tells whether it has rows in some tile ``ends[i] <= tile < ends[i + 1]``."""
        return self.chunk.tiles_between(ends)

    def states(self, one: Pass, wanted: Sequence[tuple[Slot, Positions]]) -> pl.DataFrame:
        """Give the states of a pass for some keys in each of several slots, one below the other."""
        own = {state.name: self.asked[state.name] for state in one.states if not state.everywhere}
        found = self.chunk.states(wanted, own)
        return pl.DataFrame(
            self._everywhere(one, state, wanted) if state.everywhere else found[state.name]
            for state in one.states
        )

    def _everywhere(self, one: Pass, state: State, wanted: Sequence[tuple[Slot, Positions]]) -> pl.Series:
        parts = [self.everywhere.state(one, state, slot[0], keys.astype(np.uint32)) for slot, keys in wanted]
        return parts[0] if len(parts) == 1 else pl.concat(parts)


def n_parts_of(dataset: Dataset, group: Group, grid: Grid, rows: pl.DataFrame) -> int:
    """Cut wide keys so that the dense states of a part stay within PART_BYTES."""
    if not group.key:
        return 1
    n_rows = sum(piece.n_rows or rows.height for piece in dataset.partitions)
    n_keys = min(most_values(rows, group.key), n_rows // 2)
    n_states = sum(len(state.parts(full_schema(dataset))) for state in group.merged)
    return max(1, math.ceil(n_keys * grid.n_cells * n_states * 8 / PART_BYTES))
