"""Do the engines of the aggregates benchmark agree? Counts, sums and clocks exactly, the rest within a tolerance.

Compared are the sums of every column of every table over all rows, and value by value the rows that were kept. Our
values are Float32 (a sum of 17 million is rounded), so the others' are rounded to Float32 before they are compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl

from benchmarks._aggregates_job import CLOCKS, COUNTED, SHARES

SUM_TOLERANCE = 1e-5  # relative: a column of Float32 values is summed as such
VALUE_TOLERANCE = 1e-6  # relative, and absolute for deviations that are zero but for rounding
Sums = Mapping[str, Mapping[str, float]]


def disagreements(name: str, sums: Sums, rows: Path, other: Sums, other_rows: Path) -> list[str]:
    """Say where an engine (``name``) and the reference (``other``) differ: one sentence for each table.

    An engine may have delivered fewer tables than the reference; no table at all, or none in common, is a difference.
    """
    both = [table for table in sums if table in other]
    if not both:
        return [f"{name} has no table in common with the reference"]
    found = [
        f"{name}: {table}: {difference}"
        for table in both
        for difference in _sums_differ(sums[table], other[table])
    ]
    for file in sorted(rows.glob("*.parquet")):
        table = file.stem if (other_rows / file.name).exists() else file.stem.rpartition("-")[0]
        reference = other_rows / f"{table}.parquet"
        if reference.exists():
            found += [
                f"{name}: {file.stem}: {difference}"
                for difference in _rows_differ(pl.read_parquet(file), pl.read_parquet(reference))
            ]
    return found


def _sums_differ(sums: Mapping[str, float], other: Mapping[str, float]) -> Iterator[str]:
    for column, value in sums.items():
        if not math.isclose(value, other[column], rel_tol=SUM_TOLERANCE, abs_tol=SUM_TOLERANCE):
            yield f"the sum of {column} is {value!r}, not {other[column]!r}"


def _rows_differ(values: pl.DataFrame, other: pl.DataFrame) -> Iterator[str]:
    if values["pair_id"].to_list() != other["pair_id"].to_list():
        yield f"the pairs differ ({values.height} and {other.height} rows)"
        return
    for column in (name for name in values.columns if name != "pair_id"):
        a, b = _comparable(values, column), _comparable(other, column)
        apart = pl.DataFrame({"a": a, "b": b}).filter(~_is_same(column)).select("a", "b")
        if apart.height:
            yield f"{column} differs in {apart.height} of {values.height} rows, first {apart.row(0)}"


def _comparable(values: pl.DataFrame, column: str) -> pl.Series:
    """Give a column as all engines have it: clocks as integers, the rest as Float32, absent counts as zero."""
    if column in CLOCKS:
        return values[column].cast(pl.Int64)
    rounded = values[column].cast(pl.Float32).fill_nan(None)
    return rounded.fill_null(0.0) if column in COUNTED else rounded


def _is_same(column: str) -> pl.Expr:
    a, b = pl.col("a"), pl.col("b")
    if column not in SHARES:
        return a.eq_missing(b)
    close = (a.cast(pl.Float64) - b.cast(pl.Float64)).abs() <= VALUE_TOLERANCE * (
        1 + b.abs().cast(pl.Float64)
    )
    return (a.is_null() & b.is_null()) | close.fill_null(False)
