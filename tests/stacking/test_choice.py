from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from competitions import Metric
from stacking import Choice, choose_blend
from tests.stacking.small_stack import METRIC, planted

ROC_AUC, RMSE = Metric("roc_auc"), Metric("rmse", greater_is_better=False)


def choice_among(metric: Metric = METRIC, *, n_users: int = 60, forced: str = "auto", **noise: Any) -> Choice:
    """Choice among blends that see the truth through noise of a given size."""
    oof = planted(n_users, **noise)
    rows = oof.table.with_columns(fold=pl.format("fold{}", "window"))
    return choose_blend(rows, metric, user=oof.user, blends=oof.models, seed=1, forced=forced)


@pytest.mark.parametrize(
    ("noise", "chosen", "why"),
    [
        ({"mean_rank": 2.0, "weights": 0.3}, "weights", "surely for the better"),
        ({"mean_rank": 3.0, "a": 0.8, "b": 0.1}, "b", "surely for the better"),
        ({"mean_rank": 2.0, "weights": 2.0}, "mean_rank", "no learned blend is surely better"),
        ({"mean_rank": 2.0, "weights": 9.0}, "mean_rank", "no learned blend is surely better"),
    ],
)
def test_the_best_blend_that_is_surely_better_replaces_the_baseline(
    noise: Any, chosen: str, why: str
) -> None:
    choice = choice_among(**noise)
    assert choice.chosen == chosen
    assert why in choice.reason
    assert [d.low > 0 for d in choice.differences.values()] == [chosen != "mean_rank"] * (len(noise) - 1)


def test_of_a_loss_less_is_better() -> None:
    assert choice_among(RMSE, mean_rank=1.0, good=0.05, bad=9.0).chosen == "good"


def test_a_metric_that_is_no_mean_over_users_keeps_the_baseline() -> None:
    choice = choice_among(ROC_AUC, mean_rank=2.0, weights=0.3)
    assert choice.chosen == "mean_rank"
    assert "no mean over users" in choice.reason


def test_a_forced_choice_is_taken_whatever_the_scores_are() -> None:
    choice = choice_among(forced="weights", mean_rank=0.3, weights=9.0)
    assert choice.chosen == "weights"
    assert choice.differences["weights"].high < 0


@pytest.mark.parametrize(("n_users", "words"), [(1, "only 1 user counts"), (19, "only 19 users count")])
def test_too_few_users_decide_nothing(n_users: int, words: str) -> None:
    """One user's interval is a point, which always lies on one side of zero."""
    choice = choice_among(n_users=n_users, mean_rank=9.0, weights=0.01)
    assert choice.differences["weights"].low > 0
    assert choice.chosen == "mean_rank"
    assert f"{words}, and 20 are needed" in choice.reason


def test_twenty_users_are_enough() -> None:
    assert choice_among(n_users=20, mean_rank=9.0, weights=0.01).chosen == "weights"
