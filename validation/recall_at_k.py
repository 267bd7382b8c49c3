"""Mean over groups of the share of relevant rows that are among the first k."""

from __future__ import annotations

from validation._metric import FloatArray, GroupValues, IntArray, metric
from validation._top_k import NoRelevant, Ties, check_k, rank_relevant, share


@metric("group")
def recall_at_k(
    group: IntArray,
    relevance: FloatArray,
    score: FloatArray,
    *,
    k: int | None = 10,
    min_relevance: float = 1.0,
    ties: Ties = "worst",
    no_relevant: NoRelevant = "skip",
) -> GroupValues:
    """Relevant rows among the first k, divided by all relevant rows of the group.

    Parameters
    ----------
    k
        Number of first rows; None takes all (then the recall is 1).
    min_relevance
        Least relevance of a relevant row.
    ties
        Rows that tie on the score: ``worst`` order, the ``order`` they are given in, or ``average`` over all orders.
    no_relevant
        A group without a relevant row (0 / 0): ``skip`` leaves it out, ``zero`` gives it 0.

    >>> recall_at_k([7, 7, 7], [1, 0, 1], [0.9, 0.5, 0.1], k=2).value.tolist()
    [0.5]
    """
    check_k(k)
    ranked, n_relevant = rank_relevant(group, relevance, score, ties, min_relevance)
    return share(ranked.groups, ranked.hits(k), n_relevant, n_relevant, no_relevant)
