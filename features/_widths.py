"""Columns as they are handed to feature bodies: narrow integers as Int64.

Arithmetic of narrow integers wraps around without a word (UInt8: 2 - 3 = 255, 2 * 200 = 144).
"""

from __future__ import annotations

import polars as pl

_NARROW = (pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16, pl.UInt32)


def handed_out(name: str, dtype: pl.DataType) -> pl.Expr:
    """Give the column to a body: an integer narrower than 64 bits as Int64, anything else as it is."""
    return widened(pl.col(name), dtype)


def widened(expression: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Cast to Int64 if the dtype is a narrower integer."""
    return expression.cast(pl.Int64) if dtype in _NARROW else expression


def dtype_of(expression: pl.Expr, schema: pl.Schema) -> pl.DataType:
    """Dtype of an expression over columns; of a column as it is handed out, the column's own.

    Raises PolarsError if the expression does not fit the columns.
    """
    names = expression.meta.root_names()
    if len(names) == 1 and names[0] in schema:
        column = schema[names[0]]
        if expression.meta.eq(handed_out(names[0], column)):
            return column
    return pl.LazyFrame(schema=schema).select(expression.alias("x")).collect_schema()["x"]
