from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import pytest

from competitions import Metric
from models import model_kinds, with_parameters
from stacking import Choice, blenders, choose, first_within, precedence_of
from tests.stacking.small_stack import METRIC, planted
from validation import Difference

ROC_AUC, RMSE = Metric("roc_auc"), Metric("rmse", greater_is_better=False)
PRECEDENCE = {"weights": 0, "mean_rank": 1, "column": 2, "trees": 3, "net": 3, "level_two": 4}


def choice_among(metric: Metric = METRIC, *, n_users: int = 60, forced: str = "auto", **noise: Any) -> Choice:
    """Choice among candidates that see the truth through noise of a given size."""
    oof = planted(n_users, **noise)
    rows = oof.table.with_columns(fold=pl.format("fold{}", "window"))
    candidates = {name: PRECEDENCE[name] for name in noise}
    return choose(rows, metric, user=oof.user, candidates=candidates, seed=1, forced=forced)


def behind(**of: tuple[float, float]) -> Mapping[str, Difference]:
    """Differences to the best and their standard errors, from the best on."""
    return {name: Difference(mean, 0.0, 0.0, 500, error) for name, (mean, error) in of.items()}


@pytest.mark.parametrize(
    ("best", "differences", "chosen"),
    [
        ("level_two", behind(weights=(-0.001, 0.002)), "weights"),
        ("level_two", behind(weights=(-0.003, 0.002)), "level_two"),
        ("level_two", behind(weights=(-0.001, 0.001)), "weights"),
        (
            "level_two",
            behind(weights=(0.001, 0.0001)),
            "weights",
        ),  # ahead over all users, behind over the folds
        ("level_two", behind(weights=(0.0, 0.0)), "weights"),
        ("level_two", behind(weights=(-0.001, 0.002), trees=(-0.001, 0.002), column=(-0.1, 0.01)), "weights"),
        ("level_two", behind(net=(-0.001, 0.002), trees=(-0.0015, 0.002)), "net"),
        ("trees", behind(net=(-0.001, 0.002), weights=(-0.001, 0.002)), "weights"),
        ("trees", behind(net=(-0.001, 0.002), level_two=(-0.001, 0.002)), "trees"),
        ("trees", behind(mean_rank=(-0.001, 0.002), column=(-0.001, 0.002)), "mean_rank"),
        ("net", behind(column=(-0.001, 0.002), weights=(-0.003, 0.002)), "column"),
        ("mean_rank", {}, "mean_rank"),
        ("level_two", behind(weights=(-0.001, float("nan"))), "level_two"),
    ],
)
def test_of_those_within_one_standard_error_the_lowest_precedence_is_taken(
    best: str, differences: Mapping[str, Difference], chosen: str
) -> None:
    assert first_within(1.0, best, differences, PRECEDENCE) == chosen


def test_without_errors_the_best_is_taken_and_of_a_loss_less_is_better() -> None:
    differences = behind(weights=(-0.001, 0.002))
    assert first_within(0.0, "trees", differences, PRECEDENCE) == "trees"
    assert first_within(0.1, "trees", differences, PRECEDENCE, is_loss=True) == "weights"
    assert first_within(0.1, "trees", behind(weights=(0.1, 0.2)), PRECEDENCE, is_loss=True) == "trees"


@pytest.mark.parametrize(
    ("noise", "chosen", "why"),
    [
        (
            {"trees": 2.0, "mean_rank": 2.0, "weights": 0.3},
            "weights",
            "nothing goes before it",
        ),
        (
            {"trees": 0.3, "mean_rank": 2.0, "weights": 0.9},
            "trees",
            "nothing that goes before it is within one",
        ),
        ({"column": 9.0, "trees": 0.3, "level_two": 0.9}, "trees", "within one standard error of it"),
        ({"trees": 1.0}, "trees", "the only candidate"),
    ],
)
def test_models_and_blends_compete(noise: Any, chosen: str, why: str) -> None:
    choice = choice_among(**noise)
    assert choice.chosen == chosen
    assert why in choice.reason
    assert set(choice.differences) == set(noise) - {choice.best}
    assert all(d.mean < 0 and d.error > 0 for d in choice.differences.values())


def test_equal_scores_go_to_the_lower_precedence() -> None:
    """Of columns that are the same the difference is zero, and so is its error."""
    oof = planted(trees=0.5)
    rows = oof.table.with_columns(fold=pl.format("fold{}", "window"), weights=oof.table["trees"])
    found = choose(rows, METRIC, user=oof.user, candidates={"weights": 0, "trees": 3}, seed=1)
    assert (found.chosen, found.differences["trees"].error) == ("weights", 0.0)


def test_the_reason_of_another_than_the_best_names_the_best_and_how_far_it_is() -> None:
    oof = planted(level_two=0.5)
    worse = oof.table["level_two"] + np.random.default_rng(5).normal(size=oof.table.height) * 0.1
    rows = oof.table.with_columns(fold=pl.format("fold{}", "window"), trees=worse)
    found = choose(rows, METRIC, user=oof.user, candidates={"trees": 3, "level_two": 4}, seed=1)
    assert (found.chosen, found.best) == ("trees", "level_two")
    assert "within one standard error of level_two" in found.reason
    assert f"± {found.differences['trees'].error:.4f}" in found.reason


def test_one_fold_is_enough() -> None:
    oof = planted(n_windows=1, trees=0.3, mean_rank=2.0)
    rows = oof.table.with_columns(fold=pl.lit("fold1"))
    assert (
        choose(rows, METRIC, user=oof.user, candidates={"trees": 3, "mean_rank": 1}, seed=1).chosen == "trees"
    )


def test_the_same_seed_gives_the_same_choice() -> None:
    noise: Any = {"trees": 1.0, "net": 1.01, "mean_rank": 1.02, "weights": 0.99}
    assert choice_among(**noise) == choice_among(**noise)


def test_of_a_loss_less_is_better() -> None:
    assert choice_among(RMSE, mean_rank=1.0, weights=0.05, level_two=9.0).chosen == "weights"


def test_a_metric_that_is_no_mean_over_users_decides_as_well() -> None:
    assert choice_among(ROC_AUC, mean_rank=2.0, weights=0.3).chosen == "weights"


def test_a_forced_choice_is_taken_whatever_the_scores_are() -> None:
    choice = choice_among(forced="weights", mean_rank=0.3, weights=9.0)
    assert (choice.chosen, choice.best) == ("weights", "mean_rank")
    assert choice.differences["weights"].high < 0


@pytest.mark.parametrize(("n_users", "words"), [(1, "only 1 user counts"), (19, "only 19 users count")])
def test_too_few_users_decide_nothing(n_users: int, words: str) -> None:
    """One user's interval is a point, which always lies on one side of zero."""
    choice = choice_among(n_users=n_users, mean_rank=9.0, weights=0.01)
    assert choice.chosen == "mean_rank"
    assert f"{words}, and 20 are needed" in choice.reason


def test_twenty_users_are_enough() -> None:
    assert choice_among(n_users=20, mean_rank=9.0, weights=0.01).chosen == "weights"


def test_precedence_of_each_kind() -> None:
    found = {name: precedence_of(b) for name, b in blenders().items()}
    assert found == {"mean_rank": 1, "catboost_oof": 4, "level_two": 4, "weights": 0}
    of_models = {n: model_kinds()[n] for n in ("column", "catboost")}
    assert precedence_of(with_parameters(of_models["column"], {"column": "a"}, "x")) == 2
    assert precedence_of(with_parameters(of_models["catboost"], {}, "x")) == 3
