"""What differs between two runs."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

from competitions import Metric
from submissions import Change, Gate, RunFacts, Runs, SubmissionError, compare_runs
from validation import evaluate

Facts = Callable[..., RunFacts]


def test_difference_is_the_second_minus_the_first(
    runs: Runs, gate: Gate, scores: pl.DataFrame, oof: pl.DataFrame, facts: Facts
) -> None:
    better = oof.with_columns(score=pl.col("relevance") + pl.col("score") / 10).sample(
        fraction=1, shuffle=True, seed=1
    )
    first = runs.publish(gate, scores, oof, facts()).run
    second = runs.publish(
        gate, scores.with_columns(score=-pl.col("score")), better, facts(seeds={"seed": 1})
    ).run
    found = compare_runs(runs, first, second)
    metric = Metric("user_auc", {"one_class": "skip"})
    cv = [evaluate(metric, table, group=["window", "user_id"]) for table in (oof, better)]
    assert found.difference is not None
    assert found.difference.mean == pytest.approx(cv[1] - cv[0])
    assert found.difference.low <= found.difference.mean <= found.difference.high
    assert found.agreement.mean == pytest.approx(-1.0)
    assert found.agreement.n_groups == 6
    back = compare_runs(runs, second, first)
    assert back.difference is not None
    assert back.difference.mean == pytest.approx(-found.difference.mean)


def test_other_rows_are_not_tested(
    runs: Runs, gate: Gate, scores: pl.DataFrame, oof: pl.DataFrame, facts: Facts
) -> None:
    first = runs.publish(gate, scores, oof, facts()).run
    second = runs.publish(gate, scores, oof.tail(50), facts()).run
    third = runs.publish(gate, scores, None, facts()).run
    found = compare_runs(runs, first, second)
    assert found.difference is None
    assert "different rows" in found.why_not
    assert found.agreement.mean == pytest.approx(1.0)
    assert f"run {third} has no out-of-fold scores" in compare_runs(runs, first, third).why_not


def test_changed_settings_features_and_facts(
    runs: Runs, gate: Gate, scores: pl.DataFrame, facts: Facts
) -> None:
    first = runs.publish(gate, scores, None, facts()).run
    changed = facts(
        config={"seed": 2, "folds": {"n_folds": 2}, "models": {"als": {"factors": 8}}},
        features={"age": "a1", "mine": "m0"},
        data_fingerprint="d1",
    )
    found = compare_runs(runs, first, runs.publish(gate, scores, None, changed).run)
    assert found.config == (Change("seed", "1", "2"), Change("models.als.factors", None, "8"))
    assert found.features == (Change("age", "a0", "a1"), Change("mine", None, "m0"))
    assert found.facts == (Change("data", "d0", "d1"),)


def test_two_competitions(runs: Runs, gate: Gate, scores: pl.DataFrame, facts: Facts) -> None:
    first = runs.publish(gate, scores, None, facts()).run
    second = runs.publish(gate, scores, None, facts(competition="other")).run
    with pytest.raises(SubmissionError, match="of 'other'"):
        compare_runs(runs, first, second)
