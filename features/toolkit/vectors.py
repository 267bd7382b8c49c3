"""Vectors: content vectors of items read from the history and from pairs, and vectors compared row by row.

Products are taken row by row, not as one product of matrices, whose rounding depends on how many rows there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from features._declare import FeatureError

Vectors = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ItemVectors:
    """Items of the history, sorted, and their content vectors (n_items, n_dimensions); zeros where unknown."""

    items: pl.Series
    sources: pl.Series
    vectors: Vectors


def item_vectors(history: pl.LazyFrame) -> ItemVectors:
    """Read the vector and the source of each item of the history, from the item's newest row.

    The vectors lie in the items' table and are joined to every row. So first one row of each item is chosen, and then
    only those are joined: nothing of the size of log times vector is held.
    """
    newest = history.group_by("item_id").agg(pl.col("row").max()).collect(engine="streaming")
    chosen = history.filter(pl.col("row").is_in(newest["row"].implode()))
    known = chosen.select("item_id", "source_id", "content").drop_nulls("item_id")
    table = known.collect(engine="streaming").sort("item_id")
    return ItemVectors(table["item_id"], table["source_id"], as_vectors(table["content"]))


def as_vectors(content: pl.Series) -> Vectors:
    """Give the rows of a column of arrays of floats as Float64 (n_rows, n_dimensions).

    A null and a vector that is not finite throughout are zeros: their direction is not known. Raises FeatureError for
    a column of another dtype.

    >>> as_vectors(pl.Series([[3.0, 4.0], None, [1.0, float("nan")]], dtype=pl.Array(pl.Float32, 2))).tolist()
    [[3.0, 4.0], [0.0, 0.0], [0.0, 0.0]]
    """
    dtype = content.dtype
    if not isinstance(dtype, pl.Array) or len(dtype.shape) != 1 or not dtype.inner.is_float():
        raise FeatureError(
            f"The content vectors are {dtype}.",
            expected="arrays of floats, all of one width: pl.Array(pl.Float32, 32)",
            todo="declare the column so in the competition's file",
        )
    vectors = np.empty((len(content), dtype.size))
    for at in range(dtype.size):
        vectors[:, at] = content.arr.get(at).cast(pl.Float64).fill_null(np.nan).to_numpy()
    vectors[~np.isfinite(vectors).all(axis=1)] = 0.0
    return vectors


def lengths(vectors: Vectors) -> npt.NDArray[np.float64]:
    """Length of each row; 0 for an unknown vector."""
    found: npt.NDArray[np.float64] = np.sqrt((vectors * vectors).sum(axis=1))
    return found


def unit(vectors: Vectors) -> npt.NDArray[np.float32]:
    """Rows of length 1 as Float32; zeros stay zeros."""
    length = lengths(vectors)[:, None]
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0).astype(np.float32)


def with_missing(vectors: Vectors) -> Vectors:
    """Add a row of NaN behind the vectors: where unseen keys point to."""
    return np.vstack([vectors, np.full((1, vectors.shape[1]), np.nan)])


def dots(a: Vectors, b: Vectors) -> Vectors:
    """Row-wise dot products of (n, n_factors) each: Float64 (n,), no matrix product, so other rows cannot matter."""
    product: Vectors = (a * b).sum(axis=1)
    return product


def cosines(a: Vectors, b: Vectors) -> Vectors:
    """Row-wise cosines, NaN where a vector is zero or missing."""
    norms = np.sqrt(dots(a, a) * dots(b, b))
    cosine = np.divide(dots(a, b), norms, out=np.full(len(norms), np.nan), where=norms > 1e-12)
    clipped: Vectors = np.clip(cosine, -1.0, 1.0)
    return clipped
