"""Rank correlation within groups, against scipy."""

from __future__ import annotations

import doctest
import importlib

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from submissions import rank_agreement

scores = st.lists(st.integers(0, 4), min_size=8, max_size=8)


@given(scores, scores)
def test_against_scipy_with_ties(a: list[int], b: list[int]) -> None:
    left = pl.DataFrame({"user": [1] * 4 + [2] * 4, "item": range(8), "score": [float(v) for v in a]})
    right = left.with_columns(score=pl.Series([float(v) for v in b])).sample(fraction=1, shuffle=True, seed=0)
    found = rank_agreement(left, right, on=["user", "item"], group=["user"])
    halves = [(a[:4], b[:4]), (a[4:], b[4:])]
    expected = [spearmanr(x, y).statistic for x, y in halves if len(set(x)) > 1 and len(set(y)) > 1]
    assert found.n_groups == len(expected)
    if expected:
        assert found.mean == pytest.approx(np.mean(expected), abs=1e-12)
    else:
        assert found.mean is None


def test_without_groups_all_rows_are_one() -> None:
    left = pl.DataFrame({"user": [1, 2, 3], "score": [1.0, 2.0, 3.0]})
    found = rank_agreement(left, left, on=["user"], group=[])
    assert (found.mean, found.n_groups) == (1.0, 1)


@pytest.mark.parametrize("name", ["_compare", "_make", "_show_run"])
def test_examples_in_docstrings(name: str) -> None:
    failed, n_examples = doctest.testmod(importlib.import_module(f"submissions.{name}"))
    assert n_examples > 0
    assert failed == 0
