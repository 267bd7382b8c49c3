"""Ridge regressions, one for each key: a step of a factorisation, or what a vector is in a space that is there."""

from __future__ import annotations

import numpy as np

from features.toolkit.positions import Sparse, Values, Vectors

_CHUNK = 50_000  # keys that are solved at a time


def ridge(
    total: Sparse, count: Sparse, other: Vectors, pull: float | Values, towards: Vectors | None = None
) -> Vectors:
    """Solve a ridge regression for each key: its targets on the vectors of the other side.

    Parameters
    ----------
    total, count
        Keys x other side, the same cells: summed targets, and the rows that each is made of.
    other
        Vectors of the other side (n_others, n_factors).
    pull
        Strength of the ridge, of all keys or of each (n_keys,).
    towards
        Vectors (n_keys, n_factors) that the ridge pulls to; without them, to zero.

    Returns
    -------
    Vectors (n_keys, n_factors); a key without rows gets what it is pulled to.
    """
    n_keys, n_factors = total.shape[0], other.shape[1]
    pulls = np.broadcast_to(np.asarray(pull, dtype=np.float64), n_keys)
    upper = np.triu_indices(n_factors)
    outer = other[:, upper[0]] * other[:, upper[1]]
    solved = np.empty((n_keys, n_factors))
    for start in range(0, n_keys, _CHUNK):
        chunk = slice(start, start + _CHUNK)
        left = np.empty((len(solved[chunk]), n_factors, n_factors))
        left[:, upper[0], upper[1]] = left[:, upper[1], upper[0]] = count[chunk] @ outer
        left += pulls[chunk, None, None] * np.eye(n_factors)
        right = total[chunk] @ other
        if towards is not None:
            right += pulls[chunk, None] * towards[chunk]
        solved[chunk] = np.linalg.solve(left, right[:, :, None])[:, :, 0]
    return solved
