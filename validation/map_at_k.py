"""Mean over groups of the average precision of the first k rows."""

from __future__ import annotations

from typing import Literal

import numpy as np

from validation._metric import FloatArray, GroupValues, IntArray, metric
from validation._top_k import NoRelevant, check_k, rank_relevant, share


@metric("group")
def map_at_k(
    group: IntArray,
    relevance: FloatArray,
    score: FloatArray,
    *,
    k: int | None = 10,
    min_relevance: float = 1.0,
    divide_by: Literal["reachable", "relevant"] = "reachable",
    ties: Literal["worst", "order"] = "worst",
    no_relevant: NoRelevant = "skip",
) -> GroupValues:
    """Sum over relevant rows at ranks ``r <= k`` of the precision at r, divided by how many there could be.

    Parameters
    ----------
    k
        Number of first rows; None takes all.
    min_relevance
        Least relevance of a relevant row.
    divide_by
        ``reachable``: the relevant rows of the group, at most k (Kaggle's MAP@k; the best value is 1).
        ``relevant``: all relevant rows of the group (RecTools' default).
    ties
        Rows that tie on the score: ``worst`` order, or the ``order`` they are given in.
    no_relevant
        A group without a relevant row: ``skip`` leaves it out, ``zero`` gives it 0.

    Relevant rows at ranks 1 and 3: (1/1 + 2/3) / 2.

    >>> round(map_at_k([7, 7, 7], [1, 0, 1], [0.9, 0.5, 0.1]).mean(), 4)
    0.8333
    """
    check_k(k)
    ranked, n_relevant = rank_relevant(group, relevance, score, ties, min_relevance)
    n_before = np.cumsum(ranked.gain)
    n_before -= np.repeat(
        n_before[ranked.groups.start] - ranked.gain[ranked.groups.start], ranked.groups.size
    )
    precision = np.where(ranked.within(k), ranked.gain * n_before / ranked.rank, 0.0)
    whole = n_relevant if divide_by == "relevant" or k is None else np.minimum(n_relevant, k)
    return share(ranked.groups, ranked.groups.sums(precision), whole, n_relevant, no_relevant)
