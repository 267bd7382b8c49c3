"""What a bundle is asked with: the columns of the pairs of one user, as plain values and as matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from models import graphs

Columns = Mapping[str, Any]  # a value a pair, or one for all of them; of an array its values; null = unknown
Matrices = dict[graphs.Kind, npt.NDArray[Any]]
_NULLS: Mapping[graphs.Kind, Any] = {
    "float32": np.nan,
    "float64": np.nan,
    "int64": graphs.NO_WHOLE_NUMBER,
    "text": graphs.NO_TEXT,
}
_DTYPES: Mapping[graphs.Kind, Any] = {
    "float32": np.float32,
    "float64": np.float64,
    "int64": np.int64,
    "text": object,
}


def columns_of(pairs: pl.DataFrame, inputs: graphs.Inputs, *, compact: bool) -> dict[str, Any]:
    """Write the pairs of a request as plain values. ``compact``: once what is the same for all of them.

    The first column that has a value a pair is not shortened: it tells how many pairs there are.
    """
    columns: dict[str, Any] = {}
    long = next((c.name for c in inputs.columns if c.length is None), "")
    for column in inputs.columns:
        values = graphs.values_of(pairs, column.name)
        if values.dtype.is_float():
            values = values.fill_nan(None)
        if column.length is not None:
            columns[column.name] = values.head(1).to_list()[0]
        elif compact and column.name != long and values.n_unique() == 1:
            columns[column.name] = values[0]
        else:
            columns[column.name] = values.to_list()
    return columns


def n_pairs_of(columns: Columns, inputs: graphs.Inputs) -> int:
    """Number of pairs that columns are of: 1 if every value is given once."""
    lengths = {
        len(columns[c.name])
        for c in inputs.columns
        if c.length is None and isinstance(columns.get(c.name), list)
    }
    if len(lengths) > 1:
        raise graphs.ExportError(
            f"The columns of one request have {' and '.join(map(str, sorted(lengths)))} values.",
            expected="one value a pair in each, or one for all pairs",
        )
    return lengths.pop() if lengths else 1


def matrices_of(columns: Columns, inputs: graphs.Inputs) -> Matrices:
    """Lay columns into the matrices (n_pairs, width) that graphs read; what is not given is null."""
    n = n_pairs_of(columns, inputs)
    found: Matrices = {
        kind: np.full((n, inputs.width(kind)), null, dtype=_DTYPES[kind]) for kind, null in _NULLS.items()
    }
    for column in inputs.columns:
        values = columns.get(column.name)
        if values is None:
            continue
        matrix, null = found[column.kind], _NULLS[column.kind]
        if column.length is not None:
            where = slice(column.position, column.position + column.length)
            matrix[0, where] = [null if v is None else v for v in values]
        else:
            matrix[:, column.position] = _known(values, null)
    return found


def _known(values: Any, null: Any) -> Any:
    return (
        [null if v is None else v for v in values]
        if isinstance(values, Sequence) and not isinstance(values, str)
        else values
    )
