"""Normalised discounted cumulative gain of the first k rows of each group."""

from __future__ import annotations

from typing import Literal

import numpy as np

from validation._metric import FloatArray, GroupValues, IntArray, metric
from validation._top_k import NoRelevant, Ranked, Ties, check_k, rank_rows, share


@metric("group")
def ndcg_at_k(
    group: IntArray,
    relevance: FloatArray,
    score: FloatArray,
    *,
    k: int | None = 10,
    gain: Literal["linear", "exponential"] = "linear",
    zero: float = 0.0,
    ties: Ties = "worst",
    no_relevant: NoRelevant = "skip",
) -> GroupValues:
    """DCG of the first k rows over the DCG of the best order of the same rows.

    ``DCG = sum over ranks r <= k of gain_r / log2(r + 1)`` (Järvelin and Kekäläinen 2002, with the logarithm of
    Burges et al. 2005).

    Parameters
    ----------
    k
        Number of first rows; None takes all. A group may have fewer.
    gain, zero
        With ``level = max(relevance - zero, 0)`` the gain is ``level`` (linear) or ``2**level - 1`` (exponential).
        ``zero`` is the relevance that is worth nothing; whatever lies below is worth nothing either.
    ties
        Rows that tie on the score: ``worst`` order, the ``order`` they are given in, or the ``average`` over all
        orders (scikit-learn's).
    no_relevant
        A group without any gain: ``skip`` leaves it out, ``zero`` gives it 0.

    The like is second of two: 1 / log2(3).

    >>> round(ndcg_at_k([7, 7], [0, 1], [0.9, 0.1]).mean(), 4)
    0.6309
    """
    check_k(k)
    level = np.maximum(relevance - zero, 0.0)
    gains = level if gain == "linear" else np.exp2(level) - 1
    ranked = rank_rows(group, gains, score, ties)
    best = _dcg(rank_rows(group, gains, gains, "order"), k)
    return share(ranked.groups, _dcg(ranked, k), best, best, no_relevant)


def _dcg(ranked: Ranked, k: int | None) -> FloatArray:
    discounted = ranked.gain / np.log2(ranked.rank + 1)
    return ranked.groups.sums(np.where(ranked.within(k), discounted, 0.0))
