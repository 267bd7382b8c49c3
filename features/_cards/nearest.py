"""Which stored columns rank the pairs like a given one: what a new feature may only repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from engine import Store
from features._catalogue import Catalogue
from features._compute import has_order, rank_correlation
from features._storage import column_recipes, read_column, read_pairs
from validation import Window

Array: TypeAlias = npt.NDArray[np.float64]

N_NEAREST, N_SCREENED = 5, 12
EPSILON = 1e-9  # below it a product of variances is rounding
N_ROWS = 10_000  # compared, evenly spaced over the window's pairs


@dataclass(frozen=True)
class Near:
    """A column and its rank correlation, in [-1, 1], on the pairs where both have a value."""

    name: str
    correlation: float


def nearest(
    catalogue: Catalogue, window: Window, names: Sequence[str], store: Store
) -> tuple[Mapping[str, tuple[Near, ...]], int, int]:
    """Compare columns with every stored column of the window that has an order.

    Returns the ``N_NEAREST`` by absolute rank correlation for each name (none for columns without an order), the number
    of columns that were compared, and the number of those that are not in the store.
    """
    height = read_pairs(catalogue, window, store).height
    step = max(height // N_ROWS, 1)
    ordered = [n for n, column in catalogue.columns.items() if has_order(column.dtype)]
    recipes = column_recipes(catalogue, window, ordered)
    stored = [n for n in ordered if store.find(recipes[n]) is not None]
    columns = {n: read_column(recipes[n], n, store, height).gather_every(step) for n in stored}
    return nearest_of(columns, [n for n in names if n in columns]), len(stored), len(ordered) - len(stored)


def nearest_of(columns: Mapping[str, pl.Series], names: Sequence[str]) -> dict[str, tuple[Near, ...]]:
    """Find the nearest of ``columns`` for each of ``names`` among them.

    All are screened by ranks over their own known rows, which needs one ranking a column; the best ones are then
    compared exactly, on the rows that both know.
    """
    others = list(columns)
    screened = _screened({name: columns[name] for name in names}, columns)
    found = {}
    for name, strengths in zip(names, screened, strict=True):
        best = [others[n] for n in np.argsort(-strengths, kind="stable") if others[n] != name][:N_SCREENED]
        pairs = [(other, rank_correlation(columns[name], columns[other])) for other in best]
        near = [Near(other, value) for other, value in pairs if value is not None]
        found[name] = tuple(sorted(near, key=lambda n: (-abs(n.correlation), n.name))[:N_NEAREST])
    return found


def _screened(own: Mapping[str, pl.Series], others: Mapping[str, pl.Series]) -> Array:
    """Absolute correlations (n_own, n_others) of ranks, each pair on its common rows; 0 where one is constant."""
    if not own:
        return np.zeros((0, len(others)))
    mine = [_ranks(column) for column in own.values()]
    x, known_x = np.stack([m[0] for m in mine]), np.stack([m[1] for m in mine])
    squares = x * x
    result = np.zeros((len(own), len(others)))
    for place, column in enumerate(others.values()):
        y, known_y = _ranks(column)
        n = np.maximum(known_x @ known_y, 1.0)
        sum_x, sum_y = x @ known_y, known_x @ y
        covariance = x @ y - sum_x * sum_y / n
        variance = (squares @ known_y - sum_x**2 / n) * (known_x @ (y * y) - sum_y**2 / n)
        np.divide(
            covariance, np.sqrt(np.maximum(variance, 0.0)), out=result[:, place], where=variance > EPSILON
        )
    return np.abs(result)


def _ranks(column: pl.Series) -> tuple[Array, Array]:
    """Ranks among the known rows, scaled to (0, 1], 0 where null; and 1.0 where known: (n_rows,) each."""
    ranks = column.to_physical().cast(pl.Float64).rank("average") / max(len(column), 1)
    return ranks.fill_null(0.0).to_numpy(), column.is_not_null().cast(pl.Float64).to_numpy()
