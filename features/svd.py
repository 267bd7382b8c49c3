"""Truncated SVD of what users make of sources (or items) beyond what everybody does, and items drawn to their source.

"PureSVD" of Cremonesi, Koren and Turrin 2010, on residuals instead of ratings. Vectors of different windows live in
different spaces, so trees are given dot products, cosines and lengths; those of one window are what a net may start at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from features import Column, Window, fitted
from features.toolkit import (
    Sparse,
    Values,
    Vectors,
    certainty_weighted,
    cosines,
    dots,
    embeddings,
    lengths,
    residuals,
    ridge,
    signal_columns,
    usual,
    vector_column,
)

FACTORS = 12
POWER_STEPS = 4
SEED = 20_241_122
PULL = 300.0  # rows that halve an item's way from its source's vector


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
    needs=lambda signal: usual("user_id", "item_id", "source_id", *signal_columns(signal)),
    variants={name: {"signal": name} for name in ("watch", "approval")},
)
@dataclass
class SourceSvd:
    """SVD of one signal over users x sources; an item's vector is its source's until its own rows say otherwise."""

    signal: str

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Factorise users x sources, then solve a ridge regression for each source and item on the users' vectors.

        Only the newest rows with the signal count: see ``residuals``.
        """
        seen = residuals(history, self.signal, "source_id")
        total, count = seen.by_entity()
        user = user_vectors(total, count)
        source = ridge(total.T.tocsr(), count.T.tocsr(), user, PULL)
        item = ridge(*seen.by_item(), user, PULL, towards=source[seen.entity_of_item])
        self.users = embeddings(seen.users, user, FACTORS)
        self.sources = embeddings(seen.entities, source, FACTORS)
        self.items = embeddings(seen.items, item, FACTORS)

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Values]:
        """Score each pair by itself: a row-wise product, so that one pair gives what all give."""
        user, source = self.users[pairs["user_id"]], self.sources[pairs["source_id"]]
        item = self.items[pairs["item_id"]]
        item = np.where(np.isnan(item), source, item)
        return {
            "svd_source_score": dots(user, source),
            "svd_source_cosine": cosines(user, source),
            "svd_item_score": dots(user, item),
            "svd_item_cosine": cosines(user, item),
            "svd_user_norm": lengths(user),
            "svd_item_norm": lengths(item),
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
    null_without="user_id",
    needs=lambda signal: usual("user_id", "item_id", *signal_columns(signal)),
    variants={"rating": {"signal": "rating"}},
)
@dataclass
class ItemSvd:
    """SVD of one signal over users x items, for logs whose items are rated often."""

    signal: str

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Factorise users x items; bounds as for sources."""
        seen = residuals(history, self.signal)
        total, count = seen.by_entity()
        user = user_vectors(total, count)
        item = ridge(total.T.tocsr(), count.T.tocsr(), user, PULL / 10)
        self.users, self.items = embeddings(seen.users, user, FACTORS), embeddings(seen.items, item, FACTORS)

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Values]:
        """Score each pair by itself."""
        user, item = self.users[pairs["user_id"]], self.items[pairs["item_id"]]
        return {"svd_score": dots(user, item), "svd_cosine": cosines(user, item)}


@fitted(
    columns={
        f"svd_{of}_vector": Column(
            pl.Array(pl.Float32, FACTORS), f"SVD vector of the {of} by relevance; null if unseen."
        )
        for of in ("user", "item")
    },
    needs=usual("user_id", "item_id", "relevance"),
)
@dataclass
class SvdVectors:
    """Vectors of the relevance over users x items, for nets to start at."""

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Factorise as ``ItemSvd`` does."""
        seen = residuals(history, "relevance")
        total, count = seen.by_entity()
        user = user_vectors(total, count)
        item = ridge(total.T.tocsr(), count.T.tocsr(), user, PULL / 10)
        self.users, self.items = embeddings(seen.users, user, FACTORS), embeddings(seen.items, item, FACTORS)

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, pl.Series]:
        """Look up both of each pair."""
        return {
            "svd_user_vector": vector_column(self.users[pairs["user_id"]]),
            "svd_item_vector": vector_column(self.items[pairs["item_id"]]),
        }


def user_vectors(total: Sparse, count: Sparse) -> Vectors:
    """Left singular vectors times singular values, scaled to a mean square of 1: Float64 (n_users, FACTORS).

    Factors that the matrix does not have are zeros.
    """
    from sklearn.utils.extmath import randomized_svd

    cells = certainty_weighted(total, count)
    vectors = np.zeros((cells.shape[0], FACTORS))
    n_factors = min(FACTORS, *cells.shape)
    if cells.nnz and n_factors:
        left, singular, _ = randomized_svd(cells, n_factors, n_iter=POWER_STEPS, random_state=SEED)
        vectors[:, :n_factors] = left * singular
        vectors /= np.sqrt((vectors**2).mean()) or 1.0
    return vectors
