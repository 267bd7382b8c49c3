"""Scores of implicit ALS (Hu, Koren, Volinsky 2008) on several signals, and the norms of its vectors.

Vectors of different windows live in different spaces, so trees are given dot products and norms, never vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from implicit.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix

from features import Window, codes, fitted
from features.factors import places
from features.svd import as_columns, certain, cosines, dots
from features.toolkit import reads_of, residuals

FACTORS, FACTORS_OF_SOURCE, ALPHA = 24, 12, 5.0
SEED = 20_240_611
MAX_ROWS = 5_000_000  # the newest with the signal: about 45 bytes each at the peak
MOST_STEPS, FEWEST_STEPS = 12, 4
WORK = 24_000_000  # rows x steps: on large logs the vectors settle in fewer steps
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


@fitted(
    columns={"als_source_score": pl.Float32, "als_source_cosine": pl.Float32},
    ranges={"als_source_cosine": (-1, 1)},
    needs=["user_id", "item_id", "source_id", "{reads}"],
    variants={
        "like": {"signal": "like", "reads": ("relevance",)},
        "watch": {"signal": "watch", "reads": reads_of("watch")},
    },
    meanings={
        "als_source_score": "Dot product of the ALS vectors of user and source; null if either is without the signal.",
        "als_source_cosine": "Cosine of the ALS vectors of user and source; null if either is without the signal.",
    },
)
class SourceAls:
    """Implicit ALS over sources: those that the user likes, or watches for longer than others do."""

    def __init__(self, signal: str, reads: tuple[str, ...]) -> None:
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

    def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Score each pair by itself."""
        user = self.user_vectors[codes(pairs["user_id"], self.users)]
        source = self.source_vectors[codes(pairs["source_id"], self.sources)]
        return as_columns(
            pairs, {"als_source_score": dots(user, source), "als_source_cosine": cosines(user, source)}
        )


@dataclass(frozen=True)
class SignalMatrix:
    """Summed signal as users x items, Float32; ``users`` and ``items`` (sorted) are those with a cell that is not 0."""

    users: pl.Series
    items: pl.Series
    cells: csr_matrix


def fond_of(history: pl.LazyFrame, signal: str, entity: str) -> SignalMatrix:
    """Give users x entities with a positive cell where the user is fond of the entity.

    ``like``: number of likes. Other signals (``signals.SIGNALS``): what is above the usual, weighed by its certainty
    (``svd.certain``) and scaled to a mean of 1.
    """
    if signal == "like":
        return signal_matrix(history, _SIGNALS["like"], entity)
    seen = residuals(history, signal, entity)
    cells = certain(*seen.by_entity())
    cells.data = np.maximum(cells.data, 0.0)
    cells.eliminate_zeros()
    if cells.nnz:
        cells.data /= cells.data.mean()
    return _narrowed(seen.users, seen.entities, cells.astype(np.float32))


def signal_matrix(history: pl.LazyFrame, signal: pl.Expr, entity: str = "item_id") -> SignalMatrix:
    """Read the newest rows that have the signal and sum it by (user, item), or by another entity than the item.

    Peak for n rows: as read 12 n bytes, positions 8 n, the matrix by coordinates 12 n and by rows 8 n. Implicit then
    holds it by rows and by columns, 16 n.
    """
    rows = history.select("user_id", entity, signal.alias("weight"))
    rows = rows.drop_nulls().filter(pl.col("weight") != 0).tail(MAX_ROWS)
    read = rows.collect(engine="streaming")
    users, items = read["user_id"].unique().sort(), read[entity].unique().sort()
    places_of = (places(read["user_id"], users), places(read[entity], items))
    cells = csr_matrix((read["weight"].to_numpy(), places_of), shape=(len(users), len(items)))
    cells.eliminate_zeros()
    return _narrowed(users, items, cells)


def _narrowed(users: pl.Series, items: pl.Series, cells: csr_matrix) -> SignalMatrix:
    """Leave out users and items without a cell."""
    has_user = np.diff(cells.indptr) > 0
    has_item = np.bincount(cells.indices, minlength=len(items)) > 0
    if has_user.all() and has_item.all():
        return SignalMatrix(users, items, cells)
    kept = cells[has_user][:, has_item]
    return SignalMatrix(users.filter(pl.Series(has_user)), items.filter(pl.Series(has_item)), kept)


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
