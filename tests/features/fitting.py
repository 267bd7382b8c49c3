"""Fit the class behind a feature by hand, and read what it gives as the framework does."""

from __future__ import annotations

from typing import Any

import polars as pl
import polars.selectors as cs
from threadpoolctl import threadpool_limits

from features import Window


def fitted_on(model: Any, log: pl.DataFrame, window: Window) -> Any:
    """Give the model, fitted on a log in one thread."""
    with threadpool_limits(1):
        model.fit(log.lazy(), window)
    return model


def values_of(model: Any, pairs: pl.DataFrame) -> pl.DataFrame:
    """Give ``pair_id`` and what the model says of the pairs: floats as Float32, NaN as null."""
    values = model.transform(pairs)
    frame = values if isinstance(values, pl.DataFrame) else pl.DataFrame(dict(values))
    return frame.select(pairs["pair_id"], cs.float().cast(pl.Float32).fill_nan(None), ~cs.float())


def with_values(model: Any, pairs: pl.DataFrame) -> pl.DataFrame:
    """Give the pairs with what the model says of them."""
    return pairs.join(values_of(model, pairs), on="pair_id", validate="1:1")


def assert_alone_as_in_bulk(model: Any, pairs: pl.DataFrame, step: int) -> None:
    """Every ``step``-th pair alone gives the bits that it gives among all."""
    values = values_of(model, pairs)
    for at in range(0, pairs.height, step):
        assert values_of(model, pairs[at : at + 1]).equals(values[at : at + 1])
