"""Statistics of a feature column that need no model: its own score, distribution, rank correlation, cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, isnan
from typing import Any, Literal

import numpy as np
import polars as pl

from competitions import Competition
from engine import Store
from features._catalogue import Catalogue
from features._storage import column_recipes
from validation import SingleFeatureScore, Window, get_metric, single_feature_score

Direction = Literal["higher", "lower"]


def has_order(dtype: pl.DataType) -> bool:
    """Tell whether values can be ranked: numbers, Booleans, dates and durations; not categories, not arrays."""
    return dtype.is_numeric() or dtype.is_temporal() or dtype == pl.Boolean


def has_values(dtype: pl.DataType) -> bool:
    """Tell whether values can be compared and counted one by one: what has an order, and categories; not arrays."""
    return has_order(dtype) or dtype == pl.String or isinstance(dtype, pl.Enum | pl.Categorical)


def own_score(
    competition: Competition, rows: pl.DataFrame, column: str, direction: Direction | None = None
) -> SingleFeatureScore | None:
    """Score labelled pairs by one column alone with the competition's metric, in the better direction.

    One direction for all rows: the better one of each window would flatter noise. None for a column without an order
    (Enum, arrays), for a metric that needs predictions rather than an order, and where no group counts.

    Parameters
    ----------
    rows
        Pairs of one or more windows: ``window``, the user, ``relevance`` and the column, in any order.
    direction
        Score in this direction only.
    """
    metric = competition.metric
    if rows.is_empty() or not has_order(rows.schema[column]) or get_metric(metric.name).scope == "pooled":
        return None
    found = single_feature_score(
        metric, rows, column, group=("window", competition.user), direction=direction
    )
    return None if isnan(found.value) else found


def stored_seconds(
    catalogue: Catalogue, windows: Sequence[Window], names: Iterable[str], store: Store
) -> dict[str, float | None]:
    """Cost of each column over all windows, when it was computed last; None if a window's is not known."""
    names = tuple(names)
    recipes = [column_recipes(catalogue, window, names) for window in windows]
    costs = {name: [store.seconds(of_window[name]) for of_window in recipes] for name in names}
    return {
        name: None if None in cost else sum(s for s in cost if s is not None) for name, cost in costs.items()
    }


def rank_correlation(a: pl.Series, b: pl.Series) -> float | None:
    """Spearman's rank correlation over the rows where both have a value, ties averaged.

    None if fewer than two such rows are left, if either is constant on them, or has no order.

    >>> rank_correlation(pl.Series([1, 2, 3, None]), pl.Series([10.0, 40.0, 90.0, 0.0]))
    1.0
    """
    if not (has_order(a.dtype) and has_order(b.dtype)):
        return None
    x, y = (series.to_physical().cast(pl.Float64) for series in (a, b))
    found: float = pl.select(pl.corr(x, y, method="spearman")).item()
    return None if isnan(found) else found


def quantile_values(column: pl.Series, shares: Sequence[float]) -> tuple[Any, ...]:
    """Take the smallest known values that at least these shares of the known rows do not exceed.

    They are values of the column, of its own type; empty for a column without an order or without a value. Also known
    as the inverted distribution function (definition 1 of Hyndman and Fan, 1996).

    >>> quantile_values(pl.Series([30, 10, None, 20, 40]), [0, 0.5, 1])
    (10, 20, 40)
    """
    known = column.drop_nulls().sort() if has_order(column.dtype) else column.clear()
    n = len(known)
    return tuple(known[min(max(ceil(share * n) - 1, 0), n - 1)] for share in shares) if n else ()


def bin_edges(column: pl.Series, n_bins: int = 24) -> list[float]:
    """Cut the middle 98 % of the known numbers into bins of one width: ``n_bins - 1`` inner edges, ascending.

    Empty if the column is constant there. The first and the last bin take what lies outside.
    """
    low, high = (
        float(x) for x in quantile_values(column.to_physical().cast(pl.Float64), [0.01, 0.99]) or (0, 0)
    )
    return [] if low == high else np.linspace(low, high, n_bins + 1)[1:-1].tolist()


def binned_shares(column: pl.Series, edges: Sequence[float]) -> list[float]:
    """Share of the known rows in each bin (``len(edges) + 1`` of them); an edge belongs to the bin below it."""
    known = column.drop_nulls().to_physical().cast(pl.Float64).to_numpy()
    counts = np.bincount(np.searchsorted(np.asarray(edges), known, side="left"), minlength=len(edges) + 1)
    return [float(count) / max(len(known), 1) for count in counts]
