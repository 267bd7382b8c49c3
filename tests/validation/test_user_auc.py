"""Per-group and global ROC AUC against a count over all pairs of rows, and against scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from engine import ConfigError, DataError
from validation import roc_auc, user_auc

Row = tuple[int, int, float]


def tables(levels: Sequence[int]) -> st.SearchStrategy[list[Row]]:
    """Rows of (group, relevance, score) with few groups and few scores, so that ties and one-class groups abound."""
    score = st.sampled_from([-math.inf, -1.0, 0.0, 1e-300, 0.5, 0.5000000001, 2.0, math.inf])
    return st.lists(st.tuples(st.integers(-2, 3), st.sampled_from(levels), score), max_size=40)


def columns(rows: Sequence[Row]) -> tuple[list[int], list[int], list[float]]:
    return [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows]


def pairs_in_order(rows: Sequence[Row], left_out: Sequence[float] | None) -> tuple[float, int]:
    """Count the pairs of different relevance one by one: those in the right order, and all of them."""
    in_order, n_pairs = 0.0, 0
    for _, better, high in rows:
        for _, worse, low in rows:
            if better > worse and {better, worse} != set(left_out or ()):
                n_pairs += 1
                in_order += 1.0 if high > low else 0.5 if high == low else 0.0
    return in_order, n_pairs


@settings(max_examples=160, deadline=None)
@given(
    rows=st.one_of(tables([0, 1]), tables([-1, 0, 1]), tables(list(range(-3, 8)))),
    left_out=st.sampled_from([None, (1, -1)]),
)
@example(rows=[], left_out=None)
@example(rows=[(0, 1, 0.5)], left_out=None)
def test_equals_the_count_over_all_pairs(rows: list[Row], left_out: tuple[int, int] | None) -> None:
    found = user_auc(*columns(rows), leave_out_pairs=left_out)
    groups = sorted({r[0] for r in rows})
    counts = [pairs_in_order([r for r in rows if r[0] == g], left_out) for g in groups]
    assert found.group.tolist() == groups
    np.testing.assert_allclose(found.value, [c / n if n else math.nan for c, n in counts], rtol=1e-12)
    assert found.weight.tolist() == [float(n > 0) for _, n in counts]


@settings(max_examples=60, deadline=None)
@given(rows=tables([-1, 0, 1]), shift=st.integers(-(2**40), 2**40), seed=st.integers(0, 9))
def test_neither_row_order_nor_the_names_of_the_groups_matter(rows: list[Row], shift: int, seed: int) -> None:
    group, relevance, score = (np.array(c) for c in columns(rows))
    order = np.random.default_rng(seed).permutation(len(rows))
    expected = user_auc(group, relevance, score)
    found = user_auc(group.astype(np.int64)[order] * 2**20 + shift, relevance[order], score[order])
    np.testing.assert_array_equal(found.value, expected.value)


def test_groups_of_far_apart_codes() -> None:
    group = np.array([-(2**62), 2**62, -(2**62), 2**62])
    found = user_auc(group, [1, 0, 0, 1], [0.9, 0.8, 0.1, 0.2])
    assert (found.group.tolist(), found.value.tolist()) == ([-(2**62), 2**62], [1.0, 0.0])


def test_two_levels_equal_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    group, relevance = rng.integers(0, 30, 900), rng.integers(0, 2, 900)
    score = rng.integers(0, 12, 900) / 7
    found = user_auc(group, relevance, score)
    expected = [roc_auc_score(relevance[group == g], score[group == g]) for g in range(30)]
    np.testing.assert_allclose(found.value, expected, rtol=1e-12)
    whole = roc_auc(np.zeros(900, dtype=np.int64), relevance, score)
    assert whole.mean() == pytest.approx(roc_auc_score(relevance, score), rel=1e-12)
    assert math.isnan(roc_auc([0, 0], [1, 1], [0.1, 0.2]).mean())  # one class only


@pytest.mark.parametrize(
    ("policy", "value", "mean"), [("skip", math.nan, 0.5), ("zero", 0, 0.25), ("half", 0.5, 0.5)]
)
def test_one_class_groups_follow_the_policy(policy: str, value: float, mean: float) -> None:
    found = user_auc([0, 0, 1, 1], [1, 0, 1, 1], [3, 3, 2, 1], one_class=policy)  # type: ignore[arg-type]
    np.testing.assert_equal(found.value, [0.5, value])
    assert found.mean() == mean


def test_weights_of_groups() -> None:
    group, relevance, score = [0, 0, 0, 1, 1, 2, 2], [1, 1, 0, 1, 0, 0, -1], [3, 2, 1, 1, 2, 2, 1]
    assert user_auc(group, relevance, score).mean() == pytest.approx((1 + 0 + 1) / 3)
    positives = user_auc(group, relevance, score, weight="positives")
    assert positives.weight.tolist() == [2, 1, 0]
    assert positives.mean() == pytest.approx((2 * 1 + 1 * 0) / 3)
    assert user_auc(group, relevance, score, weight="rows").mean() == pytest.approx(
        (3 * 1 + 2 * 0 + 2 * 1) / 7
    )
    lower_bar = user_auc(group, relevance, score, weight="positives", min_relevance=0)
    assert lower_bar.weight.tolist() == [3, 2, 1]


def test_bad_arguments() -> None:
    with pytest.raises(DataError, match="shapes"):
        user_auc([0, 0], [1], [0.5, 0.5])
    with pytest.raises(DataError, match="integer codes"):
        user_auc([0.5, 0.5], [1, 0], [0.5, 0.5])
    with pytest.raises(ConfigError, match="two different levels"):
        user_auc([0, 0], [1, 0], [0.5, 0.5], leave_out_pairs=(1, 1))
