"""Vectors: of items as the history and the pairs have them, of keys as a model learned them, compared row by row.

Products are taken row by row, not as one product of matrices, whose rounding depends on how many rows there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from features._declare import FeatureError
from features.toolkit.gaussian import Floats
from features.toolkit.positions import Values, Vectors, codes

_FEW = 2_048  # rows that are multiplied at a time


@dataclass(frozen=True)
class Embeddings:
    """Vectors by key (n_keys + 1, n_factors), the last of which is that of all unseen keys.

    >>> embeddings(pl.Series([5, 7]), np.array([[1.0], [2.0]]), 1)[pl.Series([7, 6])].tolist()
    [[2.0], [nan]]
    """

    keys: pl.Series
    vectors: Vectors

    def __getitem__(self, keys: pl.Series) -> Vectors:
        """Look up keys (n,): their vectors (n, n_factors)."""
        return self.vectors[codes(keys, self.keys)]


def embeddings(keys: pl.Series, vectors: npt.NDArray[np.floating] | None, n_factors: int) -> Embeddings:
    """Store the vectors (n_keys, n_factors) of keys; NaN for unseen ones. Without keys there may be no vectors."""
    table = np.full((len(keys) + 1, n_factors), np.nan)
    if len(keys):
        table[:-1] = vectors
    return Embeddings(keys, table)


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


def dots(a: Vectors, b: Vectors) -> Values:
    """Row-wise dot products of (n, n_factors) each: Float64 (n,)."""
    product: Values = (a * b).sum(axis=1)
    return product


def lengths(vectors: Vectors) -> Values:
    """Length of each row: Float64 (n,); 0 for an unknown vector."""
    found: Values = np.sqrt(dots(vectors, vectors))
    return found


def cosines(a: Vectors, b: Vectors) -> Values:
    """Row-wise cosines: Float64 (n,), NaN where a vector is zero or missing."""
    norms = np.sqrt(dots(a, a) * dots(b, b))
    cosine = np.divide(dots(a, b), norms, out=np.full(len(norms), np.nan), where=norms > 1e-12)
    clipped: Values = np.clip(cosine, -1.0, 1.0)
    return clipped


def unit(vectors: Vectors) -> npt.NDArray[np.float32]:
    """Rows of length 1 as Float32; zeros stay zeros."""
    length = lengths(vectors)[:, None]
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0).astype(np.float32)


def vector_column(vectors: Vectors) -> pl.Series:
    """Vectors (n, dim) as a column of arrays, Float32; null where one is not finite.

    >>> vector_column(np.array([[1.0, 2.0], [np.nan, np.nan]])).to_list()
    [[1.0, 2.0], None]
    """
    column = pl.Series("vector", vectors.astype(np.float32), dtype=pl.Array(pl.Float32, vectors.shape[1]))
    is_known = pl.Series(np.isfinite(vectors).all(axis=1))
    return column.to_frame().select(pl.when(is_known).then("vector"))["vector"]


def multiplied(vectors: Floats, weights: Floats) -> Floats:
    """Multiply vectors (n, dim) by weights (units, dim) in an order that is the same for one and for many.

    A product of matrices rounds differently with the number of rows.
    """
    found = np.zeros((len(vectors), len(weights)), dtype=np.float32)
    for first in range(0, len(vectors), _FEW):
        some = slice(first, first + _FEW)
        for one in range(vectors.shape[1]):
            found[some] += vectors[some, one, None] * weights[:, one]
    return found
