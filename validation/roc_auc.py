"""ROC AUC over all rows, of all groups together."""

from __future__ import annotations

import numpy as np

from validation import FloatArray, Groups, GroupValues, IntArray, by_group_and_score, concordant_pairs, metric


@metric("whole")
def roc_auc(group: IntArray, relevance: FloatArray, score: FloatArray) -> GroupValues:
    """Share of pairs of rows of different relevance that the score puts in the right order; a tie is one half.

    With two levels of relevance this is the ROC AUC, with more the concordance over all pairs of levels. Rows of one
    relevance only have no value (NaN). ``evaluate`` gives all rows as one group, whose weight is its rows.

    >>> roc_auc([0, 0, 0], [1, 0, 0], [0.5, 0.5, 0.1]).value.tolist()
    [0.75]
    """
    order = by_group_and_score(group, score)
    groups = Groups.of(group[order])
    concordant, n_pairs = concordant_pairs(groups, relevance[order], score[order])
    value = np.full(len(groups.code), np.nan)
    np.divide(concordant, n_pairs, out=value, where=n_pairs > 0)
    return GroupValues(groups.code, value, groups.size.astype(np.float64))
