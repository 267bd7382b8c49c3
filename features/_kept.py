"""Parts of states in the store: a partition that was grouped once is not grouped again.

What is computed together is one artifact a partition and key, and a pointer leads to it from each state. Only keys with
few values are kept: their parts are small beside the log. What is over the last rows of a key, and what cannot be
merged, is made of rows and not kept.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO

import polars as pl

from competitions import Dataset, LogSlice
from engine import Json, Recipe, Store, digest_json
from features._exact import SAFE
from features._grid import Grid
from features._groups import Group
from features._partials import Cells, Known, Partials
from features._recipes import FORMAT
from features._states import State
from features._stored import StoredTable, read_table
from features._writing import Writer

ROWS = 200_000  # of a partition; fewer are grouped faster than their parts are found
_CELL = "cell"


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
        before, folders = partials.known(), {}
        common = self._common(piece, partials, first_cell)
        for state in partials.states:
            folder = self.store.pointed(_pointer(common, partials, state, before))
            if folder is None:
                return None
            folders[state.name] = folder
        tables = {folder: read_table(folder) for folder in dict.fromkeys(folders.values())}
        sizes = {
            s.name: before.sizes.get(s.name, 0.0) + tables[folders[s.name]][_size_of(s)][0]
            for s in partials.states
        }
        if max(sizes.values(), default=0.0) >= SAFE:
            return None
        partials.sizes.update(sizes)
        columns = []
        for state in partials.states:
            table = tables[folders[state.name]]
            if state.reference:
                partials.references[state.reference] = table[state.reference][0]
            columns.append(table.select(state.parts(partials.schema)))
        keys = next(iter(tables.values())).select(_CELL, *partials.group.key)
        first = self._first_cell(piece)
        parts = pl.concat([keys, *columns], how="horizontal").partition_by(_CELL, maintain_order=True)
        return [(first + part[_CELL][0], part.drop(_CELL)) for part in parts]

    def put(self, piece: LogSlice, partials: Partials, before: Known, cells: Cells, first_cell: int) -> None:
        """Keep what ``Partials.by_key`` gave for each cell. ``before``: what was known before this partition."""
        if not any(part.height for _, part in cells):
            return
        first = self._first_cell(piece)
        numbered = [part.with_columns(pl.lit(cell - first, pl.Int32).alias(_CELL)) for cell, part in cells]
        sizes = {
            _size_of(s): partials.sizes.get(s.name, 0.0) - before.sizes.get(s.name, 0.0)
            for s in partials.states
        }
        references = {s.reference: partials.references[s.reference] for s in partials.states if s.reference}
        facts = [pl.lit(value, pl.Float64).alias(name) for name, value in {**sizes, **references}.items()]
        together = pl.concat(numbered).sort(_CELL, *partials.group.key).with_columns(facts)
        common = self._common(piece, partials, first_cell)
        pointers = [_pointer(common, partials, state, before) for state in partials.states]
        key = " x ".join(partials.group.key) or "nothing"
        name = f"{self.dataset.competition.name}: parts by {key} @ {piece.digest[:12]}"
        recipe = Recipe("part", name, {"states": sorted(pointers), "format": FORMAT})

        def point() -> None:
            for pointer in pointers:
                self.store.point(pointer, recipe)

        self.writer.put(recipe, StoredTable(together).write, then=point)

    def _first_cell(self, piece: LogSlice) -> int:
        """Cell of the grid that the partition begins in; its own are counted from there."""
        return sum(bound <= (piece.first_clock or 0) for bound in self.grid.bounds)

    def _common(self, piece: LogSlice, partials: Partials, first_cell: int) -> dict[str, Json]:
        """Say what the parts of all states in a partition are made of."""
        first, last = piece.first_clock or 0, piece.last_clock or 0
        cuts = [bound for bound in self.grid.bounds if first < bound <= last]
        return {
            "partition": piece.digest,
            "weighed from": list(self.grid.bounds[self._first_cell(piece) :][: len(cuts) + 1]),
            "key": list(partials.group.key),
            "where": hashlib.blake2b(partials.group.source.encode(), digest_size=16).hexdigest(),
            "cut at": list(cuts),
            "from": max(first, self.grid.bounds[first_cell - 1]) if first_cell else first,
            "until": min(self.grid.bounds[-1], last + 1),
            "attributes": self.attributes,
            "polars": pl.__version__,
            "format": FORMAT,
        }

    @cached_property
    def attributes(self) -> str:
        """Digest of the attributes of users and items: they may be in what parts are made of."""
        made_of = hashlib.blake2b(digest_size=16)
        for table in (self.dataset.users, self.dataset.items):
            as_bytes = BytesIO()
            table.collect(engine="streaming").write_ipc(as_bytes)
            made_of.update(as_bytes.getbuffer())
        return made_of.hexdigest()


def _size_of(state: State) -> str:
    return f"{state.name} size"


def _pointer(common: dict[str, Json], partials: Partials, state: State, before: Known) -> str:
    """Name the pointer that leads to a state's parts: by what they are made of."""
    is_decayed = state.half_life is not None
    own: dict[str, Json] = {
        "state": state.name,
        "half life": partials.half_lives.get(state.name),
        "reference": before.references.get(state.reference) if state.reference else None,
    }
    if not is_decayed:
        own["weighed from"] = None
    return f"part-{digest_json({**common, **own})}"
