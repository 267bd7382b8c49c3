"""Sums that would not be exact are told while binding, by the key that adds up too much; what is left is computed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from competitions import Dataset
from features import (
    Catalogue,
    FeatureError,
    Log,
    Registry,
    aggregate,
    bind_catalogue,
    compute_window,
    decayed,
    horizon,
    last_n,
    mean,
    smoothed,
    std,
    total,
)
from tests.features.planting import computed
from validation import Folds, window_pairs

KEYS = ("item_id", "user_id", ())
MAKES = {
    "average": lambda log: mean(log.value),
    "pulled": lambda log: smoothed(log.value, strength=3),
    "faded": lambda log: decayed(log.value, horizon(1)),
    "spread": lambda log: std(log.value),
    "spread_of_some": lambda log: std(log.value.filter(log.like)),
}


def registry_of(**makes: Any) -> Registry:
    registry = Registry()
    for name, make in makes.items():

        def body(log: Log, make: Any = make) -> object:
            """Planted by a test."""
            return make(log)

        body.__name__ = name
        aggregate(keys=KEYS, lookbacks=[None, horizon(1), last_n(5)], registry=registry)(body)
    return registry


def bound(timed: Dataset, values: pl.Expr) -> Catalogue:
    """Bind all on a log with these values."""
    log = timed.log.collect().with_columns(value=values)
    return bind_catalogue(replace(timed, log=log.lazy(), partitioned=None), registry_of(**MAKES))


@pytest.mark.parametrize("dtype", [pl.Float64, pl.Int64, pl.UInt64, pl.Int128])
@pytest.mark.parametrize("power", [0, 4, 7, 9, 11, 14, 17])
def test_what_is_available_is_computed(
    power: int, dtype: type[pl.DataType], timed: Dataset, folds: Folds
) -> None:
    """Whatever the size of values; one row in fifty is the largest."""
    size = pl.when(pl.col("row") % 50 == 7).then(10**power).otherwise(pl.col("row") % 5)
    catalogue = bound(timed, size.cast(dtype))
    for window in folds.windows:
        assert compute_window(
            catalogue, window, list(catalogue.columns), window_pairs(catalogue.dataset, window)
        ).height
    for reason in catalogue.unavailable.values():
        assert reason.startswith("needs smaller values in 'value': what is added up by ")
    added = timed.log.select((size.cast(pl.Float64)).sum()).collect().item()
    limit = 2**53 / (1 if dtype != pl.Float64 else 2**20)
    fits = {
        f"{name}__{key}" for name in ("average", "pulled") for key in ("item_id", "user_id", "everything")
    }
    if added < limit:
        assert not fits & {*catalogue.unavailable}
    else:
        assert {n for n in fits if n.endswith("everything")} <= {*catalogue.unavailable}


def test_only_the_keys_that_add_up_too_much_are_left_out(timed: Dataset, folds: Folds) -> None:
    """Each item stays below the limit by itself, all rows together do not; what is pulled to all needs these."""
    n = timed.log.select(pl.len()).collect().item()
    catalogue = bound(timed, pl.lit(2.0**33 / n * 1.2))
    assert {"average__everything", "pulled__item_id", "pulled__user_id"} <= {*catalogue.unavailable}
    assert "average__item_id" in catalogue.columns
    assert computed(catalogue, folds).height


def test_infinite_values_of_a_narrow_column_name_the_feature(timed: Dataset, folds: Folds) -> None:
    """They show in the scan only; a sound feature beside it is not blamed for them."""
    features = registry_of(
        beside=lambda log: decayed(pl.lit(1), horizon(1)), odd=lambda log: total(log.stars / (log.stars - 3))
    )
    with pytest.raises(FeatureError, match="'odd__"):
        computed(bind_catalogue(timed, features), folds)
