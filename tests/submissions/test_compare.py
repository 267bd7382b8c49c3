"""What differs between two runs, and rank correlation within groups, against scipy."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from competitions import Metric, SubmissionFormat
from submissions import (
    Change,
    CvBasis,
    Runs,
    SubmissionError,
    check_against_runs,
    compare_runs,
    rank_agreement,
)
from submissions._gate import Gate, Verdict
from tests.submissions.conftest import Publish
from validation import evaluate


def test_difference_is_the_second_minus_the_first(
    runs: Runs, scores: pl.DataFrame, oof: pl.DataFrame, publish: Publish
) -> None:
    better = oof.with_columns(score=pl.col("relevance") + pl.col("score") / 10)
    better = better.sample(fraction=1, shuffle=True, seed=1)
    first = publish(oof=oof).run
    second = publish(scores.with_columns(score=-pl.col("score")), better).run
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


def test_other_rows_are_not_tested(runs: Runs, oof: pl.DataFrame, publish: Publish) -> None:
    first = publish(oof=oof).run
    second = publish(oof=oof.tail(50)).run
    third = publish().run
    found = compare_runs(runs, first, second)
    assert found.difference is None
    assert "different rows" in found.why_not
    assert found.agreement.mean == pytest.approx(1.0)
    assert f"run {third} has no out-of-fold scores" in compare_runs(runs, first, third).why_not


def test_changed_settings_features_and_facts(runs: Runs, publish: Publish) -> None:
    first = publish().run
    changed = publish(
        config={"seed": 2, "folds": {"n_folds": 2}, "models": {"als": {"factors": 8}}},
        features={"age": "a1", "mine": "m0"},
        data_fingerprint="d1",
    )
    found = compare_runs(runs, first, changed.run)
    assert found.config == (Change("seed", "1", "2"), Change("models.als.factors", None, "8"))
    assert found.features == (Change("age", "a0", "a1"), Change("mine", None, "m0"))
    assert found.facts == (Change("data", "d0", "d1"),)


def test_two_competitions(runs: Runs, publish: Publish) -> None:
    first = publish().run
    second = publish(competition="other").run
    with pytest.raises(SubmissionError, match="of 'other'"):
        compare_runs(runs, first, second)


@pytest.mark.parametrize("ordered", [False, True])
def test_a_file_is_compared_with_the_best_run_by_its_keys_of_any_type(
    runs: Runs, publish: Publish, tmp_path: Path, ordered: bool
) -> None:
    times = pl.datetime_range(datetime(2024, 1, 1), datetime(2024, 1, 2), "12h", eager=True)
    pairs = pl.DataFrame({"pair_id": range(3), "when": times, "user": [1, 1, 1]})
    gate = Gate(pairs, SubmissionFormat({"when": "when", "p": "score"}, ordered=ordered), group=("user",))
    scored = pairs.with_columns(score=pl.Series([0.5, 0.25, 0.75]))
    run = publish(scored, through=gate, pair_keys=gate.pair_keys, group=gate.group)
    basis, good = CvBasis.of_run(run), runs.out / run.file.name
    (fact,) = check_against_runs(runs, gate, basis, good).facts
    assert fact.startswith(f"rank correlation 1.000 with the best run so far, {run.run}")
    other = tmp_path / "other.csv"
    turned = good.read_text().replace(",0.5", ",-0.5").replace(",0.75", ",-0.75")
    header, *rows = turned.splitlines(keepends=True)
    other.write_text("".join([header, *(rows if ordered else rows[::-1])]))
    (warning,) = check_against_runs(runs, gate, basis, other).warnings
    assert warning.rule == "low agreement"
    assert "rank correlation -1.000" in str(warning)
    assert "check the sign" in str(warning)


def test_a_file_whose_keys_repeat_is_checked_but_not_compared(
    runs: Runs, gate: Gate, scores: pl.DataFrame, publish: Publish, tmp_path: Path
) -> None:
    twice = replace(gate, pairs=gate.pairs.with_columns(user_id=1, item_id=pl.col("item_id") // 2))
    file = tmp_path / "mine.csv"
    twice.pairs.select("user_id", "item_id", predict=pl.int_range(30) / 7).write_csv(file)
    assert check_against_runs(runs, twice, CvBasis.of_run(publish()), file) == Verdict()


RANKED = st.lists(st.integers(0, 4), min_size=8, max_size=8)


@given(RANKED, RANKED, st.sampled_from([["user"], []]))
def test_rank_correlation_against_scipy_with_ties(a: list[int], b: list[int], group: list[str]) -> None:
    left = pl.DataFrame({"user": [1] * 4 + [2] * 4, "item": range(8), "score": [float(v) for v in a]})
    right = left.with_columns(score=pl.Series([float(v) for v in b])).sample(fraction=1, shuffle=True, seed=0)
    found = rank_agreement(left, right, on=["user", "item"], group=group)
    parts = [(a[:4], b[:4]), (a[4:], b[4:])] if group else [(a, b)]  # without groups all rows are one
    expected = [spearmanr(x, y).statistic for x, y in parts if len(set(x)) > 1 and len(set(y)) > 1]
    assert found.n_groups == len(expected)
    assert found.mean == (pytest.approx(np.mean(expected), abs=1e-12) if expected else None)
