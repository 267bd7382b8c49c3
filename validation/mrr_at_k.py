"""Mean over groups of the reciprocal rank of the first relevant row."""

from __future__ import annotations

from typing import Literal

import numpy as np

from validation._metric import FloatArray, GroupValues, IntArray, metric
from validation._top_k import NoRelevant, check_k, rank_relevant, share


@metric("group")
def mrr_at_k(
    group: IntArray,
    relevance: FloatArray,
    score: FloatArray,
    *,
    k: int | None = 10,
    min_relevance: float = 1.0,
    ties: Literal["worst", "order"] = "worst",
    no_relevant: NoRelevant = "skip",
) -> GroupValues:
    """``1 / r`` for the smallest rank ``r <= k`` of a relevant row; 0 if there is none so high.

    Parameters
    ----------
    k
        Number of first rows; None takes all.
    min_relevance
        Least relevance of a relevant row.
    ties
        Rows that tie on the score: ``worst`` order, or the ``order`` they are given in.
    no_relevant
        A group without a relevant row at any rank: ``skip`` leaves it out, ``zero`` gives it 0.

    >>> mrr_at_k([7, 7, 7], [0, 1, 1], [0.9, 0.5, 0.1]).value.tolist()
    [0.5]
    """
    check_k(k)
    ranked, n_relevant = rank_relevant(group, relevance, score, ties, min_relevance)
    reciprocal = np.where(ranked.within(k), ranked.gain / ranked.rank, 0.0)
    first = np.maximum.reduceat(reciprocal, ranked.groups.start) if len(reciprocal) else reciprocal
    return share(ranked.groups, first, np.ones(len(first)), n_relevant, no_relevant)
