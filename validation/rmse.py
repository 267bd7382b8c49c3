"""Root of the mean squared difference of score and relevance."""

from __future__ import annotations

import numpy as np

from engine import DataError
from validation._metric import FloatArray, GroupValues, IntArray, metric
from validation._order import Groups, stable_argsort


@metric("pooled", power=2)
def rmse(group: IntArray, relevance: FloatArray, score: FloatArray) -> GroupValues:
    """``sqrt(mean((score - relevance)**2))`` over rows. Smaller is better.

    Raises DataError for an infinite score or relevance.

    >>> rmse([0, 0], [1, 0], [1.0, 2.0]).value.round(4).tolist()  # sqrt((0 + 4) / 2)
    [1.4142]
    """
    if not (np.isfinite(score).all() and np.isfinite(relevance).all()):
        raise DataError("A score or a relevance is infinite.", expected="finite numbers")
    error = score - relevance
    order = stable_argsort(group)
    groups = Groups.of(group[order])
    squares = groups.sums(error[order] ** 2) / groups.size
    return GroupValues(groups.code, np.sqrt(squares), groups.size.astype(np.float64))
