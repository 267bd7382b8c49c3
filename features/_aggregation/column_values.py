"""From states and inputs to a column's values, in its dtype, with its fill; inexact sums are refused."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import polars as pl
from polars.exceptions import PolarsError

from features._aggregation.plan import Pass
from features._arithmetic import EXACT_SQUARES, EXACT_STEPS, GRID, STEPS, State, spread_columns, spreads
from features._catalogue import AggregateBody, FeatureColumn, PairBody
from features._declare import FeatureError


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


SAFE = 2.0**62  # below which a sum of one part cannot have wrapped around
SAFE_PART = 2.0**56  # so that 64 parts cannot either


def check_exact(one: Pass, states: pl.DataFrame) -> None:
    """Refuse finished sums so large that adding on the grid is no longer exact."""
    for state in one.states:
        if state.operation not in ("total", "decayed", "deviation", "squares"):
            continue
        values = states[state.name]
        bound = _bound(state, values.dtype)
        ends = [abs(float(end)) for end in (values.min(), values.max()) if end is not None]  # type: ignore[arg-type]
        if not max(ends, default=0.0) < bound:
            raise too_large([c.name for c in one.columns], max(ends), bound)


def too_large(names: Collection[str], largest: float, bound: float) -> FeatureError:
    """Say that a sum leaves the range in which sums are exact."""
    return FeatureError(
        f"A sum in {', '.join(names)} reaches {largest:.3g}, beyond {bound:.3g}: it would not be exact.",
        expected="finite values and smaller sums",
        todo="divide the column by a constant inside the aggregate (days instead of seconds)",
    )


def names_with(state: State, columns: Collection[FeatureColumn]) -> list[str]:
    """Name the columns that are made of a state, be it by key or over all keys."""
    text = state.expression.meta.serialize(format="binary")

    def reads(column: FeatureColumn) -> bool:
        states = column.body.aggregate.states.values() if isinstance(column.body, AggregateBody) else ()
        return any(
            s.operation == state.operation and s.expression.meta.serialize(format="binary") == text
            for s in states
        )

    return [column.name for column in columns if reads(column)]


def _bound(state: State, dtype: pl.DataType) -> float:
    if state.operation == "deviation":  # it is squared in Int128
        return SAFE
    if state.operation == "squares":
        return EXACT_SQUARES / STEPS**2 if dtype == pl.Int64 else EXACT_SQUARES
    return EXACT_STEPS * GRID if dtype == pl.Float64 else EXACT_STEPS
