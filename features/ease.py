"""EASE (Steck 2019): what a linear autoencoder makes of a user's other sources (or items), in closed form."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_matrix

from features import Column, Window, fitted
from features.toolkit import certain, chunks, codes, reads_of, residuals

Values = npt.NDArray[np.float64]

RIDGE = 20.0  # times the mean of the diagonal
MAX_ENTITIES = (
    4_000  # the most frequent ones: the closed form takes their cube in time, 48 bytes a square in memory
)
DENSE_IS_FASTER = 30  # times as fast a product, by measurement
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
    needs=lambda entity, signal: ["user_id", "item_id", entity, *reads_of(signal)],
    variants={
        "source_watch": {"entity": "source_id", "signal": "watch"},
        "item_rating": {"entity": "item_id", "signal": "rating"},
    },
)
class Ease:
    """EASE on certainty-weighted residuals of one signal."""

    def __init__(self, entity: str, signal: str) -> None:
        self.entity, self.signal = entity, signal

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Solve for the weights between entities.

        Bounds: the newest ``signals.MAX_ROWS`` rows with the signal; the ``MAX_ENTITIES`` entities with most users, the
        others are unseen.
        """
        seen = residuals(history, self.signal, self.entity)
        total, count = seen.by_entity()
        cells = certain(total, count)
        n_users = np.bincount(cells.indices, minlength=cells.shape[1])
        kept = np.sort(np.argsort(-n_users, kind="stable")[:MAX_ENTITIES])
        self.users, self.entities = seen.users, seen.entities.gather(kept)
        cells = csr_matrix(cells[:, kept])
        cells.sort_indices()
        self.cells = csr_matrix(
            (
                cells.data,
                cells.indices,
                np.append(cells.indptr, cells.indptr[-1]),
            ),  # an empty row: unseen users
            shape=(cells.shape[0] + 1, cells.shape[1]),
        )
        self.weights = ease_weights(cells)

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Values]:
        """Score each pair by itself: the user's row times the weights of the entity."""
        user, entity = codes(pairs["user_id"], self.users), codes(pairs[self.entity], self.entities)
        score = np.full(len(user), np.nan)
        known = np.flatnonzero((user < len(self.users)) & (entity < len(self.entities)))
        n_cells = np.diff(self.cells.indptr)
        for part in chunks(n_cells[user[known]] + 1, CHUNK_CELLS):
            at = known[part]
            rows = self.cells[user[at]]
            of_row = np.repeat(np.arange(len(at)), np.diff(rows.indptr))
            products = rows.data * self.weights[entity[at][of_row], rows.indices]
            score[at] = np.bincount(
                of_row, products, len(at)
            )  # in the order of the cells, whatever other rows are
        lengths = _lengths(self.cells.data, np.repeat(np.arange(len(n_cells)), n_cells), len(n_cells))
        wide = np.append(np.sqrt((self.weights**2).sum(axis=1)), 0.0)
        norms = lengths[user] * wide[entity]
        cosine = np.divide(score, norms, out=np.full(len(user), np.nan), where=norms > 1e-12)
        return {"ease_score": score, "ease_cosine": np.clip(cosine, -1.0, 1.0)}


def ease_weights(cells: csr_matrix) -> Values:
    """Solve ``min |X - X B|^2 + ridge |B|^2`` with a diagonal of zeros (Steck 2019, equation 8).

    ``cells``: X, users x entities. Returns B transposed, Float64 (n_entities, n_entities): the weights that predict an
    entity are a row. The ridge is ``RIDGE`` times the mean of the diagonal of X'X.
    """
    gram = _gram(cells)
    diagonal = np.diag_indices_from(gram)
    mean = gram[diagonal].mean() if len(gram) else 0.0
    if mean <= 0:
        return np.zeros_like(gram)
    gram[diagonal] += RIDGE * mean
    inverse: Values = cho_solve(cho_factor(gram, lower=True, overwrite_a=True), np.eye(len(gram)))
    weights: Values = inverse / -inverse[diagonal][:, None]  # symmetric: its columns are its rows
    weights[diagonal] = 0.0
    return weights


def _gram(cells: csr_matrix) -> Values:
    """X'X, summed over slices of users: as a dense product where they have many cells, which is then far faster."""
    n_entities = cells.shape[1]
    gram = np.zeros((n_entities, n_entities))
    n_users = max(CHUNK_CELLS // max(n_entities, 1), 1)
    for start in range(0, cells.shape[0], n_users):
        part = cells[start : start + n_users]
        n_products = (np.diff(part.indptr).astype(np.float64) ** 2).sum()
        if n_products * DENSE_IS_FASTER > part.shape[0] * n_entities**2:
            dense = part.toarray()
            gram += dense.T @ dense
        else:
            gram += (part.T @ part).toarray()
    return gram


def _lengths(values: Values, of: npt.NDArray[np.intp], n: int) -> Values:
    return np.sqrt(np.bincount(of, values**2, n))
