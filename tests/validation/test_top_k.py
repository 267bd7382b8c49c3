"""Metrics of the first k rows against plain loops over ranked lists, and NDCG against scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from engine import ConfigError
from validation import (
    GroupValues,
    hit_rate_at_k,
    map_at_k,
    mrr_at_k,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
)

Row = tuple[int, int, float]
Listed = Callable[
    [list[int], int], float
]  # of a group: relevance above the bar from the first rank down, and k

TABLES = st.lists(
    st.tuples(st.integers(0, 4), st.integers(-1, 3), st.sampled_from([-1.0, 0.0, 0.5, 2.0])), max_size=30
)


def dcg(gains: list[float], k: int) -> float:
    return sum(g / math.log2(r + 2) for r, g in enumerate(gains[:k]))


def ndcg(gain: Callable[[int], float]) -> Listed:
    def value(listed: list[int], k: int) -> float:
        gains = [gain(r) for r in listed]
        best = dcg(sorted(gains, reverse=True), k)
        return dcg(gains, k) / best if best else math.nan

    return value


def average_precision(flags: list[bool]) -> float:
    return sum(sum(flags[:rank]) / rank for rank, hit in enumerate(flags, start=1) if hit)


def if_any(value: Callable[[list[bool], int, int], float]) -> Listed:
    """Lift a function of the relevant flags of the first k rows, of their number in the group, and of k."""

    def lifted(listed: list[int], k: int) -> float:
        flags = [r >= 0 for r in listed]
        return value(flags[:k], sum(flags), k) if any(flags) else math.nan

    return lifted


CASES: dict[str, tuple[Callable[..., GroupValues], dict[str, object], Listed]] = {
    "ndcg linear": (ndcg_at_k, {}, ndcg(lambda r: max(r, 0))),
    "ndcg exponential": (ndcg_at_k, {"gain": "exponential"}, ndcg(lambda r: 2 ** max(r, 0) - 1)),
    "map": (map_at_k, {}, if_any(lambda flags, n, k: average_precision(flags) / min(n, k))),
    "map relevant": (
        map_at_k,
        {"divide_by": "relevant"},
        if_any(lambda flags, n, k: average_precision(flags) / n),
    ),
    "mrr": (mrr_at_k, {}, if_any(lambda flags, n, k: 1 / (flags.index(True) + 1) if any(flags) else 0.0)),
    "recall": (recall_at_k, {}, if_any(lambda flags, n, k: sum(flags) / n)),
    "precision": (precision_at_k, {}, if_any(lambda flags, n, k: sum(flags) / k)),
    "r-precision": (
        precision_at_k,
        {"divide_by": "reachable"},
        if_any(lambda flags, n, k: sum(flags) / min(n, k)),
    ),
    "hit rate": (hit_rate_at_k, {}, if_any(lambda flags, n, k: float(any(flags)))),
}


def columns(rows: list[Row]) -> tuple[list[int], list[int], list[float]]:
    return [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows]


def computed(case: str, rows: list[Row], k: int, ties: str, bar: int) -> GroupValues:
    function, policy, _ = CASES[case]
    name = "zero" if function is ndcg_at_k else "min_relevance"
    return function(*columns(rows), k=k, ties=ties, **policy, **{name: bar})


def expected(case: str, rows: list[Row], k: int, ties: str, bar: int) -> float:
    """Value of the rows of one group: a loop over them from the first rank down."""
    if ties == "worst":
        rows = sorted(rows, key=lambda row: row[1])
    ranked = sorted(rows, key=lambda row: -row[2])
    return CASES[case][2]([relevance - bar for _, relevance, _ in ranked], k)


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=40, deadline=None)
@given(
    rows=TABLES,
    k=st.integers(1, 12),
    ties=st.sampled_from(["worst", "order"]),
    bar=st.sampled_from([1, 2, 0, -1]),
)
@example(rows=[], k=3, ties="worst", bar=1)
@example(rows=[(0, 1, 0.5)], k=3, ties="order", bar=1)
def test_equals_a_loop_over_the_ranked_list(case: str, rows: list[Row], k: int, ties: str, bar: int) -> None:
    found = computed(case, rows, k, ties, bar)
    groups = {group: [row for row in rows if row[0] == group] for group in sorted({row[0] for row in rows})}
    assert found.group.tolist() == list(groups)
    values = [expected(case, mine, k, ties, bar) for mine in groups.values()]
    np.testing.assert_allclose(found.value, values, rtol=1e-12)


@pytest.mark.parametrize("case", ["ndcg linear", "ndcg exponential", "recall", "precision", "r-precision"])
def test_average_ties_are_the_mean_over_all_orders(case: str) -> None:
    rows: list[Row] = [(0, 1, 0.5), (0, 0, 0.5), (0, 3, 0.5), (0, 2, 0.1), (0, 0, 0.1), (0, -1, 0.9)]
    values = [expected(case, list(order), 3, "order", bar=1) for order in permutations(rows)]
    assert computed(case, rows, 3, "average", bar=1).mean() == pytest.approx(np.mean(values))


@pytest.mark.parametrize("k", [1, 3, 10, None])
def test_ndcg_equals_scikit_learn_on_ties(k: int | None) -> None:
    rng = np.random.default_rng(5)
    relevance, score = rng.integers(0, 4, (40, 8)), rng.integers(0, 5, (40, 8)) / 3
    relevance[:, 0] = 1  # scikit-learn gives 0 to a group without gain, which we leave out
    group = np.repeat(np.arange(40), 8)
    found = ndcg_at_k(group, relevance.ravel(), score.ravel(), k=k, ties="average")
    assert found.mean() == pytest.approx(ndcg_score(relevance, score, k=k), rel=1e-12)
    no_ties = rng.permuted(np.tile(np.arange(8.0), (40, 1)), axis=1)
    plain = ndcg_at_k(group, relevance.ravel(), no_ties.ravel(), k=k, gain="exponential")
    assert plain.mean() == pytest.approx(ndcg_score(2.0**relevance - 1, no_ties, k=k), rel=1e-12)


@pytest.mark.parametrize(
    "function", [ndcg_at_k, map_at_k, mrr_at_k, recall_at_k, precision_at_k, hit_rate_at_k]
)
def test_groups_without_a_relevant_row_follow_the_policy(function: Callable[..., GroupValues]) -> None:
    rows = ([0, 0, 1], [0, 1, 0], [0.1, 0.9, 0.5])
    np.testing.assert_equal(function(*rows, k=1).value, [1.0, np.nan])
    np.testing.assert_equal(function(*rows, k=1, no_relevant="zero").value, [1.0, 0.0])
    assert function(*rows, k=1, no_relevant="zero").mean() == 0.5


@pytest.mark.parametrize("k", [0, -1, 2.5, True, "3"])
def test_a_senseless_k_is_refused(k: object) -> None:
    with pytest.raises(ConfigError, match=r"k is|k="):
        recall_at_k([0], [1], [0.5], k=k)  # type: ignore[arg-type]
