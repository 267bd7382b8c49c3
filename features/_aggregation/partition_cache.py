"""Parts of states in the store: a partition that was grouped once is not grouped again.

What is computed together is one artifact a partition and key, and pointers lead to it from each state. It is cut where
the grid is, and serves every grid that has no other boundaries within the partition; to others it gives its sums.
Parts are kept if they are small beside the log: those of keys with few values, and of wide keys those that the pairs of
the windows have. What is over the last rows of a key, and what cannot be merged, is made of rows and not kept.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl

from competitions import Dataset, Partition
from engine import Json, Recipe, Store, digest_json
from features._aggregation.column_values import SAFE
from features._aggregation.keys import MOST_IDS
from features._aggregation.partial_states import Cells, Known, Partials, can_reduce
from features._aggregation.plan import Group
from features._aggregation.prefix_sums import EXTREME, NONE
from features._aggregation.tiling import Grid
from features._arithmetic import State
from features._storage import FORMAT, StoredTable, Writer, read_facts, read_table

_SUMS = ("count", "valid", "total", "deviation", "squares")
_NUMBERS = (pl.UInt8, pl.UInt16, pl.UInt32)


def is_sum(state: State, schema: pl.Schema) -> bool:
    """Tell whether the parts of a state are Int64 sums wherever the clock is cut, so that one can be taken off."""
    return state.operation in _SUMS and (state.operation != "squares" or state.is_small(schema))


def recut(partials: Partials, rows: Cells, grid: Grid, sums: pl.DataFrame) -> Cells:
    """Give what ``Partials.by_key`` gives of the rows of each cell, which together are those that ``sums`` are of.

    ``sums``: the key, and the parts of states that are sums, by key; a key may have several rows, and null is 0.
    """
    largest = max(range(len(rows)), key=lambda number: rows[number][1].height)
    others = [cell for number, cell in enumerate(rows) if number != largest]
    parts = [(cell, partials.by_key(own, grid.bounds[cell])) for cell, own in others]
    cell, own = rows[largest]
    left = _difference(sums, [part for _, part in parts], partials.group.key)
    found = _others(partials, own, grid.bounds[cell], left.columns)
    names = [name for s in partials.states for name in s.parts(partials.schema)]
    both = found.join(left, on=partials.group.key, how="left", validate="1:1")
    parts.insert(largest, (cell, both.select(*partials.group.key, *names)))
    return parts


def _difference(sums: pl.DataFrame, less: Sequence[pl.DataFrame], key: Sequence[str]) -> pl.DataFrame:
    """Take parts off the sums of their keys."""
    names = [name for name in sums.columns if name not in key]
    negative = [part.select(*key, *(-pl.col(name) for name in names)) for part in less]
    return (
        pl.concat([sums, *negative]).lazy().group_by(key).agg(pl.col(names).sum()).collect(engine="in-memory")
    )


def _others(partials: Partials, rows: pl.DataFrame, until: int, known: Sequence[str]) -> pl.DataFrame:
    """Take the parts that are not known from rows, by key: all keys of the rows, even if there are no such parts."""
    schema, key = partials.schema, partials.group.key
    rest = [s for s in partials.states if not set(s.parts(schema)) <= set(known)]
    ends = [s for s in rest if s.operation in EXTREME and can_reduce(s, schema)]
    if not ends or len(key) > 1 or not _is_small(rows[key[0]]):
        return partials.by_key(rows, until, rest)
    found = _extremes(ends, rows.filter(pl.col(key[0]).is_not_null()), key[0])
    rest = [s for s in rest if s not in ends]
    if rest:
        found = found.join(partials.by_key(rows, until, rest), on=key, how="left", validate="1:1")
    return found


def _is_small(ids: pl.Series) -> bool:
    largest = ids.max() if ids.dtype in _NUMBERS else None
    return isinstance(largest, int) and largest < MOST_IDS


def _extremes(states: Sequence[State], rows: pl.DataFrame, key: str) -> pl.DataFrame:
    """Give extremes of integers by ids that are positions in an array."""
    ids = rows[key].to_numpy().astype(np.intp)
    n_rows = np.bincount(ids)
    there = np.flatnonzero(n_rows)
    values = rows.select(
        s.expression.cast(pl.Int64).fill_null(NONE[s.operation]).alias(s.name) for s in states
    )
    found = {key: pl.Series(there, dtype=rows.schema[key])}
    for state in states:
        ends = np.full(len(n_rows), NONE[state.operation])
        EXTREME[state.operation].at(ends, ids, values[state.name].to_numpy())
        found[state.name] = pl.Series(ends.take(there))
    is_some = [pl.when(pl.col(s.name) != NONE[s.operation]).then(pl.col(s.name)) for s in states]
    return pl.DataFrame(found).with_columns(is_some)


LAYOUT = 2  # of the files; raise it when they hold something else


@dataclass(frozen=True)
class PartNames:
    """Names the parts of one group in one partition. ``attributes``: digest of those of users and items.

    ``first_cell``: the parts begin there. ``is_narrowed``: they are by ``code`` and of the pairs' keys, not of all.
    ``before`` of the methods: what was known of the log before the partition.
    """

    piece: Partition
    partials: Partials
    grid: Grid
    first_cell: int
    attributes: str
    is_narrowed: bool = False

    @property
    def key(self) -> tuple[str, ...]:
        """Columns that tell whose a part is."""
        return ("code",) if self.is_narrowed else self.partials.group.key

    @cached_property
    def cuts(self) -> Sequence[int]:
        """Boundaries of the grid within the partition."""
        first, last = self.piece.first_clock or 0, self.piece.last_clock or 0
        return [bound for bound in self.grid.bounds if first < bound <= last]

    @property
    def begin_cell(self) -> int:
        """Cell of the grid that the partition begins in; its own are counted from there."""
        return sum(bound <= (self.piece.first_clock or 0) for bound in self.grid.bounds)

    def recipe(self, competition: str, before: Known) -> Recipe:
        """Give the recipe of the parts of just these states with just these cuts."""
        key = " x ".join(self.partials.group.key) or "nothing"
        exact: dict[str, Json] = {"cut at": [*self.cuts]}
        states = sorted(digest_json({**self._of(state, before), **exact}) for state in self.partials.states)
        name = f"{competition}: parts by {key} @ {self.piece.digest[:12]}"
        return Recipe("part", name, {"states": [*states], "format": [FORMAT, LAYOUT]})

    def pointer(self, state: State, before: Known) -> str:
        """Name the pointer to the last parts of a state, however they are cut.

        Decayed sums are weighed from the end of their tile, so those that are cut otherwise are others.
        """
        return f"part-{digest_json(self._of(state, before))}"

    def _of(self, state: State, before: Known) -> dict[str, Json]:
        decays = state.half_life is not None
        ends = [*self.cuts, *self.grid.bounds[self.begin_cell + len(self.cuts) :][:1]]
        return {
            **self._common,
            "cut at": [*self.cuts] if decays else None,
            "weighed from": [*ends] if decays else None,
            "state": state.name,
            "half life": self.partials.half_lives.get(state.name),
            "reference": before.references.get(state.reference) if state.reference else None,
        }

    @cached_property
    def _common(self) -> dict[str, Json]:
        """Say what the parts of all states are made of."""
        first, last = self.piece.first_clock or 0, self.piece.last_clock or 0
        group, bounds = self.partials.group, self.grid.bounds
        return {
            "partition": self.piece.digest,
            "key": list(group.key),
            "keys": self.partials.index.digest if self.is_narrowed else None,
            "where": hashlib.blake2b(group.source.encode(), digest_size=16).hexdigest(),
            "from": max(first, bounds[self.first_cell - 1]) if self.first_cell else first,
            "until": min(bounds[-1], last + 1),
            "attributes": self.attributes,
            "polars": pl.__version__,
            "format": [FORMAT, LAYOUT],
        }


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
