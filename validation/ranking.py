"""Metrics of the first k rows of each group, ranked by falling score. Each group that counts has the weight 1.

What their policies have in common:

k
    Number of first rows; None takes all. A group may have fewer.
min_relevance
    Least relevance of a relevant row.
ties
    Rows that tie on the score: ``worst`` order, the ``order`` they are given in, or, for metrics that are linear in
    the gains, the ``average`` over all orders. See ``rank_rows``.
no_relevant
    A group without a relevant row (0 / 0), whatever the scores: ``skip`` leaves it out (NaN), ``zero`` gives it 0.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from validation import FloatArray, GroupValues, IntArray, Ranked, Ties, metric, rank_rows

Count = Annotated[int, Field(ge=1)]
NoRelevant = Literal["skip", "zero"]


@metric("group")
def hit_rate_at_k(
    group: IntArray,
    relevance: FloatArray,
    score: FloatArray,
    *,
    k: Count | None = 10,
    min_relevance: float = 1.0,
    ties: Literal["worst", "order"] = "worst",
    no_relevant: NoRelevant = "skip",
) -> GroupValues:
    """1 if any of the first k rows of the group is relevant, else 0.

    >>> hit_rate_at_k([7, 7, 8, 8], [0, 1, 1, 0], [0.9, 0.5, 0.9, 0.5], k=1).value.tolist()
    [0.0, 1.0]
    """
    ranked, n_relevant = _rank_relevant(group, relevance, score, ties, min_relevance)
    hit = (ranked.hits(k) > 0).astype(np.float64)
    return _share(ranked, hit, np.ones(len(hit)), n_relevant, no_relevant)


@metric("group")
def precision_at_k(
    group: IntArray,
    relevance: FloatArray,
    score: FloatArray,
    *,
    k: Count = 10,
    min_relevance: float = 1.0,
    divide_by: Literal["k", "reachable"] = "k",
    ties: Ties = "worst",
    no_relevant: NoRelevant = "skip",
) -> GroupValues:
    """Relevant rows among the first k, divided by k.

    A group of fewer rows is still divided by ``k``; ``divide_by="reachable"`` divides by the relevant rows of the
    group, at most k (R-precision): the best value is 1.

    >>> precision_at_k([7, 7, 7], [1, 0, 1], [0.9, 0.5, 0.1], k=2).value.tolist()
    [0.5]
    """
    ranked, n_relevant = _rank_relevant(group, relevance, score, ties, min_relevance)
    whole = np.full(len(n_relevant), float(k)) if divide_by == "k" else np.minimum(n_relevant, k)
    return _share(ranked, ranked.hits(k), whole, n_relevant, no_relevant)


@metric("group")
def recall_at_k(
    group: IntArray,
    relevance: FloatArray,
    score: FloatArray,
    *,
    k: Count | None = 10,
    min_relevance: float = 1.0,
    ties: Ties = "worst",
    no_relevant: NoRelevant = "skip",
) -> GroupValues:
    """Relevant rows among the first k, divided by all relevant rows of the group. Without a k it is 1.

    >>> recall_at_k([7, 7, 7], [1, 0, 1], [0.9, 0.5, 0.1], k=2).value.tolist()
    [0.5]
    """
    ranked, n_relevant = _rank_relevant(group, relevance, score, ties, min_relevance)
    return _share(ranked, ranked.hits(k), n_relevant, n_relevant, no_relevant)


@metric("group")
def map_at_k(
    group: IntArray,
    relevance: FloatArray,
    score: FloatArray,
    *,
    k: Count | None = 10,
    min_relevance: float = 1.0,
    divide_by: Literal["reachable", "relevant"] = "reachable",
    ties: Literal["worst", "order"] = "worst",
    no_relevant: NoRelevant = "skip",
) -> GroupValues:
    """Sum over relevant rows at ranks ``r <= k`` of the precision at r, divided by how many there could be.

    ``divide_by="reachable"``: the relevant rows of the group, at most k (Kaggle's MAP@k; the best value is 1).
    ``relevant``: all relevant rows of the group (RecTools' default).

    Relevant rows at ranks 1 and 3: (1/1 + 2/3) / 2.

    >>> round(map_at_k([7, 7, 7], [1, 0, 1], [0.9, 0.5, 0.1]).mean(), 4)
    0.8333
    """
    ranked, n_relevant = _rank_relevant(group, relevance, score, ties, min_relevance)
    start, size = ranked.groups.start, ranked.groups.size
    n_until = np.cumsum(ranked.gain)
    n_until -= np.repeat(n_until[start] - ranked.gain[start], size)
    precision = np.where(ranked.within(k), ranked.gain * n_until / ranked.rank, 0.0)
    whole = n_relevant if divide_by == "relevant" or k is None else np.minimum(n_relevant, k)
    return _share(ranked, ranked.groups.sums(precision), whole, n_relevant, no_relevant)


@metric("group")
def mrr_at_k(
    group: IntArray,
    relevance: FloatArray,
    score: FloatArray,
    *,
    k: Count | None = 10,
    min_relevance: float = 1.0,
    ties: Literal["worst", "order"] = "worst",
    no_relevant: NoRelevant = "skip",
) -> GroupValues:
    """``1 / r`` for the smallest rank ``r <= k`` of a relevant row; 0 if there is none so high.

    >>> mrr_at_k([7, 7, 7], [0, 1, 1], [0.9, 0.5, 0.1]).value.tolist()
    [0.5]
    """
    ranked, n_relevant = _rank_relevant(group, relevance, score, ties, min_relevance)
    reciprocal = np.where(ranked.within(k), ranked.gain / ranked.rank, 0.0)
    first = np.maximum.reduceat(reciprocal, ranked.groups.start) if len(reciprocal) else reciprocal
    return _share(ranked, first, np.ones(len(first)), n_relevant, no_relevant)


@metric("group")
def ndcg_at_k(
    group: IntArray,
    relevance: FloatArray,
    score: FloatArray,
    *,
    k: Count | None = 10,
    gain: Literal["linear", "exponential"] = "linear",
    zero: float = 0.0,
    ties: Ties = "worst",
    no_relevant: NoRelevant = "skip",
) -> GroupValues:
    """DCG of the first k rows over the DCG of the best order of the same rows.

    ``DCG = sum over ranks r <= k of gain_r / log2(r + 1)`` (Järvelin and Kekäläinen 2002, with the logarithm of
    Burges et al. 2005). With ``level = max(relevance - zero, 0)`` the gain is ``level`` (linear) or ``2**level - 1``
    (exponential); ``zero`` is the relevance that is worth nothing, and whatever lies below is worth nothing either.
    A group has nothing relevant if no row has a gain. Ties by ``average`` are scikit-learn's.

    The like is second of two: 1 / log2(3).

    >>> round(ndcg_at_k([7, 7], [0, 1], [0.9, 0.1]).mean(), 4)
    0.6309
    """
    level = np.maximum(relevance - zero, 0.0)
    gains = level if gain == "linear" else np.exp2(level) - 1
    ranked = rank_rows(group, gains, score, ties)
    best = _dcg(rank_rows(group, gains, gains, "order"), k)
    return _share(ranked, _dcg(ranked, k), best, best, no_relevant)


def _dcg(ranked: Ranked, k: int | None) -> FloatArray:
    discounted = ranked.gain / np.log2(ranked.rank + 1)
    return ranked.groups.sums(np.where(ranked.within(k), discounted, 0.0))


def _rank_relevant(
    group: IntArray, relevance: FloatArray, score: FloatArray, ties: Ties, min_relevance: float
) -> tuple[Ranked, FloatArray]:
    """Rank rows whose gain is 1 if they are relevant, else 0; with the number of relevant rows of each group."""
    ranked = rank_rows(group, (relevance >= min_relevance).astype(np.float64), score, ties)
    return ranked, ranked.hits(None)


def _share(
    ranked: Ranked, value: FloatArray, most: FloatArray, n_relevant: FloatArray, no_relevant: NoRelevant
) -> GroupValues:
    """Divide by the most that there could be; a group with nothing relevant follows the policy."""
    code = ranked.groups.code
    shares = np.full(len(code), np.nan if no_relevant == "skip" else 0.0)
    np.divide(value, most, out=shares, where=n_relevant > 0)
    return GroupValues(code, shares, np.ones(len(code)))
