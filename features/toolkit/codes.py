"""Positions of keys in a sorted list of known ones: how fitted features find the row of a user or an item."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl


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
