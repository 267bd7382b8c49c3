"""Refuse sums that would not be exact: too large for the grid, or wrapped around."""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

from features._column import AggregateBody, FeatureColumn
from features._errors import FeatureError
from features._plan import Pass
from features._spread import EXACT_SQUARES
from features._states import State
from features._steps import EXACT_STEPS, GRID, STEPS

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
