"""Population stability index and single-feature scores."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from competitions import Metric
from engine import ConfigError, DataError
from validation import psi, single_feature_score

NUMBERS = st.lists(st.one_of(st.none(), st.integers(-3, 3), st.just(float("nan"))), min_size=1, max_size=40)
AUC = Metric("user_auc")


def index(p: dict[object, float], q: dict[object, float]) -> float:
    """Sum the definition over shares per bin, each at least 1e-4."""
    bins = {**p, **q}
    pairs = [(max(p.get(b, 0), 1e-4), max(q.get(b, 0), 1e-4)) for b in bins]
    return sum((y - x) * math.log(y / x) for x, y in pairs)


def shares(values: list[object]) -> dict[object, float]:
    return {v: values.count(v) / len(values) for v in values}


def test_numbers_are_cut_at_the_quantiles_of_train() -> None:
    train = pl.Series(np.arange(100.0))
    test = pl.Series(np.repeat([5.0, 95.0, 1000.0], 10))
    quarters = psi(train, test, n_bins=4)
    assert quarters == pytest.approx(index({0: 0.25, 1: 0.25, 2: 0.25, 3: 0.25}, {0: 1 / 3, 3: 2 / 3}))
    assert psi(train, train) == 0.0
    assert psi(train, pl.Series(np.arange(100.0) + 0.5)) < 0.05


@settings(max_examples=80, deadline=None)
@given(train=NUMBERS, test=NUMBERS)
def test_it_is_no_distance_only_for_equal_shares_and_never_negative(
    train: list[float], test: list[float]
) -> None:
    a, b = (pl.Series(x, dtype=pl.Float64, strict=False) for x in (train, test))
    assert psi(a, a.shuffle(seed=1)) == 0.0
    assert psi(a, b) >= 0
    assert psi(a, b) == pytest.approx(psi(a * 8 + 3, b * 8 + 3))


def test_null_is_a_bin_of_its_own() -> None:
    train, test = pl.Series([1.0, 2.0, 3.0, 4.0]), pl.Series([1.0, 2.0, None, float("nan")])
    assert psi(train, test, n_bins=4) == pytest.approx(
        index(shares([1, 2, 3, 4]), {1: 0.25, 2: 0.25, "null": 0.5})
    )
    only_null = pl.Series([None, None], dtype=pl.Float64)
    assert psi(only_null, only_null) == 0.0
    assert psi(only_null, pl.Series([1.0])) == pytest.approx(index({"null": 1}, {1: 1}))


def test_a_frequent_value_is_a_bin_of_its_own() -> None:
    mostly_zero = pl.Series([0] * 97 + [1, 2, 3])
    assert psi(mostly_zero, pl.Series([-1] * 97 + [1, 2, 3])) > 5
    constant = pl.Series([7, 7, 7])
    for moved in (6, 8):
        assert psi(constant, pl.Series([moved])) == pytest.approx(index({7: 1}, {moved: 1}))


@pytest.mark.parametrize("dtype", [pl.String, pl.Enum(["x", "y", "z"]), pl.Categorical])
def test_categories_are_bins(dtype: pl.DataType) -> None:
    train, test = ["x", "x", "y", None], ["y", "z", "z", "z"]
    found = psi(pl.Series("f", train, dtype=dtype), pl.Series("f", test, dtype=dtype))
    assert found == pytest.approx(index(shares(list(train)), shares(list(test))))


def test_dates_durations_and_unsigned_numbers() -> None:
    days = [datetime(2024, 1, 1) + timedelta(days=d) for d in range(20)]
    later = pl.Series(days) + timedelta(days=30)
    assert psi(pl.Series(days), later) > 5
    assert psi(pl.Series([timedelta(1)]), pl.Series([timedelta(1)])) == 0.0
    assert psi(pl.Series([1, 2], dtype=pl.UInt8), pl.Series([1, 2], dtype=pl.UInt8)) == 0.0


def test_what_cannot_be_compared() -> None:
    assert math.isnan(psi(pl.Series([1]), pl.Series([], dtype=pl.Int64)))
    with pytest.raises(DataError, match="Int64 in train and Float64 in test"):
        psi(pl.Series("f", [1]), pl.Series("f", [1.0]))
    with pytest.raises(DataError, match="no order"):
        psi(pl.Series("f", [[1]]), pl.Series("f", [[1]]))
    with pytest.raises(ConfigError, match="n_bins is 1"):
        psi(pl.Series([1]), pl.Series([1]), n_bins=1)


FRAME = pl.DataFrame(
    {
        "user": [1, 1, 1, 1],
        "relevance": [1, 1, 0, 0],
        "rising": pl.Series([4, 3, 2, 1], dtype=pl.UInt8),
        "falling": [1.0, 2.0, 3.0, 4.0],
        "is_liked": [True, True, False, False],
        "holes": [None, 1.0, 2.0, float("nan")],
        "label": ["a", "b", "c", "d"],
    }
)


@pytest.mark.parametrize(
    ("feature", "value", "direction"),
    [
        ("rising", 1.0, "higher"),
        ("falling", 1.0, "lower"),
        ("is_liked", 1.0, "higher"),
        ("holes", 0.625, "lower"),
    ],
)
def test_the_better_direction(feature: str, value: float, direction: str) -> None:
    found = single_feature_score(AUC, FRAME, feature, ["user"])
    assert (found.value, found.direction) == (value, direction)


def test_a_feature_of_nothing_but_null_says_nothing() -> None:
    frame = FRAME.with_columns(empty=pl.lit(None, dtype=pl.Float32))
    assert single_feature_score(AUC, frame, "empty", ["user"]).value == 0.5
    assert math.isnan(single_feature_score(AUC, frame.clear(), "empty", ["user"]).value)


def test_features_and_metrics_without_an_order() -> None:
    with pytest.raises(DataError, match="'label' is String"):
        single_feature_score(AUC, FRAME, "label", ["user"])
    with pytest.raises(DataError, match="Did you mean 'rising'"):
        single_feature_score(AUC, FRAME, "rsing", ["user"])
    with pytest.raises(ConfigError, match="no meaning for rmse"):
        single_feature_score(Metric("rmse", greater_is_better=False), FRAME, "rising", ["user"])


def test_a_given_direction_is_kept_though_the_other_is_better() -> None:
    found = single_feature_score(AUC, FRAME, "rising", ["user"], direction="lower")
    assert (found.value, found.direction) == (0.0, "lower")
