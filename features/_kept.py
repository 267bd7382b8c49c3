"""Parts of states in the store: a partition that was grouped once is not grouped again.

What is computed together is one artifact a partition and key, and pointers lead to it from each state. It is cut where
the grid is, and serves every grid that has no other boundaries within the partition; to others it gives its sums.
Parts are kept if they are small beside the log: those of keys with few values, and of wide keys those that the pairs of
the windows have. What is over the last rows of a key, and what cannot be merged, is made of rows and not kept.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path

import polars as pl

from competitions import Dataset, Partition
from engine import Json, Store
from features._exact import SAFE
from features._grid import Grid
from features._groups import Group
from features._part_names import PartNames
from features._partials import Cells, Known, Partials
from features._recut import is_sum
from features._stored import StoredTable, read_facts, read_table
from features._writing import Writer

MOST = 0.1  # parts of the pairs' keys a row: with more, they are hardly smaller than the rows
ROWS = 200_000  # of a partition; fewer are grouped faster than their parts are found
_SINCE = "since"  # clock that a part begins at: that of the partition, or a boundary within
_CUTS, _SIZES, _REFERENCES = "cut at", "sizes", "references"


@dataclass(frozen=True)
class Found:
    """What is kept of a partition: ``cells``, the parts of all states, or the ``sums`` over it that ``recut`` takes."""

    cells: Cells | None = None
    sums: pl.DataFrame | None = None


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

    def is_for(self, piece: Partition, group: Group) -> bool:
        """Tell whether parts of the group in this partition may be kept, if they are few."""
        large = bool(piece.digest) and (piece.n_rows or 0) >= ROWS
        return large and bool(group.merged) and not group.tails and not group.direct

    def names(
        self, piece: Partition, partials: Partials, first_cell: int, *, is_narrowed: bool = False
    ) -> PartNames:
        """Name the parts of a group in a partition, from a cell on: of all keys, or of those of the pairs."""
        return PartNames(piece, partials, self.grid, first_cell, self.attributes, is_narrowed)

    def find(self, names: PartNames) -> Found:
        """Look for parts by cell, or else for sums over the partition, if they are of all keys."""
        partials, folders = names.partials, self._folders(names)
        cells = self._cells(names, folders) if len(folders) == len(partials.states) else None
        needs_sums = cells is None and not names.is_narrowed
        return Found(cells, _sums(partials, folders) if needs_sums else None)

    def _folders(self, names: PartNames) -> dict[str, Path]:
        """Find where parts of states are, by name: those of just these states and cuts, or the last ones of each."""
        states, before = names.partials.states, names.partials.known()
        together = self.store.find(names.recipe(self.dataset.competition.name, before))
        if together is not None:
            return dict.fromkeys((state.name for state in states), together)
        found = {state.name: self.store.pointed(names.pointer(state, before)) for state in states}
        return {name: folder for name, folder in found.items() if folder is not None}

    def _cells(self, names: PartNames, folders: Mapping[str, Path]) -> Cells | None:
        """Read parts by cell. The last ones that were cut more finely serve as well: a cell has several then.

        They are in the order of the clock. None if they are cut elsewhere, or if sums could wrap around by now: then
        the rows have to be watched.
        """
        partials, facts = names.partials, {f: read_facts(f) for f in dict.fromkeys(folders.values())}
        cuts = {tuple(one[_CUTS]) for one in facts.values()}
        if len(cuts) > 1 or not set(names.cuts) <= set(cuts.pop()):
            return None
        sizes = {s: partials.sizes.get(s, 0.0) + facts[f][_SIZES][s] for s, f in folders.items()}
        if max(sizes.values(), default=0.0) >= SAFE:
            return None
        partials.sizes.update(sizes)
        references = {state.reference: facts[folders[state.name]] for state in partials.states}
        partials.references.update({name: one[_REFERENCES][name] for name, one in references.items() if name})
        tables = {folder: read_table(folder) for folder in facts}
        states = [tables[folders[s.name]].select(s.parts(partials.schema)) for s in partials.states]
        keys = next(iter(tables.values())).select(_SINCE, *names.key)
        parts = pl.concat([keys, *states], how="horizontal").partition_by(_SINCE, maintain_order=True)
        return [(bisect_right(self.grid.bounds, part[_SINCE][0]), part.drop(_SINCE)) for part in parts]

    def put(self, names: PartNames, before: Known, cells: Cells) -> None:
        """Keep the parts of each cell. ``before``: what was known before this partition."""
        partials, height = names.partials, sum(part.height for _, part in cells)
        if not height or (names.is_narrowed and height > MOST * (names.piece.n_rows or 0)):
            return
        begins, first = [names.piece.first_clock or 0, *names.cuts], names.begin_cell
        since = [
            part.with_columns(pl.lit(begins[cell - first], pl.Int64).alias(_SINCE)) for cell, part in cells
        ]
        together = pl.concat(since).sort(_SINCE, *names.key)
        facts = {_CUTS: [*names.cuts], **_facts(partials, before)}
        recipe = names.recipe(self.dataset.competition.name, before)

        def point() -> None:
            for state in partials.states:
                self.store.point(names.pointer(state, before), recipe)

        self.writer.put(recipe, StoredTable(together, facts).write, then=point)

    @cached_property
    def attributes(self) -> str:
        """Digest of the attributes of users and items: they may be in what parts are made of."""
        made_of = hashlib.blake2b(digest_size=16)
        for table in (self.dataset.users, self.dataset.items):
            as_bytes = BytesIO()
            table.collect(engine="streaming").write_ipc(as_bytes)
            made_of.update(as_bytes.getbuffer())
        return made_of.hexdigest()


def _facts(partials: Partials, before: Known) -> dict[str, Json]:
    """Say what one has to know of a partition without its rows: sizes of what was added, references."""
    return {
        _SIZES: {
            state.name: partials.sizes.get(state.name, 0.0) - before.sizes.get(state.name, 0.0)
            for state in partials.states
        },
        _REFERENCES: {s.reference: partials.references[s.reference] for s in partials.states if s.reference},
    }


def _sums(partials: Partials, folders: Mapping[str, Path]) -> pl.DataFrame | None:
    """Read the states that are sums, by key, however they are cut; None for the empty key, which has no columns."""
    key, names = partials.group.key, dict[Path, list[str]]()
    for state in partials.states:
        if state.name in folders and is_sum(state, partials.schema):
            names.setdefault(folders[state.name], []).extend(state.parts(partials.schema))
    parts = [read_table(folder).select(*key, *own) for folder, own in names.items()]
    return pl.concat(parts, how="diagonal") if parts and key else None
