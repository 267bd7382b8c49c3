"""The paired bootstrap against a loop that redraws rows, and what its interval must do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from competitions import Metric
from engine import ConfigError, DataError
from validation import Difference, evaluate, paired_bootstrap

GROUP = ["window", "user"]
AUC = Metric("user_auc")


def scored(seed: int, n_users: int = 40, better: float = 0.0, n_rows: int = 900) -> pl.DataFrame:
    """Pairs of several windows whose column ``b`` knows more of the relevance than ``a`` by ``better``."""
    rng = np.random.default_rng(seed)
    relevance = rng.integers(0, 2, n_rows)
    noise = rng.normal(size=(3, n_rows))
    return pl.DataFrame(
        {
            "window": rng.integers(7, 10, n_rows),
            "user": rng.integers(0, n_users, n_rows).astype(np.uint32) * 1000,
            "relevance": relevance,
            "a": 1 / (1 + np.exp(-(0.3 * relevance + noise[0] + noise[1]))),
            "b": 1 / (1 + np.exp(-((0.3 + better) * relevance + noise[0] + noise[2]))),
        }
    )


def compare(frame: pl.DataFrame, metric: Metric = AUC, **known: Any) -> Difference:
    default = {"group": GROUP, "score_a": "a", "score_b": "b", "n_resamples": 300, "seed": 0}
    return paired_bootstrap(frame, metric, user="user", **{**default, **known})


def resample_rows(frame: pl.DataFrame, metric: Metric, n_resamples: int, seed: int) -> list[float]:
    """Draw users, copy all rows of each under a new name, and evaluate both columns from scratch."""
    rng = np.random.default_rng(seed)
    parts = frame.sort("user").partition_by("user", maintain_order=True)
    differences = []
    for _ in range(n_resamples):
        drawn = rng.integers(0, len(parts), len(parts), dtype=np.int32)
        rows = pl.concat([parts[u].with_columns(user=pl.lit(i)) for i, u in enumerate(drawn)])
        a, b = (evaluate(metric, rows, group=GROUP, score=s) for s in ("a", "b"))
        differences.append(b - a)
    return differences


METRICS = [
    AUC,
    Metric("user_auc", {"weight": "positives", "one_class": "half"}),
    Metric("ndcg_at_k", {"k": 3}),
    Metric("roc_auc"),
    Metric("log_loss", greater_is_better=False),
    Metric("rmse", greater_is_better=False),
]


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
def test_equals_a_loop_that_redraws_the_rows_of_users(metric: Metric) -> None:
    frame = scored(1, n_users=12, better=0.8, n_rows=240)
    assert frame["user"].n_unique() == 12
    found = compare(frame, metric, n_resamples=40, seed=5)
    drawn = resample_rows(frame, metric, 40, seed=5)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=1e-12)
    a, b = (evaluate(metric, frame, group=GROUP, score=s) for s in ("a", "b"))
    assert found.mean == pytest.approx(b - a)
    assert found.n_users == 12


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
def test_equal_scores_differ_by_exactly_nothing(metric: Metric) -> None:
    frame = scored(2).with_columns(same=pl.col("a"))
    assert compare(frame, metric, score_b="same", n_resamples=50) == Difference(0.0, 0.0, 0.0, 40, 0.0)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99), turn=st.integers(0, 9))
def test_neither_row_order_nor_the_order_of_the_calls_matters(seed: int, turn: int) -> None:
    frame = scored(seed, n_rows=200)
    expected = compare(frame, n_resamples=20, seed=7)
    found = compare(frame.sample(fraction=1, shuffle=True, seed=turn), n_resamples=20, seed=7)
    assert (found.low, found.mean, found.high) == pytest.approx((expected.low, expected.mean, expected.high))
    assert compare(frame, n_resamples=20, seed=7) == expected
    assert compare(frame, n_resamples=20, seed=8) != expected


@pytest.mark.parametrize(("n_users", "is_enough"), [(1, False), (19, False), (20, True)])
def test_an_interval_of_few_users_excludes_nothing(n_users: int, is_enough: bool) -> None:
    assert Difference(0.0161, 0.0161, 0.0161, n_users).excludes_zero is is_enough
    assert Difference(-0.2, -0.3, -0.1, n_users).excludes_zero is is_enough
    assert not Difference(0.1, -0.1, 0.3, n_users).excludes_zero


def test_the_interval_covers_no_difference_about_as_often_as_it_says() -> None:
    outside = sum(compare(scored(seed, n_rows=400), n_resamples=200).excludes_zero for seed in range(200))
    # 5 % of 200 are 10; the percentile interval is a little short. Binomial(200, 0.08) exceeds 30 once in 10,000.
    assert 1 <= outside <= 30


def test_users_without_a_value_are_not_resampled() -> None:
    frame = pl.DataFrame(
        {
            "window": 7,
            "user": [1, 1, 2, 2, 3],
            "relevance": [1, 0, 1, 1, 0],
            "a": [1.0, 2, 1, 2, 1],
            "b": [2.0, 1, 1, 2, 1],
        }
    )
    assert compare(frame) == Difference(1.0, 1.0, 1.0, 1, 0.0)
    nothing = compare(frame.filter(pl.col("user") > 1))
    assert math.isnan(nothing.mean)
    assert (nothing.n_users, nothing.excludes_zero) == (0, False)
    assert compare(frame.clear()).n_users == 0


def test_groups_that_do_not_name_the_user() -> None:
    frame = scored(8).with_columns(session=pl.struct("window", "user").rank("dense"))
    found, expected = compare(frame, group=["session"], n_resamples=50), compare(frame, n_resamples=50)
    assert (found.mean, found.low, found.high) == pytest.approx((expected.mean, expected.low, expected.high))
    with pytest.raises(DataError, match="several values of 'user'"):
        compare(frame, group=["window"])


def test_resamples_without_a_value_are_left_out() -> None:
    frame = pl.DataFrame({"window": 7, "user": [1, 2], "relevance": [1, 0], "a": [0.1, 0.2], "b": [0.4, 0.3]})
    assert compare(frame, Metric("roc_auc")) == Difference(1.0, 1.0, 1.0, 2, 0.0)
    nothing = compare(frame.head(1), Metric("roc_auc"))
    assert (math.isnan(nothing.low), nothing.n_users) == (True, 1)


def test_bad_arguments() -> None:
    frame = scored(9, n_rows=50)
    with pytest.raises(ConfigError, match="n_resamples is 0"):
        compare(frame, n_resamples=0)
    with pytest.raises(DataError, match="no column 'c'"):
        compare(frame, score_b="c")
    with pytest.raises(DataError, match="1 of 50 rows have no score"):
        compare(frame.with_columns(b=pl.when(pl.int_range(pl.len()) > 0).then("b")))


def test_a_side_of_several_columns_has_the_mean_of_their_values() -> None:
    frame = scored(5).with_columns(c=pl.col("b").sin())
    a, b, c = (evaluate(AUC, frame, group=GROUP, score=s) for s in ("a", "b", "c"))
    assert compare(frame, score_b=["b", "c"], n_resamples=50).mean == pytest.approx((b + c) / 2 - a)
    assert compare(frame, score_a=["a"], score_b=["b", "b"], n_resamples=50) == compare(frame, n_resamples=50)
