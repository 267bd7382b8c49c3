"""Go over the log once for many windows, and give back the states of every pass and window."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
import polars as pl

from competitions import Dataset
from features._accumulate import Accumulator, Gathered
from features._grid import Grid, base_bounds, make_grid
from features._groups import Group, GroupName, Wanted, full_schema, physical
from features._kept import Kept
from features._keys import KeyIndex
from features._lookback import Lookback
from features._lookup import Codes
from features._pieces import Piece, together
from features._plan import Pass
from features._registry import Key
from features._rollup import ROWS as ROLLUP_ROWS
from features._rollup import Rollup, plan_rollups
from features._rows import SliceReader
from features._running import Running
from features._states import State
from features._tails import Slot
from features._threads import all_gone_on
from validation import Window


@dataclass
class Scan:
    """One pass over the log: what is asked, for which windows and keys, and what was found.

    ``kept``: where parts of partitions are kept, if they are. ``seconds``: what each group took by itself. ``merged``,
    ``slots``: what was found, by tile and by window. ``asked``: what is computed for states, as far as it was asked.
    """

    dataset: Dataset
    groups: Mapping[GroupName, Group]
    windows: Sequence[Window]
    indexes: Mapping[Key, KeyIndex]
    grid: Grid
    kept: Kept | None = None
    seconds: dict[GroupName, float] = field(default_factory=dict)
    merged: dict[GroupName, Accumulator] = field(default_factory=dict)
    slots: dict[GroupName, dict[Slot, pl.DataFrame]] = field(default_factory=dict)
    asked: dict[tuple[Lookback, str], Wanted] = field(default_factory=dict)

    def run(self, after_slice: Callable[[], None] = lambda: None) -> None:
        """Read the slices that hold history, one after the other."""
        groups, rollups = plan_rollups(self.groups, self.dataset)
        running = {
            name: Running(group, self.dataset, self.windows, self.indexes[group.key], self.grid)
            for name, group in groups.items()
        }
        for name, rollup in rollups.items():
            finer = running[rollup.finer]
            finer.first_cell = min(finer.first_cell, running[name].first_cell)
        columns = frozenset(name for group in groups.values() for name in group.reads)
        reader = SliceReader(self.dataset, columns, self.grid.bounds[-1])
        by_width = sorted(running, key=lambda name: -len(name[1]))  # the most work for one thread first
        for slices in together(self.dataset.partitions):
            pieces = [
                Piece(s, reader) for s in slices if s.first_clock is None or s.first_clock < reader.until
            ]
            chains = [name for name in by_width if name not in rollups]
            all_gone_on([self._take_in(name, pieces, running, rollups) for name in chains])
            for _ in slices:
                after_slice()
        for name, one in running.items():
            self._timed(name, one.close)
            self.merged[name], self.slots[name] = one.merged, one.slots

    def _take_in(
        self,
        name: GroupName,
        pieces: Sequence[Piece],
        running: Mapping[GroupName, Running],
        rollups: Mapping[GroupName, Rollup],
    ) -> Iterator[None]:
        """Take slices, step by step, into a group and what rolls up from it, which takes the rows of small ones."""
        coarser = [other for other, rollup in rollups.items() if rollup.finer == name]
        for piece in pieces:
            is_finer = bool(coarser) and piece.n_rows >= ROLLUP_ROWS
            self._timed(name, running[name].add, piece, is_finer, self._kept(piece, name))
            for other in coarser:
                if is_finer:
                    self._timed(other, running[other].roll_up, rollups[other], running[name])
                else:
                    self._timed(other, running[other].add, piece, False, self._kept(piece, other))
            yield

    def _kept(self, piece: Piece, name: GroupName) -> Kept | None:
        return self.kept if self.kept and self.kept.is_for(piece.slice, self.groups[name]) else None

    def _timed(self, name: GroupName, work: Callable[..., None], *arguments: object) -> None:
        began = perf_counter()
        work(*arguments)
        self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - began

    def states(
        self, one: Pass, window: Window, codes: Codes, gathered: Gathered | None = None
    ) -> pl.DataFrame:
        """Give the states of a pass for keys by number, one row a code; those over all keys repeat.

        ``gathered``: what other passes of the same group have gathered for these codes, if they share it.
        """
        found: dict[tuple[bool, str], pl.Series] = {}
        columns = []
        for state in one.states:
            asked = state.everywhere, self._physical(one.lookback, state)[1].name
            if asked not in found:
                found[asked] = self.state(one, state, window, codes, gathered)
            columns.append(found[asked].alias(state.name))
        return pl.DataFrame(columns)

    def state(
        self, one: Pass, state: State, window: Window, codes: Codes, gathered: Gathered | None = None
    ) -> pl.Series:
        """Give one state of a pass for keys by number."""
        lookback, asked = self._physical(one.lookback, state)
        name = (one.source, () if state.everywhere else one.key)
        chosen = np.zeros(1, dtype=np.uint32) if state.everywhere else codes
        group = self.groups[name]
        if group.merges(lookback, asked):
            own = None if state.everywhere else gathered
            found = self.merged[name].read(window, lookback, asked, chosen, own)
        else:
            found = self._slot(name, (window, lookback), asked, chosen)
        if state.when_empty is not None and found.null_count():
            found = found.fill_null(state.when_empty)
        found = found.alias(state.name)
        return found.new_from_index(0, len(codes)) if state.everywhere else found

    def _physical(self, lookback: Lookback, state: State) -> Wanted:
        key = (lookback, state.name)
        if key not in self.asked:
            self.asked[key] = physical(lookback, state, self.dataset)
        return self.asked[key]

    def _slot(self, name: GroupName, slot: Slot, state: State, codes: Codes) -> pl.Series:
        table = self.slots[name].get(slot)
        if table is None:
            schema = full_schema(self.dataset)
            references = {str(state.reference): pl.Float64()} if state.reference else {}
            empty = pl.DataFrame(schema={**schema, **references}).group_by(pl.lit(0).alias("code"))
            table = empty.agg(state.within_group(schema)).clear()
        asked = pl.DataFrame({"code": codes}).with_columns(pl.col("code").cast(pl.UInt32))
        codes_of = table.with_columns(pl.col("code").cast(pl.UInt32)).select("code", state.name)
        return asked.join(codes_of, on="code", how="left", validate="m:1", maintain_order="left")[state.name]


def grid_of(dataset: Dataset, windows: Iterable[Window], groups: Mapping[GroupName, Group]) -> Grid:
    """Cut the clock where the groups' merged states need it, and at the data set's own boundaries if any decays."""
    wanted = [(group, *w) for group in groups.values() for w in group.wanted]
    lookbacks = [lookback for group, lookback, state in wanted if group.merges(lookback, state)]
    decays = any(state.half_life is not None for _, _, state in wanted)
    base = base_bounds(dataset, dataset.partitions[0].first_clock or 0) if decays else []
    return make_grid(windows, lookbacks, base)
