"""Go over the log once for many windows, and give the states of every pass and window."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from competitions import Dataset
from features._aggregation.keys import Codes, KeyIndex
from features._aggregation.last_rows import ByWindow, LastRows, Unmergeable
from features._aggregation.limits import LIMITS, Limits
from features._aggregation.log_rows import LogReader, PartitionRows
from features._aggregation.partial_states import PartialStates, recut
from features._aggregation.partition_cache import CachedPartials, PartitionCache
from features._aggregation.plan import Group, GroupName, Pass, Request, full_schema, substitute
from features._aggregation.prefix_sums import PrefixSums, SpanCache
from features._aggregation.rollups import Rollup, plan_rollups
from features._aggregation.threads import run_all
from features._aggregation.tiling import ByTile, Tiling
from features._arithmetic import State
from features._declare import FeatureError, Key, Lookback
from validation import Window


class GroupScan:
    """One group while the log goes by. ``all_keys``: partials of all keys in the last partition, for coarser ones."""

    def __init__(
        self,
        group: Group,
        dataset: Dataset,
        windows: Sequence[Window],
        index: KeyIndex,
        tiling: Tiling,
        limits: Limits = LIMITS,
    ) -> None:
        self.group, self.windows, self.tiling = group, windows, tiling
        schema = full_schema(dataset)
        self.sums = PrefixSums(group.merged, index.n_keys, tiling, schema)
        self.partials = PartialStates(group, dataset, index, windows[0].horizon, limits)
        origins = self.partials.origins
        self.last_rows = LastRows(group, windows, schema, origins) if group.over_last_rows else None
        self.unmergeable = Unmergeable(group, index, schema, origins) if group.by_window else None
        self.by_window: ByWindow = {}
        self.all_keys: ByTile = []
        lookbacks = [one.lookback for one in group.requests if group.merges(one)]
        spans = [tiling.span(window, lookback) for window in windows for lookback in lookbacks]
        self.first_tile = min((first for first, _ in spans), default=0)

    def add(self, rows: PartitionRows, *, is_finer: bool, cache: PartitionCache | None) -> None:
        """Take in a partition: its partials from the store if they are there, else its rows."""
        if cache is None:
            self._add_rows(rows, None, is_finer=is_finer, is_cached=False)
            return
        of_all = cache.entry(rows.partition, self.partials, self.first_tile)
        of_pairs = cache.entry(rows.partition, self.partials, self.first_tile, is_narrowed=True)
        found = CachedPartials() if self.partials.is_wide else cache.find(of_all)
        if found.by_tile is not None:
            self.all_keys = found.by_tile
            self._merge_all_keys()
            return
        if not is_finer and self.partials.is_wide is not False:
            narrowed = cache.find(of_pairs).by_tile
            if narrowed is not None:
                for tile, partials in narrowed:
                    self.sums.add(tile, partials)
                self.partials.is_wide = True
                return
        narrowed = self._add_rows(rows, found.sums, is_finer=is_finer, is_cached=True)
        if narrowed is not None:
            cache.put(of_pairs, narrowed)
        elif not self.partials.is_wide:
            cache.put(of_all, self.all_keys)

    def _add_rows(
        self, rows: PartitionRows, sums: pl.DataFrame | None, *, is_finer: bool, is_cached: bool
    ) -> ByTile | None:
        """Take in rows. Returns the partials of the pairs' keys, or None if those of all keys are in ``all_keys``.

        ``sums``: those over all of the rows, as far as they are in the store.
        """
        try:
            return self._add(rows.rows, sums, is_finer=is_finer, is_cached=is_cached)
        except PolarsError as error:
            raise _blamed(self.partials, rows.rows, error) from error

    def _add(
        self, rows: pl.DataFrame, sums: pl.DataFrame | None, *, is_finer: bool, is_cached: bool
    ) -> ByTile | None:
        if self.group.is_whole and self.unmergeable is not None:
            self.unmergeable.add(rows.select(sorted(self.group.reads)))
            return []
        rows = self.partials.prepared(rows)
        tiles = list(self.tiling.split(rows, self.first_tile))
        self.partials.check(tile for _, tile in tiles)
        self.all_keys = []
        is_narrow = not rows.height or self.partials.is_narrow(rows)
        is_of_all = is_finer or (is_cached and bool(rows.height) and is_narrow)
        if self.group.merged and is_of_all:
            self.all_keys = self._by_key(tiles, sums)
            self._merge_all_keys()
        elif self.group.merged and is_narrow:  # one tile after the other: nothing is needed once it is merged
            for tile, own in tiles:
                self.sums.add(tile, self.partials.coded(self.partials.by_key(own, self.tiling.anchor(tile))))
        narrowed: ByTile = []
        is_merged = bool(self.group.merged) and not (is_of_all or is_narrow)
        if is_merged or self.last_rows is not None or self.unmergeable is not None:
            narrowed = self._add_narrowed(rows, is_merged=is_merged, is_cached=is_cached)
        return None if is_of_all else narrowed

    def _by_key(self, tiles: ByTile, sums: pl.DataFrame | None) -> ByTile:
        if sums is not None and tiles and not self.partials.watched:
            return recut(self.partials, tiles, self.tiling, sums)
        return [(tile, self.partials.by_key(rows, self.tiling.anchor(tile))) for tile, rows in tiles]

    def _merge_all_keys(self) -> None:
        for tile, partials in self.all_keys:
            self.sums.add(tile, self.partials.coded(partials))

    def _add_narrowed(self, rows: pl.DataFrame, *, is_merged: bool, is_cached: bool) -> ByTile:
        """Narrow the rows to the keys of the pairs first: for wide keys, and for what looks at single rows.

        Returns the partials by ``code``, if they are merged and to be stored.
        """
        if self.first_tile and self.last_rows is None and self.unmergeable is None:
            rows = rows.filter(pl.col("clock") >= self.tiling.cuts[self.first_tile - 1])
        found: ByTile = []
        for tile, own in self.tiling.split(self.partials.narrowed(rows)):
            if is_merged and tile >= self.first_tile:
                partials = self.partials.by_code(own, self.tiling.anchor(tile))
                self.sums.add(tile, partials)
                if is_cached:
                    found.append((tile, partials))
            if self.last_rows is not None:
                if tile:
                    self.last_rows.pass_by(self.tiling.cuts[tile - 1])
                self.last_rows.add(own)
            if self.unmergeable is not None:
                self.unmergeable.add(own)
        return found

    def roll_up(self, rollup: Rollup, finer: GroupScan) -> None:
        """Take in a partition from the partials of a finer key."""
        known = finer.partials.origins
        self.partials.origins.update({name: known[name] for name in self.partials.origins})
        for tile, partials in finer.all_keys:
            self.sums.add(tile, self.partials.coded(rollup.of(partials)))

    def close(self) -> None:
        """Finish when the log has gone by."""
        self.all_keys = []
        self.sums.close()
        if self.last_rows is not None:
            self.last_rows.pass_by(self.tiling.cuts[-1])
            self.by_window |= self.last_rows.found
            self.last_rows = None
        if self.unmergeable is not None:
            self.by_window |= self.unmergeable.close(self.windows)
            self.unmergeable = None


def _blamed(partials: PartialStates, rows: pl.DataFrame, error: PolarsError) -> FeatureError:
    """Name the column whose states fail by themselves."""
    for column in partials.group.columns:
        its_own = partials.fails_on(rows, column)
        if its_own is not None:
            return FeatureError(
                f"{column} failed on the log: {_in_words(its_own)}",
                expected="an expression that fits the log; sums take finite values below 8.6e9",
                todo="mend the expression, divide the column by a constant inside the aggregate, or leave the feature "
                "out by features.exclude",
            )
    return FeatureError(f"Features {[c.name for c in partials.group.columns]} failed together: {error}")


def _in_words(error: PolarsError) -> str:
    text = str(error).partition("\n\n")[0]
    if re.match(r"conversion from `[ui]\d+` to `i64`", text):  # ours: states are Int64
        numbers = text.partition(": ")[2]
        return (
            f"it holds whole numbers beyond those of 64 bits with a sign, {numbers}: it would not be exact."
        )
    return text


@dataclass
class Scan:
    """One pass over the log: what is asked, for which windows and keys, and what was found.

    ``cache``: where the partials of partitions are stored, if they are. ``seconds``: what each group took by itself.
    ``found``: the groups after the log has gone by. ``substitutes``: what is computed for states.
    """

    dataset: Dataset
    groups: Mapping[GroupName, Group]
    windows: Sequence[Window]
    indexes: Mapping[Key, KeyIndex]
    tiling: Tiling
    cache: PartitionCache | None = None
    limits: Limits = LIMITS
    seconds: dict[GroupName, float] = field(default_factory=dict)
    found: dict[GroupName, GroupScan] = field(default_factory=dict)
    substitutes: dict[tuple[Lookback, str], Request] = field(default_factory=dict)

    def run(self, after_partition: Callable[[], None] = lambda: None) -> None:
        """Read the partitions that hold history, one after the other."""
        groups, rollups = plan_rollups(self.groups, self.dataset)
        for name, group in groups.items():
            index = self.indexes[group.key]
            self.found[name] = GroupScan(group, self.dataset, self.windows, index, self.tiling, self.limits)
        for name, rollup in rollups.items():
            finer = self.found[rollup.finer]
            finer.first_tile = min(finer.first_tile, self.found[name].first_tile)
        columns = frozenset(name for group in groups.values() for name in group.reads)
        reader = LogReader(self.dataset, columns, self.tiling.cuts[-1], self.limits)
        # The most work for one thread first.
        own = sorted((name for name in groups if name not in rollups), key=lambda name: -len(name[1]))
        for partition in self.dataset.partitions:
            if partition.first_clock is None or partition.first_clock < reader.until:
                rows = PartitionRows(partition, reader)
                run_all([partial(self._take_in, name, rows, rollups) for name in own])
            after_partition()
        for name, one in self.found.items():
            self._timed(name, one.close)

    def _take_in(self, name: GroupName, rows: PartitionRows, rollups: Mapping[GroupName, Rollup]) -> None:
        """Take a partition into a group and what rolls up from it, which takes the rows of small ones."""
        coarser = [other for other, rollup in rollups.items() if rollup.finer == name]
        is_finer = bool(coarser) and rows.n_rows >= self.limits.rolled_up_rows
        self._timed(
            name, partial(self.found[name].add, rows, is_finer=is_finer, cache=self._cache(rows, name))
        )
        for other in coarser:
            one = self.found[other]
            if is_finer:
                self._timed(other, partial(one.roll_up, rollups[other], self.found[name]))
            else:
                self._timed(other, partial(one.add, rows, is_finer=False, cache=self._cache(rows, other)))

    def _cache(self, rows: PartitionRows, name: GroupName) -> PartitionCache | None:
        return self.cache if self.cache and self.cache.is_for(rows.partition, self.groups[name]) else None

    def _timed(self, name: GroupName, work: Callable[[], None]) -> None:
        began = perf_counter()
        work()
        self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - began

    def states(self, one: Pass, window: Window, cache: SpanCache) -> pl.DataFrame:
        """Give the states of a pass for keys by number, one row a code; those over all keys repeat.

        ``cache``: the codes, and what other passes of the same group have read for them.
        """
        found: dict[tuple[bool, str], pl.Series] = {}
        columns = []
        for state in one.states:
            asked = state.everywhere, self._substitute(one.lookback, state).state.name
            if asked not in found:
                found[asked] = self._state(one, state, window, cache)
            columns.append(found[asked].alias(state.name))
        return pl.DataFrame(columns)

    def _state(self, one: Pass, state: State, window: Window, cache: SpanCache) -> pl.Series:
        request = self._substitute(one.lookback, state)
        name = (one.source, () if state.everywhere else one.key)
        own = SpanCache(np.zeros(1, dtype=np.uint32)) if state.everywhere else cache
        if self.groups[name].merges(request):
            found = self.found[name].sums.read(window, *request, own)
        else:
            found = self._by_window(name, window, request, own.codes)
        if state.when_empty is not None and found.null_count():
            found = found.fill_null(state.when_empty)
        found = found.alias(state.name)
        return found.new_from_index(0, len(cache.codes)) if state.everywhere else found

    def _substitute(self, lookback: Lookback, state: State) -> Request:
        key = (lookback, state.name)
        if key not in self.substitutes:
            self.substitutes[key] = substitute(lookback, state, self.dataset)
        return self.substitutes[key]

    def _by_window(self, name: GroupName, window: Window, request: Request, codes: Codes) -> pl.Series:
        lookback, state = request
        table = self.found[name].by_window.get((window, lookback))
        if table is None:
            schema = full_schema(self.dataset)
            origins = {str(state.origin): pl.Float64()} if state.origin else {}
            empty = pl.DataFrame(schema={**schema, **origins}).group_by(pl.lit(0).alias("code"))
            table = empty.agg(state.within_group(schema)).clear()
        asked = pl.DataFrame({"code": codes}).with_columns(pl.col("code").cast(pl.UInt32))
        known = table.with_columns(pl.col("code").cast(pl.UInt32)).select("code", state.name)
        return asked.join(known, on="code", how="left", validate="m:1", maintain_order="left")[state.name]
