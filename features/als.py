"""Scores of implicit ALS (Hu, Koren, Volinsky 2008) on several signals, and the norms of its vectors.

Vectors of different windows live in different spaces, so trees are given dot products and norms, never vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from implicit.als import AlternatingLeastSquares

from features import Column, Window, fitted
from features.toolkit import LIKES, Values, codes, cosines, dots, fond_of, reads_of, signal_matrix

FACTORS, FACTORS_OF_SOURCE, ALPHA = 24, 12, 5.0
SEED = 20_240_611
MOST_STEPS, FEWEST_STEPS = 12, 4
WORK = 24_000_000  # rows x steps: on large logs the vectors settle in fewer steps
_SIGNALS = {
    "like": LIKES,
    "exposure": pl.col("relevance").is_not_null().cast(pl.Float32),
    "opinion": pl.col("relevance").cast(pl.Float32),
}


@fitted(
    columns={
        "als_score": Column(
            pl.Float32,
            "Dot product of the ALS vectors of user and item; null if either is without the signal.",
        ),
        "als_user_norm": Column(
            pl.Float32, "Length of the user's ALS vector; null for a user without the signal."
        ),
        "als_item_norm": Column(
            pl.Float32, "Length of the item's ALS vector; null for an item without the signal."
        ),
    },
    needs=["user_id", "item_id", "relevance"],
    variants={name: {"signal": name} for name in _SIGNALS},
)
class Als:
    """Implicit ALS on one signal: score, norms."""

    def __init__(self, signal: str) -> None:
        self.signal = signal

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Factorise the users x items matrix of summed signals; a negative sum is a confident zero.

        At most the newest ``MAX_ROWS`` rows with the signal count, in 4 to 12 steps (see ``n_steps``).
        """
        weights = signal_matrix(history, _SIGNALS[self.signal])
        self.users, self.items, cells = weights.users, weights.items, weights.cells
        model = AlternatingLeastSquares(
            factors=FACTORS,
            regularization=1.0,
            alpha=1.0,  # is in the matrix already: implicit would multiply a copy
            iterations=n_steps(cells.nnz),
            num_threads=1,
            random_state=SEED,
        )
        if cells.nnz:
            cells.data *= np.float32(ALPHA)
            model.fit(cells, show_progress=False)
        self.user_vectors = _with_missing(model.user_factors, len(self.users))
        self.item_vectors = _with_missing(model.item_factors, len(self.items))

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Values]:
        """Score each pair by itself: a row-wise product, so that one pair gives what all give."""
        user = self.user_vectors[codes(pairs["user_id"], self.users)]
        item = self.item_vectors[codes(pairs["item_id"], self.items)]
        return {
            "als_score": (user * item).sum(axis=1),
            "als_user_norm": np.sqrt((user * user).sum(axis=1)),
            "als_item_norm": np.sqrt((item * item).sum(axis=1)),
        }


@fitted(
    columns={
        "als_source_score": Column(
            pl.Float32,
            "Dot product of the ALS vectors of user and source; null if either is without the signal.",
        ),
        "als_source_cosine": Column(
            pl.Float32,
            "Cosine of the ALS vectors of user and source; null if either is without the signal.",
            range=(-1, 1),
        ),
    },
    needs=lambda signal: ["user_id", "item_id", "source_id", *reads_of(signal)],
    variants={name: {"signal": name} for name in ("like", "watch")},
)
class SourceAls:
    """Implicit ALS over sources: those that the user likes, or watches for longer than others do."""

    def __init__(self, signal: str) -> None:
        self.signal = signal

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Factorise users x sources; bounds as for items."""
        seen = fond_of(history, self.signal, "source_id")
        self.users, self.sources = seen.users, seen.items
        model = AlternatingLeastSquares(
            factors=FACTORS_OF_SOURCE,
            regularization=1.0,
            alpha=ALPHA,
            iterations=n_steps(seen.cells.nnz),
            num_threads=1,
            random_state=SEED,
        )
        if seen.cells.nnz:
            model.fit(seen.cells, show_progress=False)
        self.user_vectors = _with_missing(model.user_factors, len(self.users), FACTORS_OF_SOURCE)
        self.source_vectors = _with_missing(model.item_factors, len(self.sources), FACTORS_OF_SOURCE)

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Values]:
        """Score each pair by itself."""
        user = self.user_vectors[codes(pairs["user_id"], self.users)]
        source = self.source_vectors[codes(pairs["source_id"], self.sources)]
        return {"als_source_score": dots(user, source), "als_source_cosine": cosines(user, source)}


def n_steps(n_cells: int) -> int:
    """Number of alternating steps for a matrix of so many cells.

    >>> n_steps(100_000), n_steps(4_000_000), n_steps(20_000_000)
    (12, 6, 4)
    """
    return min(MOST_STEPS, max(FEWEST_STEPS, WORK // max(n_cells, 1)))


def _with_missing(vectors: Any, n: int, n_factors: int = FACTORS) -> npt.NDArray[np.float64]:
    """Add a row of NaN behind the vectors: where unseen keys point to."""
    table = np.full((n + 1, n_factors), np.nan)
    if n:
        table[:n] = np.asarray(vectors)[:n]
    return table
