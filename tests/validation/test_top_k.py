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
]  # (relevance of a group's rows from the first rank down, k) -> value

TABLES = st.lists(
    st.tuples(st.integers(0, 4), st.integers(-1, 3), st.sampled_from([-1.0, 0.0, 0.5, 2.0])), max_size=30
)
LIKE = 1


def dcg(gains: list[float], k: int) -> float:
    return sum(g / math.log2(r + 2) for r, g in enumerate(gains[:k]))


def ndcg(gain: Callable[[int], float]) -> Listed:
    def value(listed: list[int], k: int) -> float:
        gains = [gain(r) for r in listed]
        best = dcg(sorted(gains, reverse=True), k)
        return dcg(gains, k) / best if best else math.nan

    return value


def average_precision(listed: list[int], k: int, reachable: bool) -> float:
    n_relevant = sum(r >= LIKE for r in listed)
    found, total = 0, 0.0
    for rank, relevance in enumerate(listed[:k], start=1):
        if relevance >= LIKE:
            found += 1
            total += found / rank
    return total / (min(n_relevant, k) if reachable else n_relevant) if n_relevant else math.nan


def if_any(value: Callable[[list[bool], int], float]) -> Listed:
    """Lift a function of the relevant flags of the first k rows and of their number in the group."""

    def lifted(listed: list[int], k: int) -> float:
        flags = [r >= LIKE for r in listed]
        return value(flags[:k], sum(flags)) if any(flags) else math.nan

    return lifted


def first_hit(flags: list[bool], n_relevant: int) -> float:
    return 1 / (flags.index(True) + 1) if any(flags) else 0.0


CASES: dict[str, tuple[Callable[..., GroupValues], dict[str, object], Callable[[int], Listed]]] = {
    "ndcg linear": (ndcg_at_k, {}, lambda k: ndcg(lambda r: max(r, 0))),
    "ndcg exponential": (ndcg_at_k, {"gain": "exponential"}, lambda k: ndcg(lambda r: 2 ** max(r, 0) - 1)),
    "ndcg from dislike": (ndcg_at_k, {"zero": -1}, lambda k: ndcg(lambda r: r + 1)),
    "map reachable": (map_at_k, {}, lambda k: lambda x, k: average_precision(x, k, True)),
    "map relevant": (
        map_at_k,
        {"divide_by": "relevant"},
        lambda k: lambda x, k: average_precision(x, k, False),
    ),
    "mrr": (mrr_at_k, {}, lambda k: if_any(first_hit)),
    "recall": (recall_at_k, {}, lambda k: if_any(lambda flags, n: sum(flags) / n)),
    "precision": (precision_at_k, {}, lambda k: if_any(lambda flags, n: sum(flags) / k)),
    "r-precision": (
        precision_at_k,
        {"divide_by": "reachable"},
        lambda k: if_any(lambda flags, n: sum(flags) / min(n, k)),
    ),
    "hit rate": (hit_rate_at_k, {}, lambda k: if_any(lambda flags, n: float(any(flags)))),
}


def columns(rows: list[Row]) -> tuple[list[int], list[int], list[float]]:
    return [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows]


def listed(rows: list[Row], group: int, ties: str) -> list[int]:
    """Relevance of a group's rows from the first rank down."""
    mine = [(score, relevance) for g, relevance, score in rows if g == group]
    if ties == "worst":
        mine.sort(key=lambda row: row[1])
    mine.sort(key=lambda row: -row[0])
    return [relevance for _, relevance in mine]


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=40, deadline=None)
@given(rows=TABLES, k=st.integers(1, 12), ties=st.sampled_from(["worst", "order"]))
@example(rows=[], k=3, ties="worst")
@example(rows=[(0, 1, 0.5)], k=3, ties="order")
def test_equals_a_loop_over_the_ranked_list(case: str, rows: list[Row], k: int, ties: str) -> None:
    function, policy, oracle = CASES[case]
    found = function(*columns(rows), k=k, ties=ties, **policy)
    groups = sorted({r[0] for r in rows})
    assert found.group.tolist() == groups
    np.testing.assert_allclose(found.value, [oracle(k)(listed(rows, g, ties), k) for g in groups], rtol=1e-12)


@pytest.mark.parametrize("case", ["ndcg linear", "ndcg exponential", "recall", "precision", "r-precision"])
def test_average_ties_are_the_mean_over_all_orders(case: str) -> None:
    function, policy, oracle = CASES[case]
    rows: list[Row] = [(0, 1, 0.5), (0, 0, 0.5), (0, 3, 0.5), (0, 2, 0.1), (0, 0, 0.1), (0, -1, 0.9)]
    found = function(*columns(rows), k=3, ties="average", **policy)
    values = [oracle(3)(listed(list(order), 0, "order"), 3) for order in permutations(rows)]
    assert found.mean() == pytest.approx(np.mean(values))


@pytest.mark.parametrize("k", [1, 3, 10, None])
def test_ndcg_equals_scikit_learn_on_ties(k: int | None) -> None:
    rng = np.random.default_rng(5)
    relevance, score = rng.integers(0, 4, (40, 8)), rng.integers(0, 5, (40, 8)) / 3
    relevance[:, 0] = 1  # scikit-learn gives 0 to a group without gain, which we leave out
    found = ndcg_at_k(np.repeat(np.arange(40), 8), relevance.ravel(), score.ravel(), k=k, ties="average")
    assert found.mean() == pytest.approx(ndcg_score(relevance, score, k=k), rel=1e-12)
    no_ties = rng.permuted(np.tile(np.arange(8.0), (40, 1)), axis=1)
    plain = ndcg_at_k(
        np.repeat(np.arange(40), 8), relevance.ravel(), no_ties.ravel(), k=k, gain="exponential"
    )
    assert plain.mean() == pytest.approx(ndcg_score(2.0**relevance - 1, no_ties, k=k), rel=1e-12)


@pytest.mark.parametrize(
    "function", [ndcg_at_k, map_at_k, mrr_at_k, recall_at_k, precision_at_k, hit_rate_at_k]
)
def test_groups_without_a_relevant_row_follow_the_policy(function: Callable[..., GroupValues]) -> None:
    rows = ([0, 0, 1], [0, 1, 0], [0.1, 0.9, 0.5])
    np.testing.assert_equal(function(*rows, k=1).value, [1.0, np.nan])
    np.testing.assert_equal(function(*rows, k=1, no_relevant="zero").value, [1.0, 0.0])
    assert function(*rows, k=1, no_relevant="zero").mean() == 0.5
    assert math.isnan(function([], [], []).mean())


@pytest.mark.parametrize("function", [map_at_k, mrr_at_k, recall_at_k, precision_at_k, hit_rate_at_k])
def test_the_bar_of_relevance_is_a_parameter(function: Callable[..., GroupValues]) -> None:
    rows = ([0, 0, 0], [0, 1, 2], [0.9, 0.5, 0.1])
    assert function(*rows, k=1).mean() == 0
    assert function(*rows, k=1, min_relevance=0).mean() > 0


@pytest.mark.parametrize("k", [0, -1, 2.5, True, "3"])
def test_a_senseless_k_is_refused(k: object) -> None:
    with pytest.raises(ConfigError, match=r"k is|k="):
        recall_at_k([0], [1], [0.5], k=k)  # type: ignore[arg-type]
