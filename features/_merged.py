"""Tables of keys whose rows were grouped by tile: parts are merged, and finished for some keys at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import polars as pl

from competitions import Dataset
from features._accumulate import Accumulator
from features._grid import Grid
from features._groups import Group, full_schema
from features._key_table import KeyTable
from features._keys import index_of
from features._partials import Cells
from features._plan import Pass
from features._scan import Scan
from features._shared import finishing
from features._spans import Positions, Slot, Tiles, narrowest
from features._states import State
from validation import Window

BLOCK = 2**16  # keys whose values are made together
N_ROWS = State("count", pl.lit(1))


def merged_tables(
    dataset: Dataset,
    group: Group,
    passes: Sequence[Pass],
    grid: Grid,
    windows: Sequence[Window],
    everywhere: Scan,
    cells: Cells,
) -> list[KeyTable]:
    """Merge one part of a group's keys and finish its columns for every window and lookback."""
    if not cells:
        return []
    index = index_of(group.key, [part for _, part in cells])
    merged = Accumulator(group.merged, index.n_keys, grid, full_schema(dataset))
    for cell, part in cells:
        merged.add(cell, part.with_columns(pl.Series("code", index.codes(part))))
    cells.clear()
    merged.close()
    scan = replace(everywhere, groups={**everywhere.groups, group.name: group})
    scan.merged = {**everywhere.merged, group.name: merged}
    plan = finishing(passes)
    tables: list[KeyTable] = []
    for begin in range(0, index.n_keys, BLOCK):
        block = _Block(scan, merged, index.frame[begin : begin + BLOCK].drop("code"), begin)
        tables += plan.tables(block, windows, grid)
    return tables


@dataclass(frozen=True)
class _Block:
    """Keys of one group, from a number on, and their states by tile."""

    scan: Scan
    merged: Accumulator
    keys: pl.DataFrame
    begin: int

    def tiles(self, ends: Sequence[int]) -> Tiles:
        """By key, bit ``i`` tells whether it has rows in some tile ``ends[i] <= tile < ends[i + 1]``."""
        rows = self.merged.sums[N_ROWS.name][:, self.begin : self.begin + self._n_keys]
        found = np.zeros(self._n_keys, dtype=narrowest(len(ends)))
        for bit, (first, until) in enumerate(pairwise(ends)):
            has_rows = rows[until - 1] > (rows[first - 1] if first else 0)
            found |= has_rows.astype(found.dtype) << found.dtype.type(bit)
        return found

    def states(self, one: Pass, wanted: Sequence[tuple[Slot, Positions]]) -> pl.DataFrame:
        """Give the states of a pass for some keys in each of several slots, one below the other."""
        return pl.concat(
            self.scan.states(replace(one, lookback=lookback), window, (keys + self.begin).astype(np.uint32))
            for (window, lookback), keys in wanted
        )

    @property
    def _n_keys(self) -> int:
        return self.keys.height or 1  # the empty key is one
