"""From states and inputs to a column's values, in its dtype, with its fill."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from polars.exceptions import PolarsError

from features._column import AggregateBody, FeatureColumn, PairBody
from features._errors import FeatureError
from features._spread import spread_columns, spreads


def finished(column: FeatureColumn) -> pl.Expr:
    """Express a column's value over its states or inputs, in its dtype; ``guarded`` fills it."""
    body = column.body
    value = (
        body.expression
        if isinstance(body, PairBody)
        else body.aggregate.finish
        if isinstance(body, AggregateBody)
        else pl.col(column.name)
    )
    return value.cast(column.dtype).alias(column.name)


def guarded(frame: pl.DataFrame, values: Sequence[pl.Expr], columns: Sequence[FeatureColumn]) -> pl.DataFrame:
    """Evaluate and fill the columns; if that fails, name the one that fails by itself."""
    frame = _with_spreads(frame, columns)
    try:
        found = frame.with_columns(values).select(column.name for column in columns)
        strange = _not_finite(found, columns)
        # A second step: within one expression, to ask whether a value is finite would compute it twice.
        return found.with_columns(
            column.finished(pl.col(column.name))
            for column in columns
            if column.name in strange or column.fill is not None
        )
    except PolarsError as error:
        for column, value in zip(columns, values, strict=True):
            try:
                frame.select(value)
            except PolarsError as its_own:
                raise FeatureError(
                    f"Feature {column.name!r} ({column.declaration.place}) failed: {its_own}",
                    todo="mend the expression, or declare another dtype",
                ) from its_own
        raise FeatureError(f"Features {[c.name for c in columns]} failed together: {error}") from error


def _not_finite(values: pl.DataFrame, columns: Sequence[FeatureColumn]) -> set[str]:
    """Name the columns that have some value, not null, that is no finite number: they are few."""
    names = [column.name for column in columns if column.dtype.is_float()]
    is_finite = values.select(pl.col(name).is_finite().all() for name in names)
    return {name for name in names if not is_finite[name].item()}


def _with_spreads(frame: pl.DataFrame, columns: Sequence[FeatureColumn]) -> pl.DataFrame:
    bodies = [column.body for column in columns if isinstance(column.body, AggregateBody)]
    asked = spreads(state for body in bodies for state in body.aggregate.states.values())
    return frame.with_columns(spread_columns(frame, asked)) if asked else frame
