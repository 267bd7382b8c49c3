"""Scores of implicit ALS (Hu, Koren, Volinsky 2008) on several signals, and the norms of its vectors.

Vectors of different windows live in different spaces, so trees are given dot products and norms, never vectors; those
of one window are what a net may start at (``als_user_vector``, ``als_item_vector``).
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
    cosines,
    dots,
    embeddings,
    lengths,
    preferences,
    signal_columns,
    signal_matrix,
    usual,
    vector_column,
)

FACTORS, FACTORS_OF_SOURCE, ALPHA = 24, 12, 5.0
SEED = 20_240_611
MOST_STEPS, FEWEST_STEPS = 12, 4
WORK = 24_000_000  # cells x steps: on large logs the vectors settle in fewer steps
_SIGNALS = {
    "like": (pl.col("relevance") > 0).cast(pl.Float32),
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
    needs=usual("user_id", "item_id", "relevance"),
    variants={name: {"signal": name} for name in _SIGNALS},
)
@dataclass
class Als:
    """Implicit ALS on one signal: score, norms."""

    signal: str

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Factorise the users x items matrix of summed signals; a negative sum is a confident zero.

        Only the newest rows with the signal count (see ``signal_matrix``), in 4 to 12 steps (see ``n_steps``).
        """
        seen = signal_matrix(history, _SIGNALS[self.signal])
        users, items = factorised(seen.cells, FACTORS)
        self.users, self.items = (
            embeddings(seen.users, users, FACTORS),
            embeddings(seen.entities, items, FACTORS),
        )

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Values]:
        """Score each pair by itself: a row-wise product, so that one pair gives what all give."""
        user, item = self.users[pairs["user_id"]], self.items[pairs["item_id"]]
        return {
            "als_score": dots(user, item),
            "als_user_norm": lengths(user),
            "als_item_norm": lengths(item),
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
    null_without="user_id",
    needs=lambda signal: usual("user_id", "item_id", "source_id", *signal_columns(signal)),
    variants={name: {"signal": name} for name in ("like", "watch")},
)
@dataclass
class SourceAls:
    """Implicit ALS over sources: those that the user likes, or watches for longer than others do."""

    signal: str

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Factorise users x sources; bounds as for items."""
        seen = preferences(history, self.signal, "source_id")
        users, sources = factorised(seen.cells, FACTORS_OF_SOURCE)
        self.users = embeddings(seen.users, users, FACTORS_OF_SOURCE)
        self.sources = embeddings(seen.entities, sources, FACTORS_OF_SOURCE)

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Values]:
        """Score each pair by itself."""
        user, source = self.users[pairs["user_id"]], self.sources[pairs["source_id"]]
        return {"als_source_score": dots(user, source), "als_source_cosine": cosines(user, source)}


@fitted(
    columns={
        f"als_{of}_vector": Column(
            pl.Array(pl.Float32, FACTORS), f"ALS vector of the {of} by likes; null without one."
        )
        for of in ("user", "item")
    },
    needs=usual("user_id", "item_id", "relevance"),
)
@dataclass
class AlsVectors:
    """The vectors behind ``als_score__like``, for nets to start at."""

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Factorise as ``Als`` does."""
        seen = signal_matrix(history, _SIGNALS["like"])
        users, items = factorised(seen.cells, FACTORS)
        self.users, self.items = (
            embeddings(seen.users, users, FACTORS),
            embeddings(seen.entities, items, FACTORS),
        )

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, pl.Series]:
        """Look up both of each pair."""
        return {
            "als_user_vector": vector_column(self.users[pairs["user_id"]]),
            "als_item_vector": vector_column(self.items[pairs["item_id"]]),
        }


def factorised(cells: Sparse, n_factors: int) -> tuple[Vectors | None, Vectors | None]:
    """Vectors of the rows and of the columns of a matrix, which is changed: a cell weighs ``ALPHA`` times its value.

    In one thread and with a fixed seed, so that it repeats exactly. None for a matrix without cells.
    """
    from implicit.als import AlternatingLeastSquares

    if not cells.nnz:
        return None, None
    cells.data *= np.float32(ALPHA)  # in place: implicit would multiply a copy
    model = AlternatingLeastSquares(
        factors=n_factors,
        regularization=1.0,
        alpha=1.0,
        iterations=n_steps(cells.nnz),
        num_threads=1,
        random_state=SEED,
    )
    model.fit(cells, show_progress=False)
    return model.user_factors, model.item_factors


def n_steps(n_cells: int) -> int:
    """Number of alternating steps for a matrix of so many cells.

    >>> n_steps(100_000), n_steps(4_000_000), n_steps(20_000_000)
    (12, 6, 4)
    """
    return min(MOST_STEPS, max(FEWEST_STEPS, WORK // max(n_cells, 1)))
