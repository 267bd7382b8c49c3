"""Vectors of items by who met them, whatever they made of it: what is known of those that the same users met.

Singular vectors of the table of users and items, each cell divided by the root of both totals (correspondence
analysis, Benzecri 1973), the totals raised by a constant so that rare ones do not lead (Chaudhuri, Chung & Tsiatas
2012). The first one says how many rows an item has and is left out. In a factorisation they are side information, as
implicit feedback is in SVD++ (Koren 2008).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy

from features.toolkit.gaussian import Floats

_RAISED_BY, _ITERATIONS, _SEED = 5.0, 4, 20_261_129


def met_vectors(
    user: npt.NDArray[np.integer], item: npt.NDArray[np.integer], shape: tuple[int, int], width: int
) -> Floats:
    """Give a vector of each item: Float32 (n_items, width), the rarer the smaller, each column's mean square 1.

    Parameters
    ----------
    user, item
        (n_rows,), positions; meeting more often counts once.
    shape
        Numbers of users and of items. Columns that their table has no more of are zeros.
    """
    from sklearn.utils.extmath import randomized_svd

    table = scipy.sparse.csr_matrix((np.ones(len(user), np.float32), (user, item)), shape=shape)
    table.data[:] = 1.0  # what was met twice was summed
    of_user, of_item = (
        scipy.sparse.diags(1 / np.sqrt(np.asarray(table.sum(axis=axis)).ravel() + np.float32(_RAISED_BY)))
        for axis in (1, 0)
    )
    n_found = min(width + 1, *shape)
    _, _, right = randomized_svd(of_user @ table @ of_item, n_found, n_iter=_ITERATIONS, random_state=_SEED)
    vectors = np.zeros((shape[1], width), np.float32)
    vectors[:, : n_found - 1] = right[1:].T / np.maximum(np.sqrt((right[1:].T ** 2).mean(axis=0)), 1e-9)
    return vectors
