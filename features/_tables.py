"""Aggregates of all keys, not only of those in the pairs: one table a window, key and lookback."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from competitions import Dataset
from features._accumulate import Accumulator
from features._catalogue import Catalogue
from features._errors import FeatureError
from features._grid import Grid
from features._groups import Group, GroupName, full_schema, make_groups
from features._key_table import KeyTable
from features._keys import KeyIndex, index_of
from features._merged import N_ROWS, merged_tables
from features._partials import Cells, Partials
from features._plan import Pass, make_plan
from features._registry import Key
from features._rollup import plan_rollups
from features._rows import SliceReader, by_cell
from features._running import blamed
from features._scan import Scan, grid_of
from features._wide import fits, n_parts_of, sorted_groups, sorted_tables
from validation import Window

Task = Callable[[], list[KeyTable]]


def aggregate_tables(
    catalogue: Catalogue, windows: Iterable[Window], names: Sequence[str]
) -> Iterator[KeyTable]:
    """Compute aggregates for all keys of the log, in one pass over it, and one more for each wide key.

    Raises FeatureError for columns that are no aggregates, or that cannot be merged over tiles: the last rows of a
    key, plain Polars aggregations, and whatever reads the cutoff.
    """
    windows = sorted(set(windows))
    passes = make_plan(catalogue, names).passes
    every = _counted(make_groups(passes, windows, catalogue.dataset), passes)
    _check_mergeable(every, names, passes)
    grid = grid_of(catalogue.dataset, windows, every)
    with ThreadPoolExecutor(pl.thread_pool_size()) as pool:
        read = _reader(catalogue.dataset, every, grid, pool)
        sorts = sorted_groups(catalogue.dataset, every, grid, windows, read)
        groups = {name: group for name, group in every.items() if name not in sorts}
        sorting = {name: pool.submit(sort) for name, sort in sorts.items()}  # while the others are grouped
        cells = _cells(catalogue.dataset, groups, grid, windows, read)
        del read, sorts
        everywhere = _everywhere(catalogue.dataset, groups, grid, windows, cells)

        def tasks() -> Iterator[Task]:
            for name in every:
                own = [one for one in passes if (one.source, one.key) == name]
                if name in sorting:
                    yield from sorted_tables(sorting.pop(name).result(), own, windows, everywhere)
                elif own:
                    merge = partial(
                        merged_tables, catalogue.dataset, groups[name], own, grid, windows, everywhere
                    )
                    yield from (partial(merge, part) for part in cells.pop(name))

        yield from _side_by_side(pool, tasks())


def _counted(groups: Mapping[GroupName, Group], passes: Sequence[Pass]) -> dict[GroupName, Group]:
    """Count rows as well: a key is in a table if it has some."""
    lookbacks = {name: {p.lookback for p in passes if (p.source, p.key) == name} for name in groups}
    return {
        name: replace(g, wanted=(*g.wanted, *((lookback, N_ROWS) for lookback in lookbacks[name])))
        for name, g in groups.items()
    }


def _check_mergeable(groups: Mapping[GroupName, Group], names: Sequence[str], passes: Sequence[Pass]) -> None:
    known = {column.name for one in passes for column in one.columns}
    others = [name for name in names if name not in known]
    stuck = [c.name for g in groups.values() if g.tails or g.direct for c in g.columns]
    if others or stuck:
        raise FeatureError(
            f"{', '.join((others + stuck)[:5])} cannot be computed for all keys.",
            expected="aggregates that merge over tiles of the clock",
            todo="compute it for pairs, with compute_windows",
        )


def _reader(
    dataset: Dataset, groups: Mapping[GroupName, Group], grid: Grid, pool: Executor
) -> Callable[[], Iterable[pl.DataFrame]]:
    """Give the rows of slice after slice, with the columns of all groups; read once if they fit into memory."""
    groups, _ = plan_rollups(groups, dataset)
    columns = frozenset(name for group in groups.values() for name in group.reads)
    read = SliceReader(dataset, columns, grid.bounds[-1]).rows
    if not all(fits(dataset, group) for group in groups.values()):
        return lambda: map(read, dataset.partitions)
    known = list(pool.map(read, dataset.partitions))
    return lambda: known


def _cells(
    dataset: Dataset,
    groups: Mapping[GroupName, Group],
    grid: Grid,
    windows: Sequence[Window],
    read: Callable[[], Iterable[pl.DataFrame]],
) -> dict[GroupName, list[Cells]]:
    """Group each slice by every key and tile; wide keys in parts, so that hash tables and states stay small."""
    horizon = windows[0].horizon
    groups, rollups = plan_rollups(groups, dataset)
    found: dict[GroupName, list[Cells]] = {}
    partials: dict[GroupName, Partials] = {}
    for rows in read():
        for name, group in groups.items():
            if name not in found:
                index = KeyIndex(group.key, rows.clear().select(*group.key, code=pl.lit(0, pl.UInt32)))
                partials[name] = Partials(group, dataset, index, horizon)
                found[name] = [[] for _ in range(n_parts_of(dataset, group, grid, rows))]
        by_key: dict[GroupName, Cells] = {}
        for name in sorted(groups, key=lambda name: name in rollups):
            if name in rollups:
                by_key[name] = [(cell, rollups[name].of(part)) for cell, part in by_key[rollups[name].finer]]
            else:
                by_key[name] = _grouped(partials[name], rows, grid)
        for name, own in by_key.items():
            for cell, grouped in own:
                for number, some in enumerate(_split(grouped, groups[name].key, len(found[name]))):
                    found[name][number].append((cell, some))
    return found


def _grouped(partials: Partials, rows: pl.DataFrame, grid: Grid) -> Cells:
    """Group the rows of a slice by key and tile. Raises FeatureError naming the column that fails."""
    try:
        parts = list(by_cell(partials.prepared(rows), grid))
        partials.check(part for _, part in parts)
        return [(cell, partials.by_key(part, grid.bounds[cell])) for cell, part in parts]
    except PolarsError as error:
        raise blamed(partials.group, rows, error, partials.fails_on) from error


def _split(grouped: pl.DataFrame, key: Key, n_parts: int) -> Iterator[pl.DataFrame]:
    if n_parts == 1:
        yield grouped
        return
    number = grouped.select((pl.col(key[0]).hash(0) % n_parts).cast(pl.UInt16)).to_series()
    order = number.arg_sort()
    ends = np.searchsorted(number.gather(order).to_numpy(), np.arange(n_parts), side="right")
    grouped, begin = grouped[order], 0
    for end in ends.tolist():
        yield grouped[begin:end]
        begin = end


def _everywhere(
    dataset: Dataset,
    groups: Mapping[GroupName, Group],
    grid: Grid,
    windows: Sequence[Window],
    cells: Mapping[GroupName, list[Cells]],
) -> Scan:
    """Merge what is over all keys at once."""
    own = {name: group for name, group in groups.items() if not group.key}
    scan = Scan(dataset, own, windows, {(): index_of((), ())}, grid)
    for name, group in own.items():
        merged = Accumulator(group.merged, 1, grid, full_schema(dataset))
        for cell, part in cells[name][0]:
            merged.add(cell, part)
        merged.close()
        scan.merged[name] = merged
    return scan


def _side_by_side(pool: Executor, tasks: Iterable[Task]) -> Iterator[KeyTable]:
    """Make tables in all threads, a few ahead of who takes them, in their order."""
    waiting: deque[Future[list[KeyTable]]] = deque()
    for task in tasks:
        waiting.append(pool.submit(task))
        if len(waiting) > pl.thread_pool_size():
            yield from waiting.popleft().result()
    while waiting:
        yield from waiting.popleft().result()
