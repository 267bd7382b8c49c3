"""Numbers in steps of the grid of 2^-20: what float addends are rounded to, so that any order gives the same sum."""

from __future__ import annotations

import polars as pl

from features._widths import dtype_of

GRID = 2.0**-20
STEPS = 2**20
EXACT_STEPS = 2.0**53


def steps(x: pl.Expr) -> pl.Expr:
    """Round to the grid, as Int64 steps."""
    return (x.cast(pl.Float64) / GRID).round().cast(pl.Int64)


def grid_sum(x: pl.Expr) -> pl.Expr:
    """Sum on the grid, as Float64."""
    return steps(x).sum() * GRID


def exact_sum(x: pl.Expr, schema: pl.Schema) -> pl.Expr:
    """Sum integers as Int64 and floats on the grid."""
    return x.cast(pl.Int64).sum() if is_whole(x, schema) else grid_sum(x)


def is_whole(x: pl.Expr, schema: pl.Schema) -> bool:
    """Tell whether the values are integers or Booleans."""
    dtype = dtype_of(x, schema)
    return dtype.is_integer() or dtype == pl.Boolean
