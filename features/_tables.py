"""Aggregates of all keys, not only of those in the pairs: one table a window, key and lookback."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from competitions import Dataset, LogSlice
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
from features._rows import by_cell, slice_rows
from features._running import blamed
from features._scan import Scan, grid_of
from features._wide import fits, n_parts_of, sorted_groups, sorted_tables
from validation import Window


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
    read = _reader(catalogue.dataset, every, grid)
    sorts = sorted_groups(catalogue.dataset, every, grid, windows, read)
    groups = {name: group for name, group in every.items() if name not in sorts}
    with ThreadPoolExecutor(1) as pool:  # sorting takes one thread, and grouping the others
        sorting = {name: pool.submit(sort) for name, sort in sorts.items()}
        cells = _cells(catalogue.dataset, groups, grid, windows, read)
        wide = {name: rows.result() for name, rows in sorting.items()}
    del read, sorts, sorting
    everywhere = _everywhere(catalogue.dataset, groups, grid, windows, cells)
    for name, group in groups.items():
        own = [one for one in passes if (one.source, one.key) == name]
        if own:
            merge = partial(merged_tables, catalogue.dataset, group, own, grid, windows, everywhere)
            yield from _side_by_side(merge, cells.pop(name))
    for name in list(wide):
        own = [one for one in passes if (one.source, one.key) == name]
        yield from sorted_tables(wide.pop(name), own, windows, everywhere)


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
    dataset: Dataset, groups: Mapping[GroupName, Group], grid: Grid
) -> Callable[[LogSlice], pl.DataFrame]:
    """Give the rows of a slice with the columns of all groups; they are read once if they fit into memory."""
    groups, _ = plan_rollups(groups, dataset)
    columns = {name for group in groups.values() for name in group.reads}
    read = partial(slice_rows, dataset, columns=columns, until=grid.bounds[-1])
    if not all(fits(dataset, group) for group in groups.values()):
        return read
    known: dict[str, pl.DataFrame] = {}

    def once(piece: LogSlice) -> pl.DataFrame:
        if not piece.digest:  # a table in memory
            return read(piece)
        if piece.digest not in known:
            known[piece.digest] = read(piece)
        return known[piece.digest]

    return once


def _cells(
    dataset: Dataset,
    groups: Mapping[GroupName, Group],
    grid: Grid,
    windows: Sequence[Window],
    read: Callable[[LogSlice], pl.DataFrame],
) -> dict[GroupName, list[Cells]]:
    """Group each slice by every key and tile; wide keys in parts, so that hash tables and states stay small."""
    horizon = windows[0].horizon
    groups, rollups = plan_rollups(groups, dataset)
    found: dict[GroupName, list[Cells]] = {}
    partials: dict[GroupName, Partials] = {}
    for piece in dataset.slices:
        rows = read(piece)
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


def _side_by_side(merge: Callable[[Cells], list[KeyTable]], parts: Sequence[Cells]) -> Iterator[KeyTable]:
    """Merge parts in as many threads as Polars has, a few ahead of who takes the tables, in their order."""
    n_threads = pl.thread_pool_size()
    with ThreadPoolExecutor(n_threads) as pool:
        waiting = [pool.submit(merge, part) for part in parts[:n_threads]]
        for number in range(len(parts)):
            tables = waiting[number].result()
            if number + n_threads < len(parts):
                waiting.append(pool.submit(merge, parts[number + n_threads]))
            yield from tables
            tables.clear()
