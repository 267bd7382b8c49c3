"""Partials in the store: a partition that was grouped once is not grouped again.

What is computed together is one artifact a partition and key, and pointers lead to it from each state. It is cut where
the tiling is, and serves every tiling that has no other cuts within the partition; to others it gives its sums. Stored
are the partials that are small beside the log: those of keys with few values, and of wide keys those of the pairs of
the windows. What is over the last rows of a key, and what cannot be merged, is made of rows again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path

import polars as pl

from competitions import Dataset, Partition
from engine import Json, Recipe, Store, digest_json
from features._aggregation.limits import LIMITS, Limits
from features._aggregation.partial_states import LogFacts, PartialStates, is_sum
from features._aggregation.plan import Group
from features._aggregation.tiling import ByTile, Tiling
from features._arithmetic import INT64_SAFE, State
from features._storage import FORMAT, StoredTable, Writer, read_facts, read_table

LAYOUT = 3  # of the files; raise it when they hold something else
_SINCE = "since"  # clock that a tile begins at: that of the partition, or a cut within
_CUTS, _SIZES, _ORIGINS = "cut at", "sizes", "origins"


@dataclass(frozen=True)
class CacheEntry:
    """Where the partials of one group in one partition are found. ``attributes``: digest of those of users and items.

    ``before``: what was known of the log before the partition. ``first_tile``: they begin there. ``is_narrowed``: they
    are by ``code`` and of the pairs' keys, not of all.
    """

    partition: Partition
    partials: PartialStates
    before: LogFacts
    tiling: Tiling
    first_tile: int
    attributes: str
    is_narrowed: bool = False

    @property
    def key(self) -> tuple[str, ...]:
        """Columns that tell which key a partial is of."""
        return ("code",) if self.is_narrowed else self.partials.group.key

    @property
    def begin(self) -> int:
        """Clock that the partition begins at."""
        return self.partition.first_clock or 0

    @cached_property
    def cuts(self) -> Sequence[int]:
        """Cuts of the tiling within the partition."""
        return [cut for cut in self.tiling.cuts if self.begin < cut <= (self.partition.last_clock or 0)]

    def recipe(self, competition: str) -> Recipe:
        """Give the recipe of the partials of just these states with just these cuts."""
        key = " x ".join(self.partials.group.key) or "nothing"
        exact: dict[str, Json] = {"cut at": [*self.cuts]}
        states = sorted(digest_json({**self._made_of(state), **exact}) for state in self.partials.states)
        name = f"{competition}: partials by {key} @ {self.partition.digest[:12]}"
        return Recipe("partials", name, {"states": [*states], "format": [FORMAT, LAYOUT]})

    def pointer(self, state: State) -> str:
        """Name the pointer to the last partials of a state, however they are cut.

        Decayed sums are weighed from an anchor of their tile, so those that are cut otherwise may be others.
        """
        return f"partials-{digest_json(self._made_of(state))}"

    def _made_of(self, state: State) -> dict[str, Json]:
        decays = state.half_life is not None
        first = self.tiling.tile_at(self.begin)
        tiles = range(first, min(first + len(self.cuts) + 1, self.tiling.n_tiles))
        return {
            **self._common,
            "cut at": [*self.cuts] if decays else None,
            "weighed from": [self.tiling.anchor(tile) for tile in tiles] if decays else None,
            "state": state.name,
            "half life": self.partials.half_lives.get(state.name),
            "origin": self.before.origins.get(state.origin) if state.origin else None,
        }

    @cached_property
    def _common(self) -> dict[str, Json]:
        """Say what the partials of all states are made of."""
        group, cuts = self.partials.group, self.tiling.cuts
        return {
            "partition": self.partition.digest,
            "key": list(group.key),
            "keys": self.partials.index.digest if self.is_narrowed else None,
            "where": hashlib.blake2b(group.source.encode(), digest_size=16).hexdigest(),
            "from": max(self.begin, cuts[self.first_tile - 1]) if self.first_tile else self.begin,
            "until": min(cuts[-1], (self.partition.last_clock or 0) + 1),
            "attributes": self.attributes,
            "polars": pl.__version__,
            "format": [FORMAT, LAYOUT],
        }


@dataclass(frozen=True)
class CachedPartials:
    """What is found of a partition: partials of all states by tile, or the ``sums`` over it that ``recut`` takes."""

    by_tile: ByTile | None = None
    sums: pl.DataFrame | None = None


@dataclass(frozen=True)
class PartitionCache:
    """Where the partials of a data set's partitions are stored, cut where a tiling is."""

    writer: Writer
    dataset: Dataset
    tiling: Tiling
    limits: Limits = LIMITS

    @property
    def store(self) -> Store:
        """Where partials are found."""
        return self.writer.store

    def is_for(self, partition: Partition, group: Group) -> bool:
        """Tell whether partials of the group in this partition may be stored, if they are few."""
        is_large = bool(partition.digest) and (partition.n_rows or 0) >= self.limits.cached_rows
        return is_large and group.is_by_tile_only

    def entry(
        self, partition: Partition, partials: PartialStates, first_tile: int, *, is_narrowed: bool = False
    ) -> CacheEntry:
        """Say where the partials of a group in a partition are, from a tile on: of all keys, or of the pairs'."""
        before = partials.facts()
        return CacheEntry(partition, partials, before, self.tiling, first_tile, self.attributes, is_narrowed)

    def find(self, entry: CacheEntry) -> CachedPartials:
        """Look for partials by tile, or else for sums over the partition, if they are of all keys."""
        folders = self._folders(entry)
        if len(folders) == len(entry.partials.states):
            by_tile = self._by_tile(entry, folders)
            if by_tile is not None:
                return CachedPartials(by_tile)
        return CachedPartials() if entry.is_narrowed else CachedPartials(sums=_sums(entry.partials, folders))

    def _folders(self, entry: CacheEntry) -> dict[str, Path]:
        """Find where partials are, by state: those of just these states and cuts, or the last ones of each."""
        states = entry.partials.states
        together = self.store.find(entry.recipe(self.dataset.competition.name))
        if together is not None:
            return dict.fromkeys((state.name for state in states), together)
        found = {state.name: self.store.pointed(entry.pointer(state)) for state in states}
        return {name: folder for name, folder in found.items() if folder is not None}

    def _by_tile(self, entry: CacheEntry, folders: Mapping[str, Path]) -> ByTile | None:
        """Read partials by tile. The last ones that were cut more finely serve as well: a tile has several then.

        They are in the order of the clock. None if they are cut elsewhere, or if sums could wrap around by now: then
        the rows have to be watched.
        """
        partials, facts = entry.partials, {f: read_facts(f) for f in dict.fromkeys(folders.values())}
        cuts = {tuple(one[_CUTS]) for one in facts.values()}
        if len(cuts) > 1 or not set(entry.cuts) <= set(cuts.pop()):
            return None
        sizes = {s: partials.sizes.get(s, 0.0) + facts[f][_SIZES][s] for s, f in folders.items()}
        if max(sizes.values(), default=0.0) >= INT64_SAFE:
            return None
        partials.sizes.update(sizes)
        origins = {state.origin: facts[folders[state.name]] for state in partials.states}
        partials.origins.update({name: one[_ORIGINS][name] for name, one in origins.items() if name})
        tables = {folder: read_table(folder) for folder in facts}
        states = [tables[folders[s.name]].select(s.partial_columns(partials.schema)) for s in partials.states]
        keys = next(iter(tables.values())).select(_SINCE, *entry.key)
        found = pl.concat([keys, *states], how="horizontal").partition_by(_SINCE, maintain_order=True)
        return [(self.tiling.tile_at(tile[_SINCE][0]), tile.drop(_SINCE)) for tile in found]

    def put(self, entry: CacheEntry, by_tile: ByTile) -> None:
        """Store the partials of each tile."""
        height = sum(tile.height for _, tile in by_tile)
        if not height or (
            entry.is_narrowed and height > self.limits.cached_share * (entry.partition.n_rows or 0)
        ):
            return
        begins, first = [entry.begin, *entry.cuts], self.tiling.tile_at(entry.begin)
        since = [
            partials.with_columns(pl.lit(begins[tile - first], pl.Int64).alias(_SINCE))
            for tile, partials in by_tile
        ]
        table = pl.concat(since).sort(_SINCE, *entry.key)
        facts = {_CUTS: [*entry.cuts], **_facts(entry.partials, entry.before)}
        recipe = entry.recipe(self.dataset.competition.name)

        def point() -> None:
            for state in entry.partials.states:
                self.store.point(entry.pointer(state), recipe)

        self.writer.put(recipe, StoredTable(table, facts).write, then=point)

    @cached_property
    def attributes(self) -> str:
        """Digest of the attributes of users and items: partials may be made of them."""
        return digest_of_tables((self.dataset.users, self.dataset.items))


def digest_of_tables(tables: Iterable[pl.LazyFrame]) -> str:
    """Digest the rows of tables, in their order."""
    made_of = hashlib.blake2b(digest_size=16)
    for table in tables:
        as_bytes = BytesIO()
        table.collect(engine="streaming").write_ipc(as_bytes)
        made_of.update(as_bytes.getbuffer())
    return made_of.hexdigest()


def _facts(partials: PartialStates, before: LogFacts) -> dict[str, Json]:
    """Say what one has to know of a partition without its rows: sizes of what was added, origins."""
    return {
        _SIZES: {
            state.name: partials.sizes.get(state.name, 0.0) - before.sizes.get(state.name, 0.0)
            for state in partials.states
        },
        _ORIGINS: {s.origin: partials.origins[s.origin] for s in partials.states if s.origin},
    }


def _sums(partials: PartialStates, folders: Mapping[str, Path]) -> pl.DataFrame | None:
    """Read the states that are sums, by key, however they are cut; None for the empty key, which has no columns."""
    key, names = partials.group.key, dict[Path, list[str]]()
    for state in partials.states:
        if state.name in folders and is_sum(state, partials.schema):
            names.setdefault(folders[state.name], []).extend(state.partial_columns(partials.schema))
    tables = [read_table(folder).select(*key, *own) for folder, own in names.items()]
    return pl.concat(tables, how="diagonal") if tables and key else None
