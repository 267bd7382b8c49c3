"""Root of the mean squared difference of score and relevance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine import DataError
from validation import FloatArray, GroupValues, IntArray, metric, row_means


@metric("pooled", power=2, greater_is_better=False)
def rmse(group: IntArray, relevance: FloatArray, score: FloatArray) -> GroupValues:
    """``sqrt(mean((score - relevance)**2))`` over rows. Smaller is better.

    Raises DataError for an infinite score or relevance.

    >>> rmse([0, 0], [1, 0], [1.0, 2.0]).value.round(4).tolist()  # sqrt((0 + 4) / 2)
    [1.4142]
    """
    if not (np.isfinite(score).all() and np.isfinite(relevance).all()):
        raise DataError("A score or a relevance is infinite.", expected="finite numbers")
    squares = row_means(group, (score - relevance) ** 2)
    return replace(squares, value=np.sqrt(squares.value))
