"""Aggregates of many windows in as few passes over the log as the memory budget allows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import polars as pl

from competitions import Dataset
from features._aggregation.column_values import check_exact, finished, guarded
from features._aggregation.keys import Codes, KeyIndex, index_of, index_pairs
from features._aggregation.partition_cache import Kept
from features._aggregation.plan import Group, GroupName, Pass, make_groups
from features._aggregation.prefix_sums import Gathered
from features._aggregation.scan import Scan, grid_of
from features._aggregation.threads import in_turns
from features._aggregation.tiling import Grid
from features._catalogue import FeatureColumn
from features._declare import FeatureError, Key
from features._storage import Writer
from validation import Window

Frames = Mapping[Window, pl.DataFrame]
SHARE = 0.3  # of the memory budget is for states; the rest is for rows, results and libraries
BYTES = 8
DISTINCT = 0.5  # of the pairs: with more distinct keys than that, columns are finished for each pair


@dataclass(frozen=True)
class Batch:
    """Passes that go over the log together, for one of ``n_parts`` equal parts of their keys."""

    passes: tuple[Pass, ...]
    part: int = 0
    n_parts: int = 1


@dataclass(frozen=True)
class Aggregated:
    """Finished columns of one pass (or of one part of its keys) in one window.

    ``rows``: positions of the pairs that the values are for; None = all, in the order of the frame. ``seconds``: what
    the pass took, shared by its windows.
    """

    window: Window
    columns: tuple[FeatureColumn, ...]
    values: pl.DataFrame
    rows: pl.Series | None
    seconds: float


@dataclass(frozen=True)
class Work:
    """Aggregates to compute: the passes, and the pairs of each window joined with attributes.

    ``budget_gib``: of the states that are in memory at a time. ``writer``: what keeps parts of partitions, if given.
    """

    dataset: Dataset
    passes: tuple[Pass, ...]
    frames: Frames
    budget_gib: float = math.inf
    writer: Writer | None = None
    grid: Grid = field(init=False)
    groups: Mapping[GroupName, Group] = field(init=False)

    def __post_init__(self) -> None:
        groups = make_groups(self.passes, self.frames, self.dataset)
        object.__setattr__(self, "groups", groups)
        object.__setattr__(self, "grid", grid_of(self.dataset, self.frames, groups))

    @cached_property
    def indexes(self) -> dict[Key, KeyIndex]:
        """The keys of the pairs by number, for every key."""
        return index_pairs((one.key for one in self.passes), self.frames)

    @property
    def n_readings(self) -> int:
        """Number of slices that are read, counting each as often as it is read."""
        return len(batches(self)) * len(self.dataset.partitions)

    def gib(self, key: Key, n_keys: int) -> float:
        """Estimate the memory of the states of all passes by a key."""
        n_states = sum(len(g.merged) for g in self.groups.values() if g.key == key)
        longest = sum(
            max((lookback.size for lookback, _ in g.tails), default=0)
            for g in self.groups.values()
            if g.key == key
        )
        cells = self.grid.n_cells * n_states + longest * 4
        return n_keys * cells * BYTES / 2**30


def batches(work: Work) -> list[Batch]:
    """Put passes together until the budget is full; a key that is too wide by itself is split by its number."""
    found: list[Batch] = []
    together: list[Pass] = []
    used = 0.0
    for key in dict.fromkeys(one.key for one in work.passes):
        own = tuple(one for one in work.passes if one.key == key)
        need = work.gib(key, work.indexes[key].n_keys)
        if need > work.budget_gib and key:
            n_parts = math.ceil(need / work.budget_gib)
            found += [Batch(own, part, n_parts) for part in range(n_parts)]
            continue
        if used + need > work.budget_gib and together:
            found.append(Batch(tuple(together)))
            together, used = [], 0.0
        together += own
        used += need
    return [*found, Batch(tuple(together))] if together else found


def compute_aggregates(work: Work, after_slice: Callable[[], None] = lambda: None) -> Iterator[Aggregated]:
    """Compute the passes batch by batch, and yield their finished columns window by window."""
    kept = None if work.writer is None else Kept(work.writer, work.dataset, work.grid)
    for batch in batches(work):
        names = {(one.source, key) for one in batch.passes for key in (one.key, ())}
        groups = {name: group for name, group in work.groups.items() if name in names}
        own = {key: index.part(batch.part, batch.n_parts) for key, index in work.indexes.items()}
        own[()] = index_of((), ())
        scan = Scan(work.dataset, groups, sorted(work.frames), own, work.grid, kept)
        scan.run(after_slice)
        yield from _finished(scan, batch, work.frames)


def _finished(scan: Scan, batch: Batch, frames: Frames) -> Iterator[Aggregated]:
    """Finish the passes of each group window by window: what they gather for its pairs is gathered once."""
    by_group: dict[GroupName, list[Pass]] = {}
    for one in batch.passes:
        by_group.setdefault((one.source, one.key), []).append(one)
    positions: dict[tuple[Window, Key], _Positions] = {}

    def stream(name: GroupName, passes: Sequence[Pass], window: Window) -> Iterator[Aggregated]:
        if (window, name[1]) not in positions:
            positions[window, name[1]] = _positions(scan.indexes[name[1]], frames[window], batch)
        where = positions[window, name[1]]
        share = scan.seconds[name] / max(len(frames), 1) / sum(len(one.columns) for one in passes)
        gathered = Gathered(where.codes)
        for one in sorted(passes, key=lambda one: -scan.grid.cells(window, one.lookback)[0]):
            states = scan.states(one, window, gathered)
            check_exact(one, states)
            values = guarded(states, [finished(column) for column in one.columns], one.columns)
            values = values if where.inverse is None else values[where.inverse]
            yield Aggregated(window, one.columns, values, where.rows, share * len(one.columns))

    return in_turns(stream(name, passes, window) for name, passes in by_group.items() for window in frames)


@dataclass(frozen=True)
class _Positions:
    """The keys of some pairs by number, where each pair finds its own, and which pairs they are.

    ``inverse``: None if the keys are one a pair, in their order.
    """

    codes: Codes
    inverse: pl.Series | None
    rows: pl.Series | None


def _positions(index: KeyIndex, frame: pl.DataFrame, batch: Batch) -> _Positions:
    codes = index.codes(frame)
    rows = None
    if batch.n_parts > 1:  # pairs of other parts are unknown here, and null keys belong to the first part
        is_own = codes < index.n_keys
        if batch.part == 0 and index.key:
            key = frame.select(pl.any_horizontal(pl.col(n).is_null() for n in index.key)).to_series()
            is_own |= key.to_numpy()
        chosen = np.flatnonzero(is_own)
        codes, rows = codes[chosen], pl.Series(chosen)
    is_there = np.zeros(index.n_keys + 1, dtype=np.bool_)
    is_there[codes] = True
    if np.count_nonzero(is_there) > DISTINCT * len(codes):
        return _Positions(codes, None, rows)
    inverse = (np.cumsum(is_there, dtype=np.uint32) - 1).take(codes)
    return _Positions(np.flatnonzero(is_there).astype(np.uint32), pl.Series(inverse, dtype=pl.UInt32), rows)


def joined(parts: Sequence[Aggregated], height: int) -> pl.DataFrame:
    """Put the values of one pass and window together, in the order of the pairs."""
    if len(parts) == 1 and parts[0].rows is None:
        return parts[0].values
    rows = pl.concat([part.rows for part in parts if part.rows is not None])
    values = pl.concat([part.values for part in parts])
    if values.height != height:
        raise FeatureError(
            f"The parts of {[c.name for c in parts[0].columns]} hold {values.height} of {height} pairs."
        )
    return values[rows.arg_sort()]


def by_pass(found: Iterable[Aggregated], frames: Frames) -> Iterator[tuple[Window, pl.DataFrame, float]]:
    """Yield a window, its finished columns of one pass, and their seconds, once all parts of the keys are there."""
    waiting: dict[tuple[Window, str], list[Aggregated]] = {}
    for one in found:
        slot = (one.window, one.columns[0].name)
        parts = waiting.setdefault(slot, [])
        parts.append(one)
        height = frames[one.window].height
        if one.rows is None or sum(p.values.height for p in parts) == height:
            del waiting[slot]
            yield one.window, joined(parts, height), sum(p.seconds for p in parts)
