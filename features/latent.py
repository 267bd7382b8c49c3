"""Scores of implicit ALS (Hu, Koren, Volinsky 2008) on several signals, and the norms of its vectors.

Vectors of different windows live in different spaces, so trees are given dot products and norms, never vectors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from implicit.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix

from features import Window, codes, fitted

FACTORS = 24
SEED = 20_240_611
_SIGNALS = {
    "like": (pl.col("relevance") > 0).cast(pl.Float32),
    "exposure": pl.col("relevance").is_not_null().cast(pl.Float32),
    "opinion": pl.col("relevance").cast(pl.Float32),
}


@fitted(
    columns={"als_score": pl.Float32, "als_user_norm": pl.Float32, "als_item_norm": pl.Float32},
    needs=["user_id", "item_id", "relevance"],
    variants={name: {"signal": name} for name in _SIGNALS},
    meanings={
        "als_score": "Dot product of the ALS vectors of user and item; null if either is without the signal.",
        "als_user_norm": "Length of the user's ALS vector; null for a user without the signal.",
        "als_item_norm": "Length of the item's ALS vector; null for an item without the signal.",
    },
)
class Als:
    """Implicit ALS on one signal: score, norms."""

    def __init__(self, signal: str) -> None:
        self.signal = signal

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Factorise the users x items matrix of summed signals; a negative sum is a confident zero."""
        weights = history.group_by("user_id", "item_id").agg(_SIGNALS[self.signal].sum().alias("weight"))
        cells = weights.filter(pl.col("weight") != 0).sort("user_id", "item_id").collect(engine="in-memory")
        self.users, self.items = cells["user_id"].unique().sort(), cells["item_id"].unique().sort()
        rows = codes(cells["user_id"], self.users)
        columns = codes(cells["item_id"], self.items)
        shape = (len(self.users), len(self.items))
        model = AlternatingLeastSquares(
            factors=FACTORS, regularization=1.0, alpha=5.0, iterations=12, num_threads=1, random_state=SEED
        )
        if cells.height:
            model.fit(
                csr_matrix((cells["weight"].to_numpy(), (rows, columns)), shape=shape), show_progress=False
            )
        self.user_vectors = _with_missing(model.user_factors, len(self.users))
        self.item_vectors = _with_missing(model.item_factors, len(self.items))

    def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Score each pair by itself: a row-wise product, so that one pair gives what all give."""
        user = self.user_vectors[codes(pairs["user_id"], self.users)]
        item = self.item_vectors[codes(pairs["item_id"], self.items)]
        columns = {
            "als_score": (user * item).sum(axis=1),
            "als_user_norm": np.sqrt((user * user).sum(axis=1)),
            "als_item_norm": np.sqrt((item * item).sum(axis=1)),
        }
        return pairs.select("pair_id").with_columns(
            pl.Series(name, values, dtype=pl.Float64).fill_nan(None).cast(pl.Float32)
            for name, values in columns.items()
        )


def _with_missing(vectors: Any, n: int) -> npt.NDArray[np.float64]:
    """Add a row of NaN behind the vectors: where unseen keys point to."""
    table = np.full((n + 1, FACTORS), np.nan)
    if n:
        table[:n] = np.asarray(vectors)[:n]
    return table
