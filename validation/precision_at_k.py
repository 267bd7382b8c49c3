"""Mean over groups of the share of the first k rows that are relevant."""

from __future__ import annotations

from typing import Literal

import numpy as np

from validation._metric import FloatArray, GroupValues, IntArray, metric
from validation._top_k import NoRelevant, Ties, check_k, rank_relevant, share


@metric("group")
def precision_at_k(
    group: IntArray,
    relevance: FloatArray,
    score: FloatArray,
    *,
    k: int = 10,
    min_relevance: float = 1.0,
    divide_by: Literal["k", "reachable"] = "k",
    ties: Ties = "worst",
    no_relevant: NoRelevant = "skip",
) -> GroupValues:
    """Relevant rows among the first k, divided by k.

    Parameters
    ----------
    k
        Number of first rows. A group of fewer rows is still divided by k.
    min_relevance
        Least relevance of a relevant row.
    divide_by
        ``reachable`` divides by the relevant rows of the group, at most k (R-precision): the best value is 1.
    ties
        Rows that tie on the score: ``worst`` order, the ``order`` they are given in, or ``average`` over all orders.
    no_relevant
        A group without a relevant row, whatever the score: ``skip`` leaves it out, ``zero`` gives it 0.

    >>> precision_at_k([7, 7, 7], [1, 0, 1], [0.9, 0.5, 0.1], k=2).value.tolist()
    [0.5]
    """
    check_k(k)
    ranked, n_relevant = rank_relevant(group, relevance, score, ties, min_relevance)
    whole = np.full(len(n_relevant), float(k)) if divide_by == "k" else np.minimum(n_relevant, k)
    return share(ranked.groups, ranked.hits(k), whole, n_relevant, no_relevant)
