"""What an expression looks at: whether each row's value comes from that row alone, and whether it runs Python."""

from __future__ import annotations

import polars as pl
from polars.exceptions import PolarsError


def is_rowwise(expression: pl.Expr) -> bool:
    """Tell whether no part of the expression looks at other rows.

    Every sub-expression is asked: Polars calls ``x - x.mean()`` separable by rows, since only its part ``x.mean()`` is
    not. What works inside of a list (``x.list.eval(...)``) stays within the row.
    """
    parts = expression.meta.pop()
    if _node(expression).startswith('{"Eval"'):
        return is_rowwise(parts[-1])
    try:
        alone = expression.meta.is_row_separable()
    except PolarsError:  # it depends on the dtypes of what is below
        alone = True
    return alone and all(is_rowwise(part) for part in parts)


def is_filter(expression: pl.Expr) -> bool:
    """Tell whether the expression is ``x.filter(condition)``."""
    return _node(expression).startswith('{"Filter"')


def is_by_parts(expression: pl.Expr) -> bool:
    """Tell whether rows can be taken in parts: each gives its own values, or is left out by what is in it alone."""
    if is_filter(expression):
        return all(is_rowwise(part) for part in expression.meta.pop())
    return is_rowwise(expression)


def runs_python(expression: pl.Expr) -> bool:
    """Tell whether a Python function hides in the expression (``map_batches``, ``map_elements``)."""
    return '{"AnonymousFunction":' in _node(expression)


def _node(expression: pl.Expr) -> str:
    return str(expression.meta.serialize(format="json"))
