"""Bring raw columns to the dtypes of their schema, where no wrong value can come of it."""

from __future__ import annotations

import dataframely as dy
import polars as pl


def converts(have: pl.DataType, want: pl.DataType) -> bool:
    """Whether a value either survives the cast or becomes null, so that no wrong value can come of it."""
    if have == pl.Null:
        return True
    if have == pl.String:
        return want.is_numeric() or isinstance(want, pl.Enum)
    if isinstance(have, pl.Categorical | pl.Enum):
        return isinstance(want, pl.Enum) or want == pl.String
    if isinstance(have, pl.List | pl.Array) and isinstance(want, pl.Array):
        return _holds_floats(have) and _holds_floats(want)
    if have.is_integer():
        return want.is_numeric() or want == pl.Boolean
    return have.is_float() and want.is_float()


def _holds_floats(dtype: pl.List | pl.Array) -> bool:
    return isinstance(dtype.inner, pl.DataType) and dtype.inner.is_float()


def conversions(have: pl.Schema, schema: type[dy.Schema]) -> list[pl.Expr]:
    """Return the columns that are not yet what the schema wants, converted; what a dtype cannot hold becomes null."""
    return [
        _cast(name, have[name], column.dtype)
        for name, column in schema.columns().items()
        if not column.validate_dtype(have[name])
    ]


def _cast(name: str, have: pl.DataType, want: pl.DataType) -> pl.Expr:
    """Convert a column; what the dtype cannot hold becomes null."""
    values = pl.col(name)
    if want == pl.Boolean:
        return pl.when(values.is_in([0, 1])).then(values == 1).alias(name)
    if isinstance(want, pl.Array):
        lists = values if isinstance(have, pl.List) else values.arr.to_list()
        fitting = pl.when(lists.list.len() == want.size).then(lists)
        return fitting.list.to_array(want.size).cast(want, strict=False).alias(name)
    return values.cast(want, strict=False)
