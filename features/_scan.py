"""Go over the log once for many windows, and give back the states of every pass and window."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from time import perf_counter

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from competitions import Dataset, LogSlice
from features._accumulate import Accumulator, Gathered
from features._errors import FeatureError
from features._grid import Grid, base_bounds, make_grid
from features._groups import Group, GroupName, Wanted, full_schema, physical
from features._kept import Kept
from features._keys import KeyIndex
from features._lookback import Lookback
from features._lookup import Codes
from features._partials import Cells, Partials
from features._plan import Pass
from features._registry import Key
from features._rollup import ROWS as ROLLUP_ROWS
from features._rollup import Rollup, plan_rollups
from features._rows import by_cell, slice_rows
from features._states import State
from features._tails import Direct, Slot, Tails
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
        running = {name: _Running(group, self) for name, group in groups.items()}
        for name, rollup in rollups.items():
            finer = running[rollup.finer]
            finer.first_cell = min(finer.first_cell, running[name].first_cell)
        order = sorted(running, key=lambda name: name in rollups)  # finer ones first
        columns = {name for group in groups.values() for name in group.reads}
        until = self.grid.bounds[-1]
        for piece in self.dataset.slices:
            if piece.first_clock is None or piece.first_clock < until:
                self._read(_Piece(self.dataset, piece, columns, until), running, rollups, order)
            after_slice()
        for name, one in running.items():
            self._timed(name, one.close)
            self.merged[name], self.slots[name] = one.merged, one.slots

    def _read(
        self,
        piece: _Piece,
        running: Mapping[GroupName, _Running],
        rollups: Mapping[GroupName, Rollup],
        order: Sequence[GroupName],
    ) -> None:
        """Take one slice in: what is kept of it, what rolls up, and the rest from its rows."""
        rolled = rollups if piece.n_rows >= ROLLUP_ROWS else {}
        finer = {rollup.finer for rollup in rolled.values()}
        for name in order:
            if name in rolled:
                self._timed(name, running[name].roll_up, rolled[name], running[rolled[name].finer])
            else:
                kept = self.kept if self.kept and self.kept.is_for(piece.slice, running[name].group) else None
                self._timed(name, running[name].add, piece, name in finer, kept)

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
        columns = [self.state(one, state, window, codes, gathered) for state in one.states]
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
        if state.when_empty is not None:
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


class _Piece:
    """A slice whose rows are read when somebody asks for them, and then kept until the slice is done."""

    def __init__(self, dataset: Dataset, piece: LogSlice, columns: Collection[str], until: int) -> None:
        self.slice = piece
        self._read: Callable[[], pl.DataFrame] = partial(slice_rows, dataset, piece, columns, until)

    @cached_property
    def rows(self) -> pl.DataFrame:
        """All columns that some group reads, sorted by (clock, row)."""
        return self._read()

    @property
    def n_rows(self) -> int:
        """Number of rows of the slice, as its partition tells, or as they are."""
        return self.rows.height if self.slice.n_rows is None else self.slice.n_rows


class _Running:
    """One group while the log goes by. ``cells``: the parts of all keys in the last slice, for coarser ones."""

    def __init__(self, group: Group, scan: Scan) -> None:
        self.group, self.scan = group, scan
        schema = full_schema(scan.dataset)
        self.index = scan.indexes[group.key]
        self.merged = Accumulator(group.merged, self.index.n_keys, scan.grid, schema)
        self.partials = Partials(group, scan.dataset, self.index, scan.windows[0].horizon)
        known = self.partials.references
        self.tails = Tails(group, scan.windows, schema, known) if group.tails else None
        self.direct = Direct(group, self.index, schema, known) if group.direct else None
        self.slots: dict[Slot, pl.DataFrame] = {}
        self.cells: Cells = []
        self.first_cell = group.first_cell(scan.grid, scan.windows)

    def add(self, piece: _Piece, is_finer: bool, kept: Kept | None) -> None:
        """Take in a slice: its parts from the store if they are there, else its rows."""
        found = None if kept is None else kept.find(piece.slice, self.partials, self.first_cell)
        if found is not None:
            self.cells = found
            for cell, part in found:
                self.merged.add(cell, self.partials.coded(part))
            return
        before = self.partials.known()
        try:
            by_key = self._add(piece.rows, is_finer, is_kept=kept is not None)
        except PolarsError as error:
            raise blamed(self.group, piece.rows, error, self.partials.fails_on) from error
        if kept is not None and by_key and not self.partials.is_wide:
            kept.put(piece.slice, self.partials, before, self.cells, self.first_cell)

    def _add(self, rows: pl.DataFrame, is_finer: bool, *, is_kept: bool) -> bool:
        """Take in rows: all columns, sorted by (clock, row). Tell whether ``cells`` has the parts of all keys now."""
        if self.group.is_whole and self.direct is not None:
            self.direct.add(rows.select(sorted(self.group.reads)))
            return False
        rows = self.partials.prepared(rows)
        self.partials.check(part for cell, part in by_cell(rows, self.scan.grid) if cell >= self.first_cell)
        self.cells = []
        is_narrow = not rows.height or self.partials.is_narrow(rows)
        by_key = is_finer or (is_kept and bool(rows.height) and is_narrow)
        if self.group.merged and (by_key or is_narrow):
            self._add_all(rows, is_kept=by_key)
        is_merged_narrowed = self.group.merged and not (by_key or is_narrow)
        if is_merged_narrowed or self.tails is not None or self.direct is not None:
            self._add_narrowed(rows, is_merged=bool(is_merged_narrowed))
        return by_key

    def _add_all(self, rows: pl.DataFrame, *, is_kept: bool) -> None:
        """Merge the parts of all keys by tile; ``is_kept``: also keep them in ``cells``."""
        for cell, part in by_cell(rows, self.scan.grid):
            until = self.scan.grid.bounds[cell]
            if cell < self.first_cell:
                pass  # before every lookback
            elif is_kept:
                self.cells.append((cell, self.partials.by_key(part, until)))
                self.merged.add(cell, self.partials.coded(self.cells[-1][1]))
            else:
                self.merged.add(cell, self.partials.of(part, until))

    def _add_narrowed(self, rows: pl.DataFrame, *, is_merged: bool) -> None:
        """Narrow the rows to the keys of the pairs first: for wide keys, and for what looks at single rows."""
        if self.first_cell and self.tails is None and self.direct is None:
            rows = rows.filter(pl.col("clock") >= self.scan.grid.bounds[self.first_cell - 1])
        for cell, part in by_cell(self.partials.narrowed(rows), self.scan.grid):
            until = self.scan.grid.bounds[cell]
            if is_merged and cell >= self.first_cell:
                self.merged.add(cell, self.partials.of_narrowed(part, until))
            if self.tails is not None:
                if cell:
                    self.tails.pass_by(self.scan.grid.bounds[cell - 1])
                self.tails.add(part)
            if self.direct is not None:
                self.direct.add(part)

    def roll_up(self, rollup: Rollup, finer: _Running) -> None:
        """Take in a slice from the parts of a finer key."""
        known = finer.partials.references
        self.partials.references.update({name: known[name] for name in self.partials.references})
        for cell, fine in finer.cells:
            self.merged.add(cell, self.partials.coded(rollup.of(fine)))

    def close(self) -> None:
        """Finish when the log has gone by."""
        self.merged.close()
        if self.tails is not None:
            self.tails.pass_by(self.scan.grid.bounds[-1])
            self.slots |= self.tails.states
        if self.direct is not None:
            self.slots |= self.direct.close(self.scan.windows)


def blamed(
    group: Group, rows: pl.DataFrame, error: PolarsError, fails_on: Callable[..., PolarsError | None]
) -> FeatureError:
    """Name the column whose states fail by themselves."""
    for column in group.columns:
        its_own = fails_on(rows, column)
        if its_own is not None:
            return FeatureError(
                f"Feature {column.name!r} ({column.declaration.place}) failed on the log: {its_own}",
                expected="an expression that fits the log; sums take finite values below 8.6e9",
                todo="mend the expression, or divide the column by a constant inside the aggregate",
            )
    return FeatureError(f"Features {[c.name for c in group.columns]} failed together: {error}")


def grid_of(dataset: Dataset, windows: Iterable[Window], groups: Mapping[GroupName, Group]) -> Grid:
    """Cut the clock where the groups' merged states need it, and at the data set's own boundaries if any decays."""
    wanted = [(group, *w) for group in groups.values() for w in group.wanted]
    lookbacks = [lookback for group, lookback, state in wanted if group.merges(lookback, state)]
    decays = any(state.half_life is not None for _, _, state in wanted)
    base = base_bounds(dataset, dataset.slices[0].first_clock or 0) if decays else []
    return make_grid(windows, lookbacks, base)
