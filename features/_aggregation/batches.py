"""Aggregates of many windows in as few passes over the log as the memory budget allows."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
import polars as pl

from competitions import Dataset
from features._aggregation.column_values import check_exact, evaluate
from features._aggregation.keys import Codes, KeyIndex, has_key, index_of
from features._aggregation.limits import LIMITS, Limits
from features._aggregation.partition_cache import PartitionCache
from features._aggregation.plan import Group, GroupName, Pass, make_groups
from features._aggregation.prefix_sums import SpanCache
from features._aggregation.scan import Scan
from features._aggregation.threads import interleave, run_all
from features._aggregation.tiling import Tiling, base_cuts, make_tiling
from features._catalogue import FeatureColumn
from features._declare import FeatureError, Key
from features._storage import Writer
from validation import Window

Frames = Mapping[Window, pl.DataFrame]
BYTES = 8  # of a number in memory


@dataclass(frozen=True)
class Batch:
    """Passes that go over the log together, for one of ``n_shards`` equal shares of their keys."""

    passes: tuple[Pass, ...]
    shard: int = 0
    n_shards: int = 1


@dataclass(frozen=True)
class Work:
    """Aggregates to compute: the passes, and the pairs of each window joined with attributes.

    ``budget_gib``: of the states that are in memory at a time. ``writer``: what stores partials, if given.
    """

    dataset: Dataset
    passes: tuple[Pass, ...]
    frames: Frames
    budget_gib: float = math.inf
    writer: Writer | None = None
    limits: Limits = LIMITS
    groups: Mapping[GroupName, Group] = field(init=False)
    tiling: Tiling = field(init=False)

    def __post_init__(self) -> None:
        groups = make_groups(self.passes, self.frames, self.dataset)
        object.__setattr__(self, "groups", groups)
        object.__setattr__(self, "tiling", _tiling_for(groups.values(), self.frames, self.dataset))

    @cached_property
    def indexes(self) -> dict[Key, KeyIndex]:
        """The keys of the pairs of all windows and their codes, for every key."""
        found = dict[Key, KeyIndex]()

        def index(key: Key) -> None:
            found[key] = index_of(key, self.frames.values(), self.limits)

        keys = dict.fromkeys(one.key for one in self.passes)
        run_all([partial(index, key) for key in keys])
        return {key: found[key] for key in keys}

    @property
    def n_readings(self) -> int:
        """Number of partitions that are read, counting each as often as it is read."""
        return len(batches(self)) * len(self.dataset.partitions)

    def gib(self, key: Key, n_keys: int) -> float:
        """Estimate the memory of the states of all passes by a key."""
        own = [group for group in self.groups.values() if group.key == key]
        n_states = sum(len(group.merged) for group in own)
        n_last_rows = sum(
            max((one.lookback.size for one in group.over_last_rows), default=0) for group in own
        )
        return n_keys * (self.tiling.n_tiles * n_states + n_last_rows * 4) * BYTES / 2**30


def _tiling_for(groups: Collection[Group], windows: Iterable[Window], dataset: Dataset) -> Tiling:
    """Cut the clock where merged states need it, and at the data set's own cuts if any decays."""
    lookbacks = [one.lookback for group in groups for one in group.requests if group.merges(one)]
    decays = any(one.state.half_life is not None for group in groups for one in group.requests)
    return make_tiling(windows, lookbacks, base_cuts(dataset, windows) if decays else [])


def batches(work: Work) -> list[Batch]:
    """Put passes together until the budget is full; a key that is too wide by itself is split into shards."""
    found: list[Batch] = []
    together: list[Pass] = []
    used = 0.0
    for key in dict.fromkeys(one.key for one in work.passes):
        own = tuple(one for one in work.passes if one.key == key)
        need = work.gib(key, work.indexes[key].n_keys)
        if need > work.budget_gib and key:
            n_shards = math.ceil(need / work.budget_gib)
            found += [Batch(own, shard, n_shards) for shard in range(n_shards)]
            continue
        if used + need > work.budget_gib and together:
            found.append(Batch(tuple(together)))
            together, used = [], 0.0
        together += own
        used += need
    return [*found, Batch(tuple(together))] if together else found


def compute_aggregates(
    work: Work, after_partition: Callable[[], None] = lambda: None
) -> Iterator[tuple[Window, pl.DataFrame, float]]:
    """Compute the passes batch by batch.

    Yields a window, its columns of one pass in the order of its pairs, and the seconds that they took.
    """
    waiting: dict[tuple[Window, str], list[PassValues]] = {}
    for one in _by_batch(work, after_partition):
        name, height = (one.window, one.columns[0].name), work.frames[one.window].height
        shards = waiting.setdefault(name, [])
        shards.append(one)
        if one.rows is None or sum(shard.values.height for shard in shards) == height:
            del waiting[name]
            yield one.window, _joined(shards, height), sum(shard.seconds for shard in shards)


def _by_batch(work: Work, after_partition: Callable[[], None]) -> Iterator[PassValues]:
    cache = None
    if work.writer is not None:
        cache = PartitionCache(work.writer, work.dataset, work.tiling, work.limits)
    for batch in batches(work):
        names = {(one.source, key) for one in batch.passes for key in (one.key, ())}
        groups = {name: group for name, group in work.groups.items() if name in names}
        own = {key: index.shard(batch.shard, batch.n_shards) for key, index in work.indexes.items()}
        own[()] = index_of((), ())
        scan = Scan(work.dataset, groups, sorted(work.frames), own, work.tiling, cache, work.limits)
        scan.run(after_partition)
        yield from _values(scan, batch, work.frames)


@dataclass(frozen=True)
class PassValues:
    """Columns of one pass, of all keys or of a shard, in one window.

    ``rows``: positions of the pairs that the values are for; None = all, in the order of the frame. ``seconds``: what
    the pass took, shared by its windows.
    """

    window: Window
    columns: tuple[FeatureColumn, ...]
    values: pl.DataFrame
    rows: pl.Series | None
    seconds: float


def _values(scan: Scan, batch: Batch, frames: Frames) -> Iterator[PassValues]:
    """Finish the passes of each group window by window: what is read for its pairs is read once."""
    by_group: dict[GroupName, list[Pass]] = {}
    for one in batch.passes:
        by_group.setdefault((one.source, one.key), []).append(one)
    pair_keys: dict[tuple[Window, Key], _PairKeys] = {}

    def stream(name: GroupName, passes: Sequence[Pass], window: Window) -> Iterator[PassValues]:
        if (window, name[1]) not in pair_keys:
            pair_keys[window, name[1]] = _pair_keys(scan.indexes[name[1]], frames[window], batch)
        own = pair_keys[window, name[1]]
        share = scan.seconds[name] / max(len(frames), 1) / sum(len(one.columns) for one in passes)
        cache = SpanCache(own.codes)
        for one in sorted(passes, key=lambda one: -scan.tiling.span(window, one.lookback)[0]):
            states = scan.states(one, window, cache)
            check_exact(one.states, states, one.columns)
            values = evaluate(states, one.columns)[own.inverse]
            yield PassValues(window, one.columns, values, own.rows, share * len(one.columns))

    return interleave(stream(name, passes, window) for name, passes in by_group.items() for window in frames)


@dataclass(frozen=True)
class _PairKeys:
    """The distinct keys of some pairs (``codes``), which of them each pair has, and which pairs they are."""

    codes: Codes
    inverse: pl.Series
    rows: pl.Series | None


def _pair_keys(index: KeyIndex, frame: pl.DataFrame, batch: Batch) -> _PairKeys:
    codes = index.codes(frame)
    rows = None
    if batch.n_shards > 1:  # pairs of other shards are unknown here, and null keys belong to the first shard
        is_own = codes < index.n_keys
        if batch.shard == 0:
            is_own |= ~frame.select(has_key(index.key)).to_series().to_numpy()
        chosen = np.flatnonzero(is_own)
        codes, rows = codes[chosen], pl.Series(chosen)
    is_there = np.zeros(index.n_keys + 1, dtype=np.bool_)
    is_there[codes] = True
    inverse = (np.cumsum(is_there, dtype=np.uint32) - 1).take(codes)
    return _PairKeys(np.flatnonzero(is_there).astype(np.uint32), pl.Series(inverse, dtype=pl.UInt32), rows)


def _joined(shards: Sequence[PassValues], height: int) -> pl.DataFrame:
    """Put the values of one pass and window together, in the order of the pairs."""
    if len(shards) == 1 and shards[0].rows is None:
        return shards[0].values
    rows = pl.concat([shard.rows for shard in shards if shard.rows is not None])
    values = pl.concat([shard.values for shard in shards])
    if values.height != height:
        raise FeatureError(
            f"The shards of {[c.name for c in shards[0].columns]} hold {values.height} of {height} pairs."
        )
    return values[rows.arg_sort()]
