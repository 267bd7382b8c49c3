"""Log loss and RMSE over all rows, against scikit-learn and against their own parts."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from competitions import Metric
from engine import DataError
from validation import evaluate, log_loss, metrics, rmse

ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 1), st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0])),
    min_size=1,
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS)
def test_equal_scikit_learn(rows: list[tuple[int, int, float]]) -> None:
    frame = pl.DataFrame(rows, schema=["user", "relevance", "score"], orient="row")
    relevance, score = frame["relevance"].to_numpy(), frame["score"].to_numpy()
    loss = evaluate(Metric("log_loss"), frame, group=["user"])
    assert loss == pytest.approx(sklearn.metrics.log_loss(relevance, score, labels=[0, 1]), rel=1e-9)
    root = evaluate(Metric("rmse"), frame, group=["user"])
    assert root == pytest.approx(sklearn.metrics.root_mean_squared_error(relevance, score), rel=1e-12)


@pytest.mark.parametrize("name", ["log_loss", "rmse"])
@settings(max_examples=40, deadline=None)
@given(rows=ROWS)
def test_the_whole_is_the_mean_of_the_parts(name: str, rows: list[tuple[int, int, float]]) -> None:
    group, relevance, score = (list(c) for c in zip(*rows, strict=True))
    function = metrics()[name]
    parts = function.compute(group, relevance, score)
    whole = function.compute([0] * len(rows), relevance, score)
    assert parts.mean(function.power) == pytest.approx(whole.mean(function.power), rel=1e-9)


def test_the_bar_of_relevance() -> None:
    assert log_loss([0, 0], [2, 1], [0.5, 0.5], min_relevance=2).mean() == pytest.approx(math.log(2))
    assert log_loss([0], [1], [0.25]).mean() == pytest.approx(math.log(4))
    assert log_loss([0], [1], [0.25], min_relevance=2).mean() == pytest.approx(-math.log(0.75))


def test_scores_that_are_no_predictions() -> None:
    with pytest.raises(DataError, match="1 of 2 scores lie outside 0 to 1"):
        log_loss([0, 0], [1, 0], [0.5, 1.5])
    with pytest.raises(DataError, match="infinite"):
        rmse([0, 0], [1, 0], [0.5, np.inf])
