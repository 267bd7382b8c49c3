"""Every metric against an oracle: counts over all pairs, loops over ranked lists, scikit-learn, RecTools.

The values of RecTools are in golden/rectools.json (made by golden/make_rectools.py). Where the definitions differ:
RecTools divides NDCG by the best list of k relevant rows unless ``divide_by_achievable``; divides MAP by all relevant
rows (``divide_by="relevant"`` here); knows one level of relevance only; has the ROC AUC of a user only as pAUC@k with
k = the user's irrelevant rows; takes ranks, so no two scores tie. Users without a relevant row are in neither.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import ndcg_score, roc_auc_score, root_mean_squared_error

from competitions import Metric
from engine import ConfigError, DataError
from validation import (
    FloatArray,
    GroupValues,
    IntArray,
    evaluate,
    evaluate_by_group,
    log_loss,
    metric,
    metrics,
    rmse,
    roc_auc,
    user_auc,
)

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


# Of a group's relevance above the bar, from the first rank down, and k.
Listed = Callable[[list[int], int], float]


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


AT_K = {name: function.compute for name, function in metrics().items() if name.endswith("_at_k")}
CASES: dict[str, tuple[str, dict[str, object], Listed]] = {
    "ndcg linear": ("ndcg_at_k", {}, ndcg(lambda r: max(r, 0))),
    "ndcg exponential": ("ndcg_at_k", {"gain": "exponential"}, ndcg(lambda r: 2 ** max(r, 0) - 1)),
    "map": ("map_at_k", {}, if_any(lambda flags, n, k: average_precision(flags) / min(n, k))),
    "map all": (
        "map_at_k",
        {"divide_by": "relevant"},
        if_any(lambda flags, n, k: average_precision(flags) / n),
    ),
    "mrr": ("mrr_at_k", {}, if_any(lambda flags, n, k: 1 / (flags.index(True) + 1) if any(flags) else 0.0)),
    "recall": ("recall_at_k", {}, if_any(lambda flags, n, k: sum(flags) / n)),
    "precision": ("precision_at_k", {}, if_any(lambda flags, n, k: sum(flags) / k)),
    "r-precision": (
        "precision_at_k",
        {"divide_by": "reachable"},
        if_any(lambda flags, n, k: sum(flags) / min(n, k)),
    ),
    "hit rate": ("hit_rate_at_k", {}, if_any(lambda flags, n, k: float(any(flags)))),
}


def computed(case: str, rows: list[Row], k: int, ties: str, bar: int) -> GroupValues:
    name, policy, _ = CASES[case]
    the_bar = {"zero" if name == "ndcg_at_k" else "min_relevance": bar}
    return AT_K[name](*columns(rows), k=k, ties=ties, **policy, **the_bar)


def expected(case: str, rows: list[Row], k: int, ties: str, bar: int) -> float:
    """Value of the rows of one group: a loop over them from the first rank down."""
    if ties == "worst":
        rows = sorted(rows, key=lambda row: row[1])
    ranked = sorted(rows, key=lambda row: -row[2])
    return CASES[case][2]([relevance - bar for _, relevance, _ in ranked], k)


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=40, deadline=None)
@given(
    rows=tables(range(-1, 4)),
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
    found = AT_K["ndcg_at_k"](group, relevance.ravel(), score.ravel(), k=k, ties="average")
    assert found.mean() == pytest.approx(ndcg_score(relevance, score, k=k), rel=1e-12)
    no_ties = rng.permuted(np.tile(np.arange(8.0), (40, 1)), axis=1)
    plain = AT_K["ndcg_at_k"](group, relevance.ravel(), no_ties.ravel(), k=k, gain="exponential")
    assert plain.mean() == pytest.approx(ndcg_score(2.0**relevance - 1, no_ties, k=k), rel=1e-12)


@pytest.mark.parametrize("function", AT_K.values(), ids=AT_K)
def test_groups_without_a_relevant_row_follow_the_policy(function: Callable[..., GroupValues]) -> None:
    rows = ([0, 0, 1], [0, 1, 0], [0.1, 0.9, 0.5])
    np.testing.assert_equal(function(*rows, k=1).value, [1.0, np.nan])
    np.testing.assert_equal(function(*rows, k=1, no_relevant="zero").value, [1.0, 0.0])
    assert function(*rows, k=1, no_relevant="zero").mean() == 0.5


PROBABLE = st.tuples(st.integers(0, 3), st.integers(0, 1), st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]))
ROWS = st.lists(PROBABLE, min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS)
def test_equal_scikit_learn(rows: list[tuple[int, int, float]]) -> None:
    frame = pl.DataFrame(rows, schema=["user", "relevance", "score"], orient="row")
    relevance, score = frame["relevance"].to_numpy(), frame["score"].to_numpy()
    loss = evaluate(Metric("log_loss"), frame, group=["user"])
    assert loss == pytest.approx(sklearn_log_loss(relevance, score, labels=[0, 1]), rel=1e-9)
    root = evaluate(Metric("rmse"), frame, group=["user"])
    assert root == pytest.approx(root_mean_squared_error(relevance, score), rel=1e-12)


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


def test_bad_arguments() -> None:
    with pytest.raises(DataError, match="shapes"):
        user_auc([0, 0], [1], [0.5, 0.5])
    with pytest.raises(DataError, match="integer codes"):
        user_auc([0.5, 0.5], [1, 0], [0.5, 0.5])
    with pytest.raises(ConfigError, match="two different levels"):
        user_auc([0, 0], [1, 0], [0.5, 0.5], leave_out_pairs=(1, 1))
    with pytest.raises(DataError, match="1 of 2 scores lie outside 0 to 1"):
        log_loss([0, 0], [1, 0], [0.5, 1.5])
    with pytest.raises(DataError, match="infinite"):
        rmse([0, 0], [1, 0], [0.5, np.inf])
    for k in (0, -1, 2.5, True, "3"):
        with pytest.raises(ConfigError, match=r"k is|k="):
            AT_K["recall_at_k"]([0], [1], [0.5], k=k)


GOLDEN: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "golden" / "rectools.json").read_text(encoding="utf-8")
)["tables"]
OURS = {
    "map": Metric("map_at_k", {"divide_by": "relevant"}),
    "mrr": Metric("mrr_at_k"),
    "ndcg": Metric("ndcg_at_k"),
    "recall": Metric("recall_at_k"),
    "precision": Metric("precision_at_k"),
    "r_precision": Metric("precision_at_k", {"divide_by": "reachable"}),
    "hit_rate": Metric("hit_rate_at_k"),
    "auc": Metric("user_auc"),
}


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("number", range(len(GOLDEN)))
def test_equals_rectools_for_every_user(name: str, number: int) -> None:
    table = pl.DataFrame(GOLDEN[number]["rows"])
    for k, expected in GOLDEN[number]["values"][name].items():
        policy = {} if k == "all" else {"k": int(k)}
        metric = Metric(OURS[name].name, {**OURS[name].policy, **policy})
        found = evaluate_by_group(metric, table, group=["user_id"]).drop_nulls("value")
        values = {str(user): value for user, value in found.select("user_id", "value").iter_rows()}
        assert values == pytest.approx(expected, rel=1e-12), f"k={k}"


@pytest.fixture
def gives(request: pytest.FixtureRequest) -> Metric:
    """A user's metric that returns the parameter."""

    def planted(group: IntArray, relevance: FloatArray, score: FloatArray) -> Any:
        return request.param

    metric("group")(planted)
    return Metric("planted")


ONES = np.ones(2)


@pytest.mark.parametrize(
    "gives",
    [
        0.5,
        GroupValues(np.array([3, 7]), np.ones(1), ONES),
        GroupValues(np.array([3, 7]), np.ones((2, 1)), ONES),
        GroupValues(np.array([7, 3]), ONES, ONES),
        GroupValues(np.array([3, 3]), ONES, ONES),
        GroupValues(np.array([8, 9]), ONES, ONES),
    ],
    indirect=True,
)
def test_what_a_metric_gives_is_one_value_a_group_in_order(gives: Metric) -> None:
    rows = pl.DataFrame({"user": [7, 3], "relevance": [0, 1], "score": [0.5, 0.5]})
    with pytest.raises(DataError, match="Metric planted gave"):
        evaluate_by_group(gives, rows, group=["user"])


@pytest.mark.parametrize("wrong", [{"scope": "user"}, {"power": 0}, {"scope": len}])
def test_a_metric_is_registered_with_a_scope_in_parentheses(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="is registered by @metric"):
        metric(**wrong)
