"""Parts of states in the store: a partition that was grouped once is not grouped again.

What is computed together is one artifact a partition and key, and pointers lead to it from each state. It is cut where
the grid is, and serves every grid that has no other boundaries within the partition. Only keys with few values are
kept: their parts are small beside the log. What is over the last rows of a key, and what cannot be merged, is made of
rows and not kept.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
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
_SINCE = "since"  # clock that a part begins at: that of the partition, or a boundary within
_CUTS = "cut at"


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

        The last ones that were cut more finely serve as well: a cell has several then, in the order of the clock. None
        if one state's are not there, or if sums could wrap around by now: then the rows have to be watched.
        """
        before, folders = partials.known(), {}
        common = self._common(piece, partials, first_cell)
        for state in partials.states:
            pointers = _pointers(common, partials, state, before)
            folder = next((f for name in pointers if (f := self.store.pointed(name)) is not None), None)
            if folder is None:
                return None
            folders[state.name] = folder
        tables = {folder: read_table(folder) for folder in dict.fromkeys(folders.values())}
        cuts = {table[_CUTS][0] for table in tables.values()}
        if len(cuts) > 1 or not {str(cut) for cut in self._cuts(piece)} <= set(cuts.pop().split()):
            return None
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
        keys = next(iter(tables.values())).select(_SINCE, *partials.group.key)
        parts = pl.concat([keys, *columns], how="horizontal").partition_by(_SINCE, maintain_order=True)
        return [(bisect_right(self.grid.bounds, part[_SINCE][0]), part.drop(_SINCE)) for part in parts]

    def put(self, piece: LogSlice, partials: Partials, before: Known, cells: Cells, first_cell: int) -> None:
        """Keep what ``Partials.by_key`` gave for each cell. ``before``: what was known before this partition."""
        if not any(part.height for _, part in cells):
            return
        cuts = self._cuts(piece)
        begins = [piece.first_clock or 0, *cuts]
        first = self._first_cell(piece)
        since = [
            part.with_columns(pl.lit(begins[cell - first], pl.Int64).alias(_SINCE)) for cell, part in cells
        ]
        sizes = {
            _size_of(s): partials.sizes.get(s.name, 0.0) - before.sizes.get(s.name, 0.0)
            for s in partials.states
        }
        references = {s.reference: partials.references[s.reference] for s in partials.states if s.reference}
        facts = [pl.lit(value, pl.Float64).alias(name) for name, value in {**sizes, **references}.items()]
        facts.append(pl.lit(" ".join(map(str, cuts))).alias(_CUTS))
        together = pl.concat(since).sort(_SINCE, *partials.group.key).with_columns(facts)
        common = self._common(piece, partials, first_cell)
        pointers = [p for state in partials.states for p in _pointers(common, partials, state, before)]
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

    def _cuts(self, piece: LogSlice) -> Sequence[int]:
        """Boundaries of the grid within the partition."""
        first, last = piece.first_clock or 0, piece.last_clock or 0
        return [bound for bound in self.grid.bounds if first < bound <= last]

    def _common(self, piece: LogSlice, partials: Partials, first_cell: int) -> dict[str, Json]:
        """Say what the parts of all states in a partition are made of."""
        first, last = piece.first_clock or 0, piece.last_clock or 0
        cuts = self._cuts(piece)
        return {
            "partition": piece.digest,
            "cut at": [*cuts],
            "told by": _SINCE,
            "weighed from": [*cuts, *self.grid.bounds[self._first_cell(piece) + len(cuts) :][:1]],
            "key": list(partials.group.key),
            "where": hashlib.blake2b(partials.group.source.encode(), digest_size=16).hexdigest(),
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


def _pointers(common: dict[str, Json], partials: Partials, state: State, before: Known) -> list[str]:
    """Name the pointers to a state's parts by what they are made of: to those cut so, and to the last ones of all.

    Decayed sums are weighed from the end of their tile, so those that were cut otherwise are others.
    """
    own: dict[str, Json] = {
        **common,
        "state": state.name,
        "half life": partials.half_lives.get(state.name),
        "reference": before.references.get(state.reference) if state.reference else None,
    }
    if state.half_life is not None:
        return [f"part-{digest_json(own)}"]
    exact = {**own, "weighed from": None}
    return [f"part-{digest_json(made_of)}" for made_of in (exact, {**exact, "cut at": None})]
