"""Polars expressions of features: their dtypes, narrow integers as Int64, and what they look at."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Literal

import polars as pl
from polars.exceptions import PolarsError

from competitions import is_rowwise

Handed = Literal["as it is", "as a Boolean", "finite"]

_WRAPPING = ("Plus", "Minus", "Multiply")
_NARROW = (pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16, pl.UInt32)


def handed_out(name: str, dtype: pl.DataType, how: Handed = "as it is") -> pl.Expr:
    """Give the column to a body: an integer narrower than 64 bits as Int64, anything else as it is.

    ``how``: integers of 0 and 1 ``as a Boolean``; ``finite`` floats, with null for NaN and infinities.
    """
    column = pl.col(name)
    if how == "as a Boolean":
        return column.cast(pl.Boolean)
    return pl.when(column.is_finite()).then(column) if how == "finite" else widened(column, dtype)


def widened(expression: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Cast to Int64 if the dtype is a narrower integer."""
    return expression.cast(pl.Int64) if dtype in _NARROW else expression


def plain_column(expression: pl.Expr, schema: pl.Schema) -> str | None:
    """Name of the column that the expression is, as it is handed out; None if it is anything else."""
    names = expression.meta.root_names()
    if len(names) == 1 and names[0] in schema and expression.meta.eq(handed_out(names[0], schema[names[0]])):
        return names[0]
    return None


def dtype_of(expression: pl.Expr, schema: pl.Schema) -> pl.DataType:
    """Dtype of an expression over columns; of a column as it is handed out, the column's own.

    Raises PolarsError if the expression does not fit the columns.
    """
    column = plain_column(expression, schema)
    if column is not None:
        return schema[column]
    return _empty(tuple(schema.items())).select(expression.alias("x")).collect_schema()["x"]


@lru_cache(maxsize=16)
def _empty(columns: tuple[tuple[str, pl.DataType], ...]) -> pl.LazyFrame:
    """No rows of these columns: made once, since that takes longer than all that is asked of it."""
    return pl.LazyFrame(schema=dict(columns))


def narrow_arithmetic(expression: pl.Expr, schema: pl.Schema) -> pl.Expr | None:
    """Find a sum, difference or product of narrow integers within an expression; None if there is none.

    Columns are handed out wide, but ``at.dt.hour()`` is Int8 (23 * 60 = 100) and a count UInt32 (1 - 2 = 2^32 - 1).
    """
    text = str(expression.meta.serialize(format="json"))
    node = json.loads(text)
    is_arithmetic = isinstance(node, dict) and node.get("BinaryExpr", {}).get("op") in _WRAPPING
    if is_arithmetic and (expression.meta.root_names() or '"Len"' in text):  # not between constants
        try:
            if dtype_of(expression, schema) in _NARROW:
                return expression
        except PolarsError:  # inside of something that gives its columns meaning, such as list.eval
            pass
    found = (narrow_arithmetic(one, schema) for one in expression.meta.pop())
    return next((one for one in found if one is not None), None)


def is_filter(expression: pl.Expr) -> bool:
    """Tell whether the expression is ``x.filter(condition)``."""
    return _node(expression).startswith('{"Filter"')


def is_splittable(expression: pl.Expr) -> bool:
    """Tell whether rows can be taken tile by tile: each gives its value, or is left out, by what is in it alone."""
    if is_filter(expression):
        return all(is_rowwise(one) for one in expression.meta.pop())
    return is_rowwise(expression)


def _node(expression: pl.Expr) -> str:
    return str(expression.meta.serialize(format="json"))
