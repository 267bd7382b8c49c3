"""Whether what an aggregate adds up here stays exact: a look at the values, before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import polars as pl
from polars.exceptions import ComputeError, InvalidOperationError

from competitions import Dataset
from features._arithmetic import (
    EXACT_SQUARES,
    EXACT_STEPS,
    GRID,
    INT64_SAFE,
    INT64_SAFE_TILE,
    State,
    dtype_of,
    is_splittable,
    is_whole,
)
from features._declare import Key, Lookback

Entry = tuple[Key, Lookback]  # of the grid of a declaration
_NARROW = (pl.Boolean, pl.Int8, pl.UInt8, pl.Int16, pl.UInt16, pl.Int32, pl.UInt32, pl.Enum, pl.String)


def inexact_sums(
    states: Iterable[State], grid: Sequence[Entry], where: pl.Expr | None, schema: pl.Schema, dataset: Dataset
) -> Mapping[Entry, str]:
    """Say by which keys and lookbacks what is added up would not be exact, and why.

    Only sums of columns that are wide enough are looked at, and by keys only where the largest value in every row would
    be too much.
    """
    sums = [s for s in states if s.is_sum and is_splittable(s.expression) and _is_wide(s, schema)]
    if not sums:
        return {}
    window = {"cutoff": pl.lit(dataset.test_start), "horizon": pl.lit(dataset.horizon)}
    expressions = [s.expression for s in sums] + ([] if where is None else [where])
    read = {name for one in expressions for name in one.meta.root_names()}
    is_plain = read.union(*(key for key, _ in grid)) <= {*dataset.log.collect_schema(), *window}
    rows = (dataset.log if is_plain else dataset.with_attributes(dataset.log)).with_columns(**window)
    rows = rows if where is None else rows.filter(where)
    rows = rows.with_columns(
        s.expression.drop_nulls().first().cast(pl.Float64).alias(str(s.origin))
        for s in sums
        if s.operation == "squares"
    )
    sizes = {s.name: _size(s, schema) for s in sums}
    try:
        most = rows.select(pl.len().alias("n"), *(size.max().alias(n) for n, size in sizes.items()))
        found = most.collect(engine="streaming").row(0, named=True)
        large = [s for s in sums if not (found[s.name] or 0.0) * found["n"] < _bound(s, of_all=True)]
        looks = {
            (s.name, entry): _reached(s, sizes[s.name], found[s.name], entry, rows)
            for s in large
            for entry in grid
        }
    except (ComputeError, InvalidOperationError) as error:  # a cast of some value
        said = str(error).split("\n")[0].strip()
        return dict.fromkeys(grid, f"needs other values in {_columns(sums)}: {said}")
    return {entry: _words(s, entry[0], looks[s.name, entry], schema) for s in large for entry in grid
            if not looks[s.name, entry] < _bound(s, of_all=False)}  # fmt: skip


def _reached(state: State, size: pl.Expr, largest: float, entry: Entry, rows: pl.LazyFrame) -> float:
    """How much a sum over a lookback reaches: over all rows, the last ones, or stretches back from the test window."""
    key, lookback = entry
    by = [] if state.everywhere else [pl.col(name) for name in key]
    if lookback.kind in ("span", "horizon"):
        length = lookback.size * (1 if lookback.kind == "span" else pl.col("horizon"))
        by.append(((pl.col("cutoff") - 1 - pl.col("clock")) // length).alias("stretch"))
    sums = rows.group_by(by or [pl.lit(0).alias("all")]).agg(size.sum().alias("size"))
    most = float(sums.select(pl.col("size").max()).collect(engine="streaming").item() or 0.0)
    return min(most, largest * lookback.size) if lookback.kind == "last" and not state.everywhere else most


def _words(state: State, key: Key, most: float, schema: pl.Schema) -> str:
    by, unit = () if state.everywhere else key, _unit(state, schema)
    return (
        f"needs smaller values in {_columns([state])}: what is added up by {' x '.join(by) or 'everything'} reaches "
        f"{most * unit:.3g}, beyond {_bound(state, of_all=False) * unit:.3g}, and would not be exact; divide them by a "
        "constant (days instead of seconds)"
    )


def _is_wide(state: State, schema: pl.Schema) -> bool:
    """Tell whether a column that is read can hold values whose sums leave the exact range."""
    names = set(state.expression.meta.root_names()) & {*schema}
    return any(not isinstance(schema[name], _NARROW) for name in names - {"cutoff", "horizon"})


def _size(state: State, schema: pl.Schema) -> pl.Expr:
    """Size of what is added up, as the scan counts it: in units, in steps of the grid, or in steps squared."""
    x = state.expression
    if state.operation == "squares":
        return ((x.cast(pl.Float64) - pl.col(str(state.origin)).first()) / GRID) ** 2
    size = state.addend(schema)
    return pl.lit(0.0) if size is None else size


def _bound(state: State, *, of_all: bool) -> float:
    match state.operation:
        case "deviation":  # where all together could wrap around, no key may come near it
            return INT64_SAFE if of_all else INT64_SAFE_TILE
        case "squares":
            return EXACT_SQUARES
        case _:
            return EXACT_STEPS


def _unit(state: State, schema: pl.Schema) -> float:
    if state.operation == "squares":
        return GRID**2
    return 1.0 if state.operation == "total" and is_whole(dtype_of(state.expression, schema)) else GRID


def _columns(states: Iterable[State]) -> str:
    return " and ".join(sorted({repr(n) for s in states for n in s.expression.meta.root_names()}))
