from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from competitions import Metric
from engine import ConfigError
from stacking import Choice, choose_blend

AUC = Metric("user_auc")


def oof(n_users: int = 60, n_folds: int = 3, **noise: float) -> pl.DataFrame:
    """Score columns that see the labels through noise of a given size."""
    rng = np.random.default_rng(0)
    n = n_users * n_folds * 6
    label = rng.integers(0, 2, n)
    window = np.repeat(np.arange(n_folds), n_users * 6)
    return pl.DataFrame(
        {
            "fold": [f"fold{w + 1}" for w in window],
            "window": window,
            "user_id": np.tile(np.repeat(np.arange(n_users), 6), n_folds),
            "relevance": label.astype(np.int8),
            **{
                name: 0.5 + np.tanh(label - 0.5 + rng.normal(size=n) * size) / 4
                for name, size in noise.items()
            },
        }
    )


def choice_among(frame: pl.DataFrame, metric: Metric = AUC, *, forced: str = "auto") -> Choice:
    return choose_blend(frame, metric, user="user_id", blends=frame.columns[4:], seed=1, forced=forced)


def test_a_surely_better_blend_replaces_the_baseline() -> None:
    choice = choice_among(oof(mean_rank=2.0, weights=0.3))
    assert choice.chosen == "weights"
    assert choice.differences["weights"].low > 0
    assert "surely for the better" in choice.reason


@pytest.mark.parametrize("size", [2.0, 9.0])
def test_a_blend_as_good_or_worse_does_not(size: float) -> None:
    choice = choice_among(oof(mean_rank=2.0, weights=size))
    assert choice.chosen == "mean_rank"
    assert choice.differences["weights"].low < 0


def test_of_two_better_ones_the_best_is_taken() -> None:
    choice = choice_among(oof(mean_rank=3.0, a=0.8, b=0.1))
    assert choice.differences["a"].low > 0
    assert choice.chosen == "b"


def test_of_a_loss_less_is_better() -> None:
    loss = Metric("rmse", greater_is_better=False)
    assert choice_among(oof(mean_rank=1.0, good=0.05, bad=9.0), loss).chosen == "good"


def test_a_metric_that_is_no_mean_over_users_keeps_the_baseline() -> None:
    choice = choice_among(oof(mean_rank=2.0, weights=0.3), Metric("roc_auc"))
    assert choice.chosen == "mean_rank"
    assert "no mean over users" in choice.reason


def test_a_forced_choice_is_taken_whatever_the_scores_are() -> None:
    choice = choice_among(oof(mean_rank=0.3, weights=9.0), forced="weights")
    assert choice.chosen == "weights"
    assert choice.differences["weights"].high < 0


def test_an_unknown_metric_is_named_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'user_auc'"):
        choice_among(oof(mean_rank=2.0), Metric("user_acu"))


@pytest.mark.parametrize(("n_users", "words"), [(1, "only 1 user counts"), (19, "only 19 users count")])
def test_too_few_users_decide_nothing(n_users: int, words: str) -> None:
    """One user's interval is a point, which always lies on one side of zero."""
    choice = choice_among(oof(n_users, mean_rank=9.0, weights=0.01))
    assert choice.differences["weights"].low > 0
    assert choice.chosen == "mean_rank"
    assert words in choice.reason
    assert "20 are needed" in choice.reason


def test_twenty_users_are_enough() -> None:
    assert choice_among(oof(20, n_folds=6, mean_rank=9.0, weights=0.01)).chosen == "weights"
