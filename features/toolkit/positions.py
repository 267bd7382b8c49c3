"""Positions of keys in a sorted list of known ones, and runs of entries that fit into memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy

Values = npt.NDArray[np.float64]  # one a row or a key
Vectors = npt.NDArray[np.float64]  # a row each: (n, n_factors)
Positions = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]  # positions in 4 bytes each
Sparse: TypeAlias = "scipy.sparse.csr_matrix"  # scipy imports it when it is first asked for

_CHUNK = 1_000_000  # values that are looked up at a time


def codes(values: pl.Series, known: pl.Series) -> npt.NDArray[np.intp]:
    """Give the position of each value in ``known`` (unique); ``len(known)`` for values that are not in it.

    >>> codes(pl.Series([7, 5, 6]), pl.Series([5, 7])).tolist()
    [1, 0, 2]
    """
    index = pl.DataFrame({"value": known, "code": np.arange(len(known))}, schema_overrides={"code": pl.Int64})
    found = pl.DataFrame({"value": values}).join(
        index, on="value", how="left", validate="m:1", maintain_order="left"
    )["code"]
    return found.fill_null(len(known)).to_numpy().astype(np.intp)


def places(values: pl.Series, known: pl.Series) -> Codes:
    """Positions of the values in ``known`` as ``codes`` gives them, but in 4 bytes each: Int32 (n,)."""
    found = np.empty(len(values), dtype=np.int32)
    for start in range(0, len(values), _CHUNK):
        found[start : start + _CHUNK] = codes(values.slice(start, _CHUNK), known)
    return found


def chunks(counts: npt.NDArray[np.integer], most: int) -> Iterator[slice]:
    """Cut entries that cost so much each into runs that cost at most ``most``, but of at least one entry.

    >>> [(s.start, s.stop) for s in chunks(np.array([2, 2, 9, 1]), 4)]
    [(0, 2), (2, 3), (3, 4)]
    """
    ends = np.cumsum(counts)
    first = 0
    while first < len(counts):
        spent = ends[first - 1] if first else 0
        last = max(int(np.searchsorted(ends, spent + most, side="right")), first + 1)
        yield slice(first, last)
        first = last
