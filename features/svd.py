"""Truncated SVD of what users make of sources (or items) beyond what everybody does, and items drawn to their source.

"PureSVD" of Cremonesi, Koren and Turrin 2010, on residuals instead of ratings. Vectors of different windows live in
different spaces, so only dot products, cosines and lengths leave this file.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.sparse import csr_matrix
from sklearn.utils.extmath import randomized_svd

from features import Column, Window, fitted
from features.toolkit import Residuals, certain, codes, cosines, dots, reads_of, residuals, with_missing

Values = npt.NDArray[np.float64]

FACTORS = 12
POWER_STEPS = 4
SEED = 20_241_122
PULL = 300.0  # rows that halve an item's way from its source's vector
_SLICE = 50_000


@fitted(
    columns={
        "svd_source_score": Column(
            pl.Float32,
            "What the user makes of the source beyond the usual, by SVD; null if either is unseen.",
        ),
        "svd_source_cosine": Column(
            pl.Float32,
            "Cosine of the SVD vectors of user and source; null if either is unseen.",
            range=(-1, 1),
        ),
        "svd_item_score": Column(
            pl.Float32,
            "The same of the item, drawn to its source; an unseen item is its source; null if unseen.",
        ),
        "svd_item_cosine": Column(
            pl.Float32, "Cosine of the SVD vectors of user and item; null if either is unseen.", range=(-1, 1)
        ),
        "svd_user_norm": Column(
            pl.Float32, "Length of the user's SVD vector; null for an unseen user.", range=(0, None)
        ),
        "svd_item_norm": Column(
            pl.Float32,
            "Length of the item's SVD vector; null for an unseen item of an unseen source.",
            range=(0, None),
        ),
    },
    needs=lambda signal: ["user_id", "item_id", "source_id", *reads_of(signal)],
    variants={name: {"signal": name} for name in ("watch", "approval")},
)
class SourceSvd:
    """SVD of one signal over users x sources; an item's vector is its source's until its own rows say otherwise."""

    def __init__(self, signal: str) -> None:
        self.signal = signal

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Factorise users x sources, then solve a ridge regression for each source and item on the users' vectors.

        At most the newest ``signals.MAX_ROWS`` rows with the signal count.
        """
        seen = residuals(history, self.signal, "source_id")
        total, count = seen.by_entity()
        vectors = user_vectors(total, count)
        source = drawn(total.T.tocsr(), count.T.tocsr(), vectors, np.zeros((len(seen.entities), FACTORS)))
        item = drawn(*seen.by_item(), vectors, source[seen.entity_of_item])
        self.users, self.sources, self.items = seen.users, seen.entities, seen.items
        self.user_vectors, self.source_vectors = with_missing(vectors), with_missing(source)
        self.item_vectors = item

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Values]:
        """Score each pair by itself: a row-wise product, so that one pair gives what all give."""
        user = self.user_vectors[codes(pairs["user_id"], self.users)]
        source = self.source_vectors[codes(pairs["source_id"], self.sources)]
        place = codes(pairs["item_id"], self.items)
        item = source.copy()
        is_seen = place < len(self.items)
        item[is_seen] = self.item_vectors[place[is_seen]]
        return {
            "svd_source_score": dots(user, source),
            "svd_source_cosine": cosines(user, source),
            "svd_item_score": dots(user, item),
            "svd_item_cosine": cosines(user, item),
            "svd_user_norm": np.sqrt(dots(user, user)),
            "svd_item_norm": np.sqrt(dots(item, item)),
        }


@fitted(
    columns={
        "svd_score": Column(
            pl.Float32, "What the user makes of the item beyond the usual, by SVD; null if either is unseen."
        ),
        "svd_cosine": Column(
            pl.Float32, "Cosine of the SVD vectors of user and item; null if either is unseen.", range=(-1, 1)
        ),
    },
    needs=lambda signal: ["user_id", "item_id", *reads_of(signal)],
    variants={"rating": {"signal": "rating"}},
)
class ItemSvd:
    """SVD of one signal over users x items, for logs whose items are rated often."""

    def __init__(self, signal: str) -> None:
        self.signal = signal

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Factorise users x items. At most the newest ``signals.MAX_ROWS`` rows with the signal count."""
        seen: Residuals = residuals(history, self.signal, "item_id")
        total, count = seen.by_entity()
        vectors = user_vectors(total, count)
        none = np.zeros((len(seen.items), FACTORS))
        item = drawn(total.T.tocsr(), count.T.tocsr(), vectors, none, pull=PULL / 10)
        self.users, self.items = seen.users, seen.items
        self.user_vectors, self.item_vectors = with_missing(vectors), with_missing(item)

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Values]:
        """Score each pair by itself."""
        user = self.user_vectors[codes(pairs["user_id"], self.users)]
        item = self.item_vectors[codes(pairs["item_id"], self.items)]
        return {"svd_score": dots(user, item), "svd_cosine": cosines(user, item)}


def user_vectors(total: csr_matrix, count: csr_matrix) -> Values:
    """Left singular vectors times singular values, scaled to a mean square of 1: Float64 (n_users, FACTORS).

    Factors that the matrix does not have are zeros.
    """
    cells = certain(total, count)
    vectors = np.zeros((cells.shape[0], FACTORS))
    n_factors = min(FACTORS, *cells.shape)
    if cells.nnz and n_factors:
        left, singular, _ = randomized_svd(cells, n_factors, n_iter=POWER_STEPS, random_state=SEED)
        vectors[:, :n_factors] = left * singular
        vectors /= np.sqrt((vectors**2).mean()) or 1.0
    return vectors


def drawn(total: csr_matrix, count: csr_matrix, users: Values, towards: Values, pull: float = PULL) -> Values:
    """Solve one ridge regression for each key on the users' vectors, drawn ``towards`` a vector instead of zero.

    Parameters
    ----------
    total, count
        Keys x users, the same cells: summed residuals and rows.
    users, towards
        Vectors (n_users, n_factors) and (n_keys, n_factors).
    pull
        Rows of an average user that halve the way.
    """
    n_factors = users.shape[1]
    upper = np.triu_indices(n_factors)
    outer = users[:, upper[0]] * users[:, upper[1]]
    solved = np.empty_like(towards)
    for start in range(0, total.shape[0], _SLICE):
        part = slice(start, start + _SLICE)
        left = np.empty((len(towards[part]), n_factors, n_factors))
        left[:, upper[0], upper[1]] = left[:, upper[1], upper[0]] = count[part] @ outer
        left += pull * np.eye(n_factors)
        right = total[part] @ users + pull * towards[part]
        solved[part] = np.linalg.solve(left, right[:, :, None])[:, :, 0]
    return solved
