"""One column of the catalogue: what it is called, made of and reads."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from competitions import NUMBERS_OF_CATEGORIES, numbers_categories, runs_python
from features._arithmetic import Handed, dtype_of, narrow_arithmetic
from features._declare import (
    EVERYTHING,
    Aggregate,
    Column,
    Declaration,
    DType,
    FeatureError,
    Key,
    Lookback,
    MissingColumnError,
    Range,
    Scope,
)

WINDOW_COLUMNS = {"cutoff": pl.Int64(), "horizon": pl.Int64()}


@dataclass(frozen=True)
class AggregateBody:
    """States by key over the history and the finish over them."""

    aggregate: Aggregate
    key: Key
    lookback: Lookback
    where: pl.Expr | None


@dataclass(frozen=True)
class PairBody:
    """An expression over the pairs' columns and other features."""

    expression: pl.Expr


@dataclass(frozen=True)
class PythonBody:
    """One column of a ``@table``, ``@fitted`` or ``@streamed`` body; ``arguments`` are those of the variant.

    ``handed``: columns of the history that the body gets in another way than they are.
    """

    output: str
    key: Key
    needs: tuple[str, ...]
    variant: str = ""
    arguments: Mapping[str, Any] | None = None
    handed: Mapping[str, Handed] = field(default_factory=dict)


@dataclass(frozen=True)
class FeatureColumn:
    """One column of the catalogue.

    Attributes
    ----------
    key, lookback
        What an aggregate groups by and how far it looks back; empty for the others.
    scope
        Which other pairs shown can change the value: none (``row``), the user's, or the whole window's.
    reads
        Names of the features it reads (not of plain columns).
    """

    name: str
    declaration: Declaration
    body: AggregateBody | PairBody | PythonBody
    dtype: pl.DataType
    is_model_input: bool
    scope: Scope = "row"
    key: Key = ()
    lookback: Lookback = EVERYTHING
    reads: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"Feature {self.name!r} ({self.declaration.place})"

    @property
    def said(self) -> Column | None:
        """What a table, fitted or streamed feature says of this column; None for the others."""
        return (
            self.declaration.options["columns"][self.body.output]
            if isinstance(self.body, PythonBody)
            else None
        )

    @property
    def meaning(self) -> str:
        """What the column means: said of it by itself, or the first line of the docstring."""
        return (self.said.meaning if self.said else "") or self.declaration.meaning

    @property
    def range(self) -> Range | None:
        """The range that is declared for its values, if any."""
        declared: Range | None = self.said.range if self.said else self.declaration.options.get("range")
        return declared

    @property
    def uses(self) -> tuple[str, ...]:
        """What may show in its values though audits change it: ``ids``, ``time``."""
        return tuple(word for word in ("ids", "time") if self.declaration.options.get(f"uses_{word}"))

    @property
    def kind(self) -> str:
        """Which of the five ways it is written in."""
        return self.declaration.kind

    @property
    def family(self) -> str:
        """The file it is written in, without its ending."""
        return self.declaration.place.file.stem

    @property
    def fill(self) -> float | str | None:
        """What replaces null, if anything."""
        fill: float | str | None = self.declaration.options["fill"]
        return fill

    def finished(self, value: pl.Expr) -> pl.Expr:
        """Give a value the column's name, dtype and fill.

        What is not a finite number (NaN, x / 0, beyond Float32) becomes null, which ``fill`` then replaces; within an
        array or a list it becomes null and stays so.
        """
        value = value.cast(self.dtype)
        if self.dtype.is_float():
            value = pl.when(value.is_finite()).then(value)
        elif isinstance(self.dtype, pl.Array | pl.List) and self.dtype.inner.is_float():
            within = value.arr if isinstance(self.dtype, pl.Array) else value.list
            value = within.eval(pl.when(pl.element().is_finite()).then(pl.element()))
        if self.fill is not None:
            value = value.fill_null(pl.lit(self.fill, dtype=self.dtype))
        return value.alias(self.name)


def check_fill(column: FeatureColumn) -> None:
    """Raise FeatureError if the fill is no value of the column's dtype: it would change the dtype."""
    fill, dtype = column.fill, column.dtype
    if fill is None:
        return
    try:
        cast = pl.select(pl.lit(fill, dtype=dtype)).item()
    except (PolarsError, TypeError, ValueError, OverflowError):
        cast = None
    if (
        cast is None
        or (not dtype.is_float() and cast != fill)
        or (dtype.is_float() and not math.isfinite(cast))
    ):
        raise FeatureError(
            f"{column} is filled with {fill!r}.",
            expected=f"a finite value of its dtype {dtype}",
            todo="choose another fill, or declare another dtype",
        )


def check_expression(declaration: Declaration, expression: pl.Expr, schema: pl.Schema) -> None:
    """Raise FeatureError for what would go wrong without a word: Python functions and narrow integers."""
    if runs_python(expression):
        raise FeatureError(
            f"{declaration} calls a Python function within an expression.",
            expected="Polars expressions only: they are stored by what they are made of",
            todo="write it with Polars functions, or as @table or @fitted",
        )
    if numbers_categories(expression, schema):
        raise FeatureError(f"{declaration} takes categories for {NUMBERS_OF_CATEGORIES}.")
    narrow = narrow_arithmetic(expression, schema)
    if narrow is not None:
        raise FeatureError(
            f"{declaration} computes {narrow} in {dtype_of(narrow, schema)}, "
            "which wraps around without a word.",
            expected="arithmetic in Int64 or floats",
            todo="cast first: at.dt.hour().cast(pl.Int64) * 60",
        )


def call_body(declaration: Declaration, *arguments: object) -> object:
    """Call a declaring body; what it raises becomes a FeatureError that names the feature and its place."""
    try:
        with declaration.announced():
            return declaration.body(*arguments)
    except MissingColumnError:
        raise
    except FeatureError as error:
        raise FeatureError(
            f"{declaration}: {error.found}",
            expected=error.expected,
            todo=error.todo,
        ) from error
    except Exception as error:
        raise FeatureError(
            f"{declaration} failed while it was read: {type(error).__name__}: {error}"
        ) from error


def as_dtype(dtype: DType) -> pl.DataType:
    """Give the instance of a dtype that may be written as a class."""
    return dtype if isinstance(dtype, pl.DataType) else dtype()


def is_input(dtype: DType) -> bool:
    """Tell whether models can read the dtype: a number, a Boolean or an Enum."""
    kind = as_dtype(dtype)
    return kind.is_numeric() or isinstance(kind, pl.Boolean | pl.Enum)
