"""Item neighbours: what the user thought of the items whose opinions go with those of this one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy

from features import Column, Window, fitted
from features.toolkit import Sparse, Values, chunks, codes, residuals, usual

N_NEIGHBOURS = 200  # kept an item
SHRINK = 50.0  # common users that halve a correlation
PULL = 0.5  # similarity that pulls a mean of few neighbours towards zero
MAX_ITEMS = 6_000  # the most frequent ones, so that the square of them stays feasible
SEED = 20_240_613
CHUNK_CELLS = 4_000_000  # of dense items x items: 32 MB an array
CHUNK_ROWS = 20_000_000  # of the histories of a chunk of pairs: 240 MB


@fitted(
    columns={
        "knn_score": Column(
            pl.Float32, "Item offset plus the user's opinion of its neighbours; null for an unseen item."
        ),
        "knn_taste": Column(
            pl.Float32,
            "Weighted mean of what offsets leave of the user's opinions of the item's neighbours; 0 if none.",
        ),
        "knn_support": Column(
            pl.Float32, "Summed similarity of the item's neighbours that the user has seen; 0 if none."
        ),
    },
    needs=lambda signal: usual("user_id", "item_id", signal),
    variants={name: {"signal": name} for name in ("rating", "relevance")},
)
@dataclass
class Neighbours:
    """Item neighbourhood by shrunken correlation of what offsets leave (Koren 2008, section 2.2)."""

    signal: str

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Correlate items over their common users and keep the strongest neighbours of each.

        Bounds for large logs: the newest ten million rows with a signal count; items beyond the ``MAX_ITEMS`` most
        frequent have no neighbours; and only some users tell the similarities: see ``feasible_users``.
        """
        self.seen = residuals(history, self.signal, most=10_000_000, rounds=5)
        self.rest, _ = self.seen.by_entity(n_more=1)
        self.shown = self.rest.copy()
        self.shown.data[:] = 1.0
        self.similarity = similarities(self.rest, self.shown)

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Values]:
        """Score each pair by itself: a row of similarities times the user's row."""
        user, item = codes(pairs["user_id"], self.seen.users), codes(pairs["item_id"], self.seen.items)
        support, total = np.zeros(len(user)), np.zeros(len(user))
        n_rows = N_NEIGHBOURS + np.diff(self.shown.indptr)[user]
        for chunk in chunks(n_rows, CHUNK_ROWS):
            near = self.similarity[item[chunk]]
            support[chunk] = row_sums(near.multiply(self.shown[user[chunk]]))
            total[chunk] = row_sums(near.multiply(self.rest[user[chunk]]))
        taste = total / (support + PULL)
        score = np.where(item == len(self.seen.items), np.nan, self.seen.item_offset[item] + taste)
        return {"knn_score": score, "knn_taste": taste, "knn_support": support}


def similarities(rest: Sparse, shown: Sparse, *, max_products: int = 150_000_000) -> Sparse:
    """Positive shrunken correlations between items (n_items, n_items), the strongest ``N_NEIGHBOURS`` of each row.

    Only the ``MAX_ITEMS`` items with most rows have neighbours and are some; see ``feasible_users`` for the users.
    """
    n_items = shown.shape[1]
    frequent = np.sort(np.argsort(-np.bincount(shown.indices, minlength=n_items), kind="stable")[:MAX_ITEMS])
    rest, shown = rest[:, frequent], shown[:, frequent]
    few = feasible_users(np.diff(shown.indptr), max_products)
    if len(few) < shown.shape[0]:
        rest, shown = rest[few], shown[few]
    squares = rest.multiply(rest).tocsr()
    chunk = max(CHUNK_CELLS // max(len(frequent), 1), 1)
    strongest = [
        _strongest(rest, shown, squares, slice(start, start + chunk))
        for start in range(0, len(frequent), chunk)
    ]
    near = scipy.sparse.vstack(strongest).tocoo()
    return scipy.sparse.csr_matrix(
        (near.data, (frequent[near.row], frequent[near.col])), shape=(n_items, n_items)
    )


def feasible_users(n_rows: npt.NDArray[np.integer], max_products: int) -> npt.NDArray[np.intp]:
    """Draw users in a fixed random order until the squares of their rows sum to ``max_products``.

    Correlations are sums of that many products of two opinions of a user. ``n_rows`` (n_users,): rows of each. All
    users where that is enough; positions are ascending.
    """
    order = np.random.default_rng(SEED).permutation(len(n_rows))
    total = np.cumsum(n_rows[order].astype(np.float64) ** 2)
    return np.sort(order[total <= max_products])


def _strongest(rest: Sparse, shown: Sparse, squares: Sparse, chunk: slice) -> Sparse:
    """Similarities of a chunk of the items to all of them."""
    common = (shown[:, chunk].T @ shown).toarray()
    norm = np.sqrt((squares[:, chunk].T @ shown).toarray() * (shown[:, chunk].T @ squares).toarray())
    product = (rest[:, chunk].T @ rest).toarray()
    near = (
        np.divide(product, norm, out=np.zeros_like(product), where=norm > 1e-9) * common / (common + SHRINK)
    )
    rows = np.arange(len(near))
    near[rows, rows + chunk.start] = 0.0
    near[near < 0] = 0.0
    if near.shape[1] > N_NEIGHBOURS:
        weakest = np.partition(near, -N_NEIGHBOURS, axis=1)[:, -N_NEIGHBOURS]
        near[near < weakest[:, None]] = 0.0
    return scipy.sparse.csr_matrix(near)


def row_sums(matrix: Sparse) -> npt.NDArray[np.float64]:
    """Sum each row in the order of its columns, so that other rows cannot matter."""
    sorted_matrix = scipy.sparse.csr_matrix(matrix)
    sorted_matrix.sort_indices()
    rows = np.repeat(np.arange(sorted_matrix.shape[0]), np.diff(sorted_matrix.indptr))
    return np.bincount(rows, sorted_matrix.data, sorted_matrix.shape[0]).astype(np.float64)
