"""From states or inputs to the values of columns, in their dtypes, with their fills; inexact sums are refused."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import polars as pl
from polars.exceptions import PolarsError

from features._arithmetic import State, spread_columns, spreads
from features._catalogue import AggregateBody, FeatureColumn, PairBody
from features._declare import FeatureError


def evaluate(frame: pl.DataFrame, columns: Sequence[FeatureColumn]) -> pl.DataFrame:
    """Give columns from their states or inputs, cast and filled; if that fails, name the one that fails by itself."""
    frame, values = _with_spreads(frame, columns), [_value(column) for column in columns]
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
                    f"{column} failed: {its_own}",
                    todo="mend the expression, or declare another dtype",
                ) from its_own
        raise FeatureError(f"Features {[c.name for c in columns]} failed together: {error}") from error


def _value(column: FeatureColumn) -> pl.Expr:
    """Express a column over its states or inputs, in its dtype."""
    match column.body:
        case PairBody() as body:
            value = body.expression
        case AggregateBody() as body:
            value = body.aggregate.finish
        case _:
            value = pl.col(column.name)
    return value.cast(column.dtype).alias(column.name)


def _not_finite(values: pl.DataFrame, columns: Sequence[FeatureColumn]) -> set[str]:
    """Name the columns that have some value, not null, that is no finite number: they are few."""
    names = [column.name for column in columns if column.dtype.is_float()]
    is_finite = values.select(pl.col(name).is_finite().all() for name in names)
    return {name for name in names if not is_finite[name].item()}


def _with_spreads(frame: pl.DataFrame, columns: Sequence[FeatureColumn]) -> pl.DataFrame:
    bodies = [column.body for column in columns if isinstance(column.body, AggregateBody)]
    asked = spreads(state for body in bodies for state in body.aggregate.states.values())
    return frame.with_columns(spread_columns(frame, asked)) if asked else frame


def check_exact(states: Sequence[State], values: pl.DataFrame, columns: Sequence[FeatureColumn]) -> None:
    """Refuse sums so large that adding on the grid is no longer exact."""
    for state in states:
        own = values[state.name]
        bound = state.exact_bound(own.dtype)
        if bound is None:
            continue
        ends = [abs(float(end)) for end in (own.min(), own.max()) if end is not None]  # type: ignore[arg-type]
        if not max(ends, default=0.0) < bound:
            raise too_large([column.name for column in columns], max(ends), bound)


def too_large(names: Collection[str], largest: float, bound: float) -> FeatureError:
    """Say that a sum leaves the range in which sums are exact."""
    return FeatureError(
        f"A sum in {', '.join(names)} reaches {largest:.3g}, beyond {bound:.3g}: it would not be exact.",
        expected="finite values and smaller sums",
        todo="divide the column by a constant inside the aggregate (days instead of seconds), or leave the features "
        "out by features.exclude",
    )
