"""Ranges of columns: declared, or implied by what an aggregate is made of."""

from __future__ import annotations

import numpy as np
import polars as pl

from features._arithmetic import dtype_of
from features._catalogue import WINDOW_COLUMNS, AggregateBody, FeatureColumn
from features._declare import Aggregate, Range

RATE: Range = (0.0, 1.0)
NOT_NEGATIVE: Range = (0.0, None)
ROUNDING = 1e-6  # of a Float32 beside its bound
N_TRIES = 200


def range_of(column: FeatureColumn, schema: pl.Schema) -> Range | None:
    """Return the range that a column declares or that its aggregate implies; None if neither is known.

    Counts and sums of Booleans are not negative. What is in [0, 1] for whatever shares of a Boolean there are, such
    as ``smoothed(log.like, strength=20)``, is a rate. ``schema``: of the history.
    """
    if column.range is not None:
        return column.range
    return _implied(column.body.aggregate, schema) if isinstance(column.body, AggregateBody) else None


def outside(value: pl.Expr, dtype: pl.DataType, span: Range) -> pl.Expr:
    """Hold where a value lies outside of the range, by more than rounding; false for null."""
    low, high = span
    slack = ROUNDING if dtype.is_float() else 0
    is_out = pl.lit(False)
    if low is not None:
        is_out |= value < low - slack * max(1.0, abs(low))
    if high is not None:
        is_out |= value > high + slack * max(1.0, abs(high))
    return is_out.fill_null(False)


def _implied(aggregate: Aggregate, schema: pl.Schema) -> Range | None:
    states = list(aggregate.states.values())
    whole = pl.Schema({**schema, **WINDOW_COLUMNS})
    if not states or any(s.operation not in ("count", "valid", "total") for s in states):
        return None
    if any(s.operation == "total" and dtype_of(s.expression, whole) != pl.Boolean for s in states):
        return None
    if len(states) == 1 and aggregate.finish.meta.eq(pl.col(states[0].name)):
        return NOT_NEGATIVE
    expressions = {s.expression.meta.serialize(format="binary") for s in states if s.operation != "count"}
    return RATE if len(expressions) == 1 and _is_rate(aggregate) else None


def _is_rate(aggregate: Aggregate) -> bool:
    """Try the finish on shares drawn at random: a smoothed rate stays within [0, 1] for all of them."""
    rng = np.random.default_rng(0)
    n, of_all = rng.integers(0, 50, N_TRIES), rng.integers(50, 500, N_TRIES)
    columns = {}
    for name, state in aggregate.states.items():
        rows = of_all if state.everywhere else n
        share = rng.random(N_TRIES)
        columns[name] = rows if state.operation != "total" else np.floor(rows * share).astype(np.int64)
    values = pl.DataFrame(columns).select(aggregate.finish.cast(pl.Float64, strict=False).alias("x"))["x"]
    known = values.drop_nulls().drop_nans()
    return bool(len(known)) and bool(((known >= 0) & (known <= 1)).all())
