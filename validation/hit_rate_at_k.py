"""Share of groups with a relevant row among the first k."""

from __future__ import annotations

from typing import Literal

import numpy as np

from validation._metric import FloatArray, GroupValues, IntArray, metric
from validation._top_k import NoRelevant, check_k, rank_relevant, share


@metric("group")
def hit_rate_at_k(
    group: IntArray,
    relevance: FloatArray,
    score: FloatArray,
    *,
    k: int | None = 10,
    min_relevance: float = 1.0,
    ties: Literal["worst", "order"] = "worst",
    no_relevant: NoRelevant = "skip",
) -> GroupValues:
    """1 if any of the first k rows of the group is relevant, else 0.

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

    >>> hit_rate_at_k([7, 7, 8, 8], [0, 1, 1, 0], [0.9, 0.5, 0.9, 0.5], k=1).value.tolist()
    [0.0, 1.0]
    """
    check_k(k)
    ranked, n_relevant = rank_relevant(group, relevance, score, ties, min_relevance)
    hit = (ranked.hits(k) > 0).astype(np.float64)
    return share(ranked.groups, hit, np.ones(len(hit)), n_relevant, no_relevant)
