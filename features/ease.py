"""EASE (Steck 2019): what a linear autoencoder makes of a user's other sources (or items), in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
import scipy

from engine import capped_threads
from features import Column, FeatureError, Window, fitted
from features.toolkit import (
    Sparse,
    Values,
    chunks,
    codes,
    opinions,
    signal_columns,
    usual,
)

RIDGE = 20.0  # times the mean of the diagonal
# Entities that are solved for: their cube in time; in memory up to 48 bytes a square, 28 if they are more than FEW.
FEW, WIDE = 4_000, 12_000
CHUNK_CELLS = 4_000_000  # of the rows of users that a chunk of pairs reads: 100 MB


@fitted(
    columns={
        "ease_score": Column(
            pl.Float32,
            "What the user's other sources (items) say of this one, by EASE; null if either is unseen.",
        ),
        "ease_cosine": Column(
            pl.Float32,
            "The same over the lengths of the user's row and of the weights; null if one of them is 0.",
            range=(-1, 1),
        ),
    },
    null_without="user_id",
    needs=lambda entity, signal, max_entities=FEW: usual(
        "user_id", "item_id", entity, *signal_columns(signal)
    ),
    variants={
        "source_watch": {"entity": "source_id", "signal": "watch"},
        "item_rating": {"entity": "item_id", "signal": "rating"},
        "wide_item_like": {"entity": "item_id", "signal": "like", "max_entities": WIDE},
        "wide_item_rating": {"entity": "item_id", "signal": "rating", "max_entities": WIDE},
        "wide_item_watch": {"entity": "item_id", "signal": "watch", "max_entities": WIDE},
    },
)
@dataclass
class Ease:
    """EASE on certainty-weighted residuals of one signal, or on what users like.

    ``max_entities``: of more, those with most users are taken, and the others count as unseen.
    """

    entity: str
    signal: str
    max_entities: int = FEW

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Solve for the weights between entities; of the log, the newest rows with the signal count."""
        seen = opinions(history, self.signal, self.entity)
        cells = seen.cells
        n_users = np.bincount(cells.indices, minlength=cells.shape[1])
        kept = np.sort(np.argsort(-n_users, kind="stable")[: self.max_entities])
        self.users, self.entities = seen.users, seen.entities.gather(kept)
        cells = scipy.sparse.csr_matrix(cells[:, kept])
        cells.sort_indices()
        with capped_threads(1):  # how a product of blocks is rounded depends on the threads that share it
            self.weights = ease_weights(cells)
        cells.resize(cells.shape[0] + 1, cells.shape[1])  # an empty row for unseen users
        self.cells = cells

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Values]:
        """Score each pair by itself: the user's row times the weights of the entity."""
        user, entity = codes(pairs["user_id"], self.users), codes(pairs[self.entity], self.entities)
        score = np.full(len(user), np.nan)
        known = np.flatnonzero((user < len(self.users)) & (entity < len(self.entities)))
        n_cells = np.diff(self.cells.indptr)
        for chunk in chunks(n_cells[user[known]] + 1, CHUNK_CELLS):
            at = known[chunk]
            rows = self.cells[user[at]]
            of_row = np.repeat(np.arange(len(at)), np.diff(rows.indptr))
            products = rows.data * self.weights[entity[at][of_row], rows.indices]
            # In the order of the cells, whatever other rows are.
            score[at] = np.bincount(of_row, products, len(at))
        of_user = np.repeat(np.arange(len(n_cells)), n_cells)
        user_length = np.sqrt(np.bincount(of_user, self.cells.data**2, len(n_cells)))
        entity_length = np.append(np.sqrt((self.weights**2).sum(axis=1)), 0.0)
        norms = user_length[user] * entity_length[entity]
        cosine = np.divide(score, norms, out=np.full(len(user), np.nan), where=norms > 1e-12)
        return {"ease_score": score, "ease_cosine": np.clip(cosine, -1.0, 1.0)}


def ease_weights(cells: Sparse) -> Values:
    """Solve ``min |X - X B|^2 + ridge |B|^2`` with a diagonal of zeros (Steck 2019, equation 8).

    ``cells``: X, users x entities. Returns B transposed, Float64 (n_entities, n_entities): the weights that predict an
    entity are a row. The ridge is ``RIDGE`` times the mean of the diagonal of X'X.
    """
    weights = gram(cells)
    diagonal = np.diag_indices_from(weights)
    mean = weights[diagonal].mean() if len(weights) else 0.0
    if mean <= 0:
        return np.zeros_like(weights)
    weights[diagonal] += RIDGE * mean
    weights = inverted(weights)
    weights /= -weights[diagonal][:, None]  # the inverse is symmetric: its columns are its rows
    weights[diagonal] = 0.0
    return weights


def inverted(matrix: Values, few: int = FEW) -> Values:
    """Invert a symmetric, positive definite matrix, which is overwritten.

    One of more than ``few`` rows in place: half the operations and a sixth of the memory.
    """
    if len(matrix) <= few:
        factor = scipy.linalg.cho_factor(matrix, lower=True, overwrite_a=True)
        solved: Values = scipy.linalg.cho_solve(factor, np.eye(len(matrix)))
        return solved
    in_columns = matrix.T  # the same matrix, as LAPACK lays it out
    factor, failed = scipy.linalg.lapack.dpotrf(in_columns, lower=1, clean=0, overwrite_a=1)
    inverse: Values
    inverse, failed_too = scipy.linalg.lapack.dpotri(factor, lower=1, overwrite_c=1)
    if failed or failed_too:
        raise FeatureError(
            "The matrix of EASE cannot be inverted.",
            expected="finite signals, which with a ridge on the diagonal give a positive definite matrix",
            todo="look at the column of the signal in the log",
        )
    for start in range(0, len(matrix), few):
        rows = slice(start, start + few)
        block = np.tril(inverse[rows, rows])
        inverse[rows, rows] = block + np.tril(block, -1).T
        inverse[rows, start + few :] = inverse[start + few :, rows].T
    return inverse


def gram(cells: Sparse, *, dense_is_faster: float = 30, chunk_cells: int = CHUNK_CELLS) -> Values:
    """X'X (n_entities, n_entities), summed over chunks of users: dense ones where they have many cells.

    ``dense_is_faster``: how many times as fast a dense product is, by measurement. ``chunk_cells``: of a dense chunk.
    """
    n_entities = cells.shape[1]
    total = np.zeros((n_entities, n_entities))
    n_users = max(chunk_cells // max(n_entities, 1), 1)
    for start in range(0, cells.shape[0], n_users):
        chunk = cells[start : start + n_users]
        n_products = (np.diff(chunk.indptr).astype(np.float64) ** 2).sum()
        if n_products * dense_is_faster > chunk.shape[0] * n_entities**2:
            dense = chunk.toarray()
            total += dense.T @ dense
        else:
            total += (chunk.T @ chunk).toarray()
    return total
