"""How far a feature moves from train to test, and how well it ranks on its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl

from competitions import Metric
from engine import ConfigError, DataError
from validation._evaluate import column_of, evaluate
from validation._metric import FloatArray, IntArray

Direction = Literal["higher", "lower"]

# A bin that is empty on one side would make the index infinite; this share is the usual floor.
LEAST_SHARE = 1e-4


def psi(train: pl.Series, test: pl.Series, n_bins: int = 10) -> float:
    """Population stability index of a feature: ``sum over bins of (q - p) * ln(q / p)``.

    ``p`` and ``q`` are the shares of a bin's rows in train and in test, each taken as at least 1e-4. Numbers, dates
    and durations are cut at the ``n_bins`` quantiles of train; a value so frequent that several quantiles fall on
    it is a bin of its own. For Boolean, Enum, Categorical and String each value is a bin. Null and NaN are one bin.
    By custom below 0.1 is stable and above 0.25 is a shift (Siddiqi 2006, "Credit Risk Scorecards", chapter 8).

    Returns NaN if train or test has no row. Raises DataError if the dtypes differ, or have no order and no
    categories; ConfigError for fewer than two bins.

    Half of train, a quarter of test: (1/4 - 1/2) ln(1/2) + (3/4 - 1/2) ln(3/2) = ln(3) / 4.

    >>> round(psi(pl.Series([True, False]), pl.Series([True, False, False, False])), 4)
    0.2747
    >>> psi(pl.Series([1, 2, 3, None]), pl.Series([None, 3, 2, 1]))
    0.0
    """
    if n_bins < 2:
        raise ConfigError(f"n_bins is {n_bins}.", expected="at least 2")
    if train.dtype != test.dtype:
        raise DataError(
            f"Feature {train.name!r} is {train.dtype} in train and {test.dtype} in test.",
            expected="one dtype",
        )
    if len(train) == 0 or len(test) == 0:
        return float("nan")
    train_bin, test_bin = (
        _categories(train, test) if _is_categorical(train) else _quantiles(train, test, n_bins)
    )
    n_codes = int(max(train_bin.max(), test_bin.max())) + 1
    p, q = (np.bincount(b, minlength=n_codes) / len(b) for b in (train_bin, test_bin))
    p, q = np.maximum(p, LEAST_SHARE), np.maximum(q, LEAST_SHARE)
    return float(((q - p) * np.log(q / p)).sum())


@dataclass(frozen=True)
class SingleFeatureScore:
    """Metric of one feature taken as the score.

    ``value``: in the better direction; NaN if no group counts. ``direction``: ``higher`` if larger values of the
    feature are ranked first, else ``lower``.
    """

    value: float
    direction: Direction


def single_feature_score(
    metric: Metric,
    frame: pl.DataFrame,
    feature: str,
    group: Sequence[str],
    *,
    direction: Direction | None = None,
) -> SingleFeatureScore:
    """Score the pairs by one feature alone, rising and falling, and keep what the metric likes better.

    Rows whose feature is null or NaN are ranked last in both directions. ``direction``: score in this one only.
    Raises DataError for a feature without an order (Enum, String, List) and ConfigError for a metric that needs
    probabilities or predictions (log loss, RMSE).

    >>> frame = pl.DataFrame({"user": [1, 1, 1], "relevance": [1, 0, 0], "price": [2.0, 5.0, None]})
    >>> single_feature_score(Metric("user_auc"), frame, "price", ["user"])
    SingleFeatureScore(value=1.0, direction='lower')
    """
    lenient = replace(metric, policy={**metric.policy, "missing": "lowest"})
    values = pl.Series("score", _as_numbers(column_of(frame, feature)))
    rows = frame.select(*group, "relevance")

    def scored(toward: Direction) -> SingleFeatureScore:
        score = values if toward == "higher" else -values
        value = evaluate(lenient, rows.with_columns(score), group=group)
        return SingleFeatureScore(value, toward)

    if direction is not None:
        return scored(direction)
    higher, lower = scored("higher"), scored("lower")
    prefers_lower = lower.value > higher.value if metric.greater_is_better else lower.value < higher.value
    return lower if prefers_lower else higher


def _is_categorical(column: pl.Series) -> bool:
    return column.dtype in (pl.Boolean, pl.String) or isinstance(column.dtype, pl.Enum | pl.Categorical)


def _as_numbers(column: pl.Series) -> FloatArray:
    """Values as Float64, null as NaN. Dates and durations are their number of units."""
    if not (column.dtype.is_numeric() or column.dtype.is_temporal() or column.dtype in (pl.Boolean, pl.Null)):
        raise DataError(
            f"Feature {column.name!r} is {column.dtype}, which has no order.", expected="a number"
        )
    return column.to_physical().cast(pl.Float64).to_numpy()


def _quantiles(train: pl.Series, test: pl.Series, n_bins: int) -> tuple[IntArray, IntArray]:
    """Bins of both columns by the quantiles of train; bin 0 is null."""
    numbers, others = _as_numbers(train), _as_numbers(test)
    known = numbers[~np.isnan(numbers)]
    shares = np.arange(1, n_bins) / n_bins
    edges, n_quantiles = np.unique(
        np.quantile(known, shares, method="inverted_cdf") if len(known) else known, return_counts=True
    )
    frequent = edges[n_quantiles > 1]

    def bins(x: FloatArray) -> IntArray:
        # A bin reaches up to its edge, edge included; a frequent value is also cut off from what lies below it.
        above = np.searchsorted(edges, x, side="left") + np.searchsorted(frequent, x, side="right")
        return np.where(np.isnan(x), 0, above + 1)

    return bins(numbers), bins(others)


def _categories(train: pl.Series, test: pl.Series) -> tuple[IntArray, IntArray]:
    """Bins of both columns by value; bin 0 is null."""
    both = pl.concat([train.cast(pl.String), test.rename(train.name).cast(pl.String)])
    codes = both.rank("dense").cast(pl.Int64).fill_null(0).to_numpy()
    return codes[: len(train)], codes[len(train) :]
