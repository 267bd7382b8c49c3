"""Mean negative log likelihood of a predicted probability."""

from __future__ import annotations

import numpy as np

from engine import DataError
from validation import FloatArray, GroupValues, IntArray, metric, row_means


@metric("pooled", greater_is_better=False)
def log_loss(
    group: IntArray,
    relevance: FloatArray,
    score: FloatArray,
    *,
    min_relevance: float = 1.0,
    clip: float = float(np.finfo(np.float64).eps),
) -> GroupValues:
    """``-mean(log(p))`` over rows, p being the score of a relevant row and one minus the score of another.

    Smaller is better. Raises DataError for a score outside 0 to 1.

    Parameters
    ----------
    min_relevance
        Least relevance of a relevant row.
    clip
        Scores are taken no nearer to 0 and 1 than this, as in scikit-learn, so that the loss is finite.

    >>> round(log_loss([0, 0], [1, 0], [0.5, 0.75]).mean(), 4)  # (log 2 + log 4) / 2
    1.0397
    """
    n_outside = int(((score < 0) | (score > 1)).sum())
    if n_outside:
        raise DataError(
            f"{n_outside} of {len(score)} scores lie outside 0 to 1.",
            expected="probabilities",
            todo="calibrate the scores, or choose a metric of their order",
        )
    likelihood = np.clip(np.where(relevance >= min_relevance, score, 1 - score), clip, 1 - clip)
    return row_means(group, -np.log(likelihood))
