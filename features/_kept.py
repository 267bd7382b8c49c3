"""Parts of states in the store: a partition that was grouped once is not grouped again.

One artifact a partition, key and state. Only keys with few values are kept: their parts are small beside the log. What
is over the last rows of a key, and what cannot be merged, is made of rows and not kept.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO

import polars as pl

from competitions import Dataset, LogSlice
from engine import Json, Recipe, Store
from features._exact import SAFE
from features._grid import Grid
from features._groups import Group
from features._partials import Cells, Known, Partials
from features._recipes import FORMAT
from features._states import State
from features._stored import StoredTable, read_table
from features._writing import Writer

ROWS = 200_000  # of a partition; fewer are grouped faster than their parts are found
_CELL, _SIZE = "cell", "size"


@dataclass(frozen=True)
class Kept:
    """Where the parts of a data set's partitions are kept, cut at the boundaries of a grid."""

    writer: Writer
    dataset: Dataset
    grid: Grid

    @property
    def store(self) -> Store:
        """Where parts are found."""
        return self.writer.store

    def is_for(self, piece: LogSlice, group: Group) -> bool:
        """Tell whether parts of the group in this partition may be kept, if its key has few values."""
        large = bool(piece.digest) and (piece.n_rows or 0) >= ROWS
        return large and bool(group.merged) and not group.tails and not group.direct

    def find(self, piece: LogSlice, partials: Partials, first_cell: int) -> Cells | None:
        """Read the parts of all keys of a partition, by cell from ``first_cell`` on.

        None if one state's are not there, or if sums could wrap around by now: then the rows have to be watched.
        """
        before, tables = partials.known(), []
        for state in partials.states:
            folder = self.store.find(self._recipe(piece, partials, state, before, first_cell))
            if folder is None:
                return None
            table = read_table(folder)
            if before.sizes.get(state.name, 0.0) + table[_SIZE][0] >= SAFE:
                return None
            tables.append(table)
        for state, table in zip(partials.states, tables, strict=True):
            partials.sizes[state.name] = before.sizes.get(state.name, 0.0) + table[_SIZE][0]
            if state.reference:
                partials.references[state.reference] = table[state.reference][0]
        keys = [_CELL, *partials.group.key]
        columns = [t.select(s.parts(partials.schema)) for s, t in zip(partials.states, tables, strict=True)]
        together = pl.concat([tables[0].select(keys), *columns], how="horizontal")
        first = self._first_cell(piece)
        parts = together.partition_by(_CELL, maintain_order=True)
        return [(first + part[_CELL][0], part.drop(_CELL)) for part in parts]

    def put(self, piece: LogSlice, partials: Partials, before: Known, cells: Cells, first_cell: int) -> None:
        """Keep what ``Partials.by_key`` gave for each cell. ``before``: what was known before this partition."""
        if not any(part.height for _, part in cells):
            return
        keys, first = [_CELL, *partials.group.key], self._first_cell(piece)
        numbered = [part.with_columns(pl.lit(cell - first, pl.Int32).alias(_CELL)) for cell, part in cells]
        together = pl.concat(numbered).sort(keys)
        for state in partials.states:
            size = partials.sizes.get(state.name, 0.0) - before.sizes.get(state.name, 0.0)
            own = together.select(*keys, *state.parts(partials.schema), pl.lit(size).alias(_SIZE))
            if state.reference:
                own = own.with_columns(
                    pl.lit(partials.references[state.reference], pl.Float64).alias(state.reference)
                )
            self.writer.put(self._recipe(piece, partials, state, before, first_cell), StoredTable(own).write)

    def _first_cell(self, piece: LogSlice) -> int:
        """Cell of the grid that the partition begins in; its own are counted from there."""
        return sum(bound <= (piece.first_clock or 0) for bound in self.grid.bounds)

    def _recipe(
        self, piece: LogSlice, partials: Partials, state: State, before: Known, first_cell: int
    ) -> Recipe:
        first, last = piece.first_clock or 0, piece.last_clock or 0
        cuts = [bound for bound in self.grid.bounds if first < bound <= last]
        is_decayed = state.half_life is not None
        parts: dict[str, Json] = {
            "partition": piece.digest,
            "state": state.name,
            "half life": partials.half_lives.get(state.name),
            "weighed from": list(self.grid.bounds[self._first_cell(piece) :][: len(cuts) + 1])
            if is_decayed
            else None,
            "reference": before.references.get(state.reference) if state.reference else None,
            "key": list(partials.group.key),
            "where": hashlib.blake2b(partials.group.source.encode(), digest_size=16).hexdigest(),
            "cut at": list(cuts),
            "from": max(first, self.grid.bounds[first_cell - 1]) if first_cell else first,
            "until": min(self.grid.bounds[-1], last + 1),
            "attributes": self.attributes,
            "polars": pl.__version__,
            "format": FORMAT,
        }
        key = " x ".join(partials.group.key) or "nothing"
        name = f"{self.dataset.competition.name}: {state.operation} by {key} @ {piece.digest[:12]}"
        return Recipe("part", name, parts)

    @cached_property
    def attributes(self) -> str:
        """Digest of the attributes of users and items: they may be in what parts are made of."""
        made_of = hashlib.blake2b(digest_size=16)
        for table in (self.dataset.users, self.dataset.items):
            as_bytes = BytesIO()
            table.collect(engine="streaming").write_ipc(as_bytes)
            made_of.update(as_bytes.getbuffer())
        return made_of.hexdigest()
