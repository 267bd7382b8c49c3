"""Go over the log once for many windows, and give back the states of every pass and window."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from competitions import Dataset
from features._aggregation.keys import Codes, KeyIndex
from features._aggregation.last_rows import Direct, Slot, Tails
from features._aggregation.log_rows import Piece, SliceReader, by_cell, together
from features._aggregation.partial_states import Cells, Partials
from features._aggregation.partition_cache import Found, Kept, recut
from features._aggregation.plan import Group, GroupName, Pass, Wanted, full_schema, physical
from features._aggregation.prefix_sums import Accumulator, Gathered
from features._aggregation.rollups import ROWS as ROLLUP_ROWS
from features._aggregation.rollups import Rollup, plan_rollups
from features._aggregation.threads import all_gone_on
from features._aggregation.tiling import Grid, base_bounds, make_grid
from features._arithmetic import State
from features._declare import FeatureError, Key, Lookback
from validation import Window


class Running:
    """One group while the log goes by.

    ``cells``: the parts of all keys in the last slice, for coarser ones. ``narrowed``: those of the pairs' keys in it,
    by ``code``, until they are stored.
    """

    def __init__(
        self, group: Group, dataset: Dataset, windows: Sequence[Window], index: KeyIndex, grid: Grid
    ) -> None:
        self.group, self.windows, self.grid = group, windows, grid
        schema = full_schema(dataset)
        self.merged = Accumulator(group.merged, index.n_keys, grid, schema)
        self.partials = Partials(group, dataset, index, windows[0].horizon)
        known = self.partials.references
        self.tails = Tails(group, windows, schema, known) if group.tails else None
        self.direct = Direct(group, index, schema, known) if group.direct else None
        self.slots: dict[Slot, pl.DataFrame] = {}
        self.cells: Cells = []
        self.narrowed: Cells = []
        self.first_cell = group.first_cell(grid, windows)

    def add(self, piece: Piece, is_finer: bool, kept: Kept | None) -> None:
        """Take in a slice: its parts from the store if they are there, else its rows."""
        if kept is None:
            self._add_rows(piece, is_finer, None, is_kept=False)
            return
        names = kept.names(piece.slice, self.partials, self.first_cell)
        of_pairs = kept.names(piece.slice, self.partials, self.first_cell, is_narrowed=True)
        found = Found() if self.partials.is_wide else kept.find(names)
        if found.cells is not None:
            self.cells = found.cells
            self._merge_cells()
        elif (
            not is_finer
            and self.partials.is_wide is not False
            and self._add_narrowed_parts(kept.find(of_pairs))
        ):
            self.partials.is_wide = True
        else:
            before = self.partials.known()
            by_key = self._add_rows(piece, is_finer, found.sums, is_kept=True)
            if by_key and not self.partials.is_wide:
                kept.put(names, before, self.cells)
            elif not by_key:
                kept.put(of_pairs, before, self.narrowed)
                self.narrowed = []

    def _add_narrowed_parts(self, found: Found) -> bool:
        for cell, part in found.cells or ():
            self.merged.add(cell, part)
        return found.cells is not None

    def _add_rows(self, piece: Piece, is_finer: bool, sums: pl.DataFrame | None, *, is_kept: bool) -> bool:
        try:
            return self._add(piece.rows, is_finer, sums, is_kept=is_kept)
        except PolarsError as error:
            raise _blamed(self.partials, piece.rows, error) from error

    def _add(self, rows: pl.DataFrame, is_finer: bool, sums: pl.DataFrame | None, *, is_kept: bool) -> bool:
        """Take in rows: all columns, sorted by (clock, row). Tell whether ``cells`` has the parts of all keys now.

        ``sums``: those over all of the rows, as far as they are kept.
        """
        if self.group.is_whole and self.direct is not None:
            self.direct.add(rows.select(sorted(self.group.reads)))
            return False
        rows = self.partials.prepared(rows)
        self.partials.check(part for cell, part in by_cell(rows, self.grid) if cell >= self.first_cell)
        self.cells, self.narrowed = [], []
        is_narrow = not rows.height or self.partials.is_narrow(rows)
        by_key = is_finer or (is_kept and bool(rows.height) and is_narrow)
        if self.group.merged and (by_key or is_narrow):
            self._add_all(rows, sums, is_kept=by_key)
        is_merged_narrowed = self.group.merged and not (by_key or is_narrow)
        if is_merged_narrowed or self.tails is not None or self.direct is not None:
            self._add_narrowed(rows, is_merged=bool(is_merged_narrowed), is_kept=is_kept)
        return by_key

    def _add_all(self, rows: pl.DataFrame, sums: pl.DataFrame | None, *, is_kept: bool) -> None:
        """Merge the parts of all keys by tile; ``is_kept``: also keep them in ``cells``."""
        own = [(cell, part) for cell, part in by_cell(rows, self.grid) if cell >= self.first_cell]
        if not is_kept:
            for cell, part in own:
                self.merged.add(cell, self.partials.of(part, self.grid.bounds[cell]))
            return
        if sums is not None and own and not self.partials.watched:
            self.cells = recut(self.partials, own, self.grid, sums)
        else:
            self.cells = [(cell, self.partials.by_key(part, self.grid.bounds[cell])) for cell, part in own]
        self._merge_cells()

    def _merge_cells(self) -> None:
        for cell, part in self.cells:
            self.merged.add(cell, self.partials.coded(part))

    def _add_narrowed(self, rows: pl.DataFrame, *, is_merged: bool, is_kept: bool) -> None:
        """Narrow the rows to the keys of the pairs first: for wide keys, and for what looks at single rows.

        ``is_kept``: also keep the parts that are merged in ``narrowed``.
        """
        if self.first_cell and self.tails is None and self.direct is None:
            rows = rows.filter(pl.col("clock") >= self.grid.bounds[self.first_cell - 1])
        for cell, part in by_cell(self.partials.narrowed(rows), self.grid):
            if is_merged and cell >= self.first_cell:
                found = self.partials.of_narrowed(part, self.grid.bounds[cell])
                self.merged.add(cell, found)
                if is_kept:
                    self.narrowed.append((cell, found))
            if self.tails is not None:
                if cell:
                    self.tails.pass_by(self.grid.bounds[cell - 1])
                self.tails.add(part)
            if self.direct is not None:
                self.direct.add(part)

    def roll_up(self, rollup: Rollup, finer: Running) -> None:
        """Take in a slice from the parts of a finer key."""
        known = finer.partials.references
        self.partials.references.update({name: known[name] for name in self.partials.references})
        for cell, fine in finer.cells:
            self.merged.add(cell, self.partials.coded(rollup.of(fine)))

    def close(self) -> None:
        """Finish when the log has gone by."""
        self.merged.close()
        if self.tails is not None:
            self.tails.pass_by(self.grid.bounds[-1])
            self.slots |= self.tails.states
        if self.direct is not None:
            self.slots |= self.direct.close(self.windows)


def _blamed(partials: Partials, rows: pl.DataFrame, error: PolarsError) -> FeatureError:
    """Name the column whose states fail by themselves."""
    for column in partials.group.columns:
        its_own = partials.fails_on(rows, column)
        if its_own is not None:
            return FeatureError(
                f"Feature {column.name!r} ({column.declaration.place}) failed on the log: {its_own}",
                expected="an expression that fits the log; sums take finite values below 8.6e9",
                todo="mend the expression, or divide the column by a constant inside the aggregate",
            )
    return FeatureError(f"Features {[c.name for c in partials.group.columns]} failed together: {error}")


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

    def states(self, one: Pass, window: Window, gathered: Gathered) -> pl.DataFrame:
        """Give the states of a pass for keys by number, one row a code; those over all keys repeat.

        ``gathered``: the codes, and what other passes of the same group have gathered for them.
        """
        found: dict[tuple[bool, str], pl.Series] = {}
        columns = []
        for state in one.states:
            asked = state.everywhere, self._physical(one.lookback, state)[1].name
            if asked not in found:
                found[asked] = self._state(one, state, window, gathered)
            columns.append(found[asked].alias(state.name))
        return pl.DataFrame(columns)

    def _state(self, one: Pass, state: State, window: Window, gathered: Gathered) -> pl.Series:
        lookback, asked = self._physical(one.lookback, state)
        name = (one.source, () if state.everywhere else one.key)
        own = Gathered(np.zeros(1, dtype=np.uint32)) if state.everywhere else gathered
        if self.groups[name].merges(lookback, asked):
            found = self.merged[name].read(window, lookback, asked, own)
        else:
            found = self._slot(name, (window, lookback), asked, own.codes)
        if state.when_empty is not None and found.null_count():
            found = found.fill_null(state.when_empty)
        found = found.alias(state.name)
        return found.new_from_index(0, len(gathered.codes)) if state.everywhere else found

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
