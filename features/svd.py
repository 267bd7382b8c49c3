"""Truncated SVD of what users make of sources (or items) beyond what everybody does, and items drawn to their source.

"PureSVD" of Cremonesi, Koren and Turrin 2010, on residuals instead of ratings. Vectors of different windows live in
different spaces, so only dot products, cosines and lengths leave this file.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.sparse import csr_matrix, diags
from sklearn.utils.extmath import randomized_svd

from features import Window, codes, fitted
from features.toolkit import Residuals, reads_of, residuals

Values = npt.NDArray[np.float64]

FACTORS = 12
POWER_STEPS = 4
SEED = 20_241_122
PULL = 300.0  # rows that halve an item's way from its source's vector
ROWS_OF_USER, ROWS_OF_ENTITY = 20.0, 50.0
_SLICE = 50_000


@fitted(
    columns={
        "svd_source_score": pl.Float32,
        "svd_source_cosine": pl.Float32,
        "svd_item_score": pl.Float32,
        "svd_item_cosine": pl.Float32,
        "svd_user_norm": pl.Float32,
        "svd_item_norm": pl.Float32,
    },
    ranges={
        "svd_source_cosine": (-1, 1),
        "svd_item_cosine": (-1, 1),
        "svd_user_norm": (0, None),
        "svd_item_norm": (0, None),
    },
    needs=["user_id", "item_id", "source_id", "{reads}"],
    variants={name: {"signal": name, "reads": reads_of(name)} for name in ("watch", "approval")},
    meanings={
        "svd_source_score": "What the user makes of the source beyond the usual, by SVD; null if either is unseen.",
        "svd_source_cosine": "Cosine of the SVD vectors of user and source; null if either is unseen.",
        "svd_item_score": "The same of the item, drawn to its source; an unseen item is its source; null if unseen.",
        "svd_item_cosine": "Cosine of the SVD vectors of user and item; null if either is unseen.",
        "svd_user_norm": "Length of the user's SVD vector; null for an unseen user.",
        "svd_item_norm": "Length of the item's SVD vector; null for an unseen item of an unseen source.",
    },
)
class SourceSvd:
    """SVD of one signal over users x sources; an item's vector is its source's until its own rows say otherwise."""

    def __init__(self, signal: str, reads: tuple[str, ...]) -> None:
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

    def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Score each pair by itself: a row-wise product, so that one pair gives what all give."""
        user = self.user_vectors[codes(pairs["user_id"], self.users)]
        source = self.source_vectors[codes(pairs["source_id"], self.sources)]
        place = codes(pairs["item_id"], self.items)
        item = source.copy()
        is_seen = place < len(self.items)
        item[is_seen] = self.item_vectors[place[is_seen]]
        columns = {
            "svd_source_score": dots(user, source),
            "svd_source_cosine": cosines(user, source),
            "svd_item_score": dots(user, item),
            "svd_item_cosine": cosines(user, item),
            "svd_user_norm": np.sqrt(dots(user, user)),
            "svd_item_norm": np.sqrt(dots(item, item)),
        }
        return as_columns(pairs, columns)


@fitted(
    columns={"svd_score": pl.Float32, "svd_cosine": pl.Float32},
    ranges={"svd_cosine": (-1, 1)},
    needs=["user_id", "item_id", "{reads}"],
    variants={"rating": {"signal": "rating", "reads": reads_of("rating")}},
    meanings={
        "svd_score": "What the user makes of the item beyond the usual, by SVD; null if either is unseen.",
        "svd_cosine": "Cosine of the SVD vectors of user and item; null if either is unseen.",
    },
)
class ItemSvd:
    """SVD of one signal over users x items, for logs whose items are rated often."""

    def __init__(self, signal: str, reads: tuple[str, ...]) -> None:
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

    def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Score each pair by itself."""
        user = self.user_vectors[codes(pairs["user_id"], self.users)]
        item = self.item_vectors[codes(pairs["item_id"], self.items)]
        return as_columns(pairs, {"svd_score": dots(user, item), "svd_cosine": cosines(user, item)})


def certain(total: csr_matrix, count: csr_matrix) -> csr_matrix:
    """Weigh summed residuals by how certain they are: by the root of the rows of the cell, the user and the entity.

    ``total``, ``count``: users x entities, the same cells. A user with many rows counts less than by his rows, and
    so does a frequent entity: neither alone decides the factors.
    """
    of_user = np.asarray(count.sum(axis=1), dtype=np.float64).ravel()
    of_entity = np.asarray(count.sum(axis=0), dtype=np.float64).ravel()
    cells = total.copy()
    cells.data = total.data / np.sqrt(count.data + 1.0)
    weighed = diags((of_user + ROWS_OF_USER) ** -0.5) @ cells @ diags((of_entity + ROWS_OF_ENTITY) ** -0.5)
    return csr_matrix(weighed)


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


def with_missing(vectors: Values) -> Values:
    """Add a row of NaN behind the vectors: where unseen keys point to."""
    return np.vstack([vectors, np.full((1, vectors.shape[1]), np.nan)])


def dots(a: Values, b: Values) -> Values:
    """Row-wise dot products of (n, n_factors) each: Float64 (n,), no matrix product, so other rows cannot matter."""
    product: Values = (a * b).sum(axis=1)
    return product


def cosines(a: Values, b: Values) -> Values:
    """Row-wise cosines, NaN where a vector is zero or missing."""
    norms = np.sqrt(dots(a, a) * dots(b, b))
    cosine = np.divide(dots(a, b), norms, out=np.full(len(norms), np.nan), where=norms > 1e-12)
    clipped: Values = np.clip(cosine, -1.0, 1.0)
    return clipped


def as_columns(pairs: pl.DataFrame, columns: dict[str, Values]) -> pl.DataFrame:
    """Put columns (n_pairs,) beside ``pair_id`` as Float32; NaN becomes null."""
    return pairs.select("pair_id").with_columns(
        pl.Series(name, values, dtype=pl.Float64).fill_nan(None).cast(pl.Float32)
        for name, values in columns.items()
    )
