"""One group of states while the log goes by, slice after slice."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from polars.exceptions import PolarsError

from competitions import Dataset
from features._accumulate import Accumulator
from features._errors import FeatureError
from features._grid import Grid
from features._groups import Group, full_schema
from features._kept import Found, Kept
from features._keys import KeyIndex
from features._partials import Cells, Partials
from features._pieces import Piece
from features._recut import recut
from features._rollup import Rollup
from features._rows import by_cell
from features._tails import Direct, Slot, Tails
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
