"""A competition's metric applied to a frame of scored pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from competitions import Metric
from engine import ConfigError, DataError, did_you_mean
from validation._metric import FloatArray, GroupValues, IntArray, MetricFunction, get_metric


def evaluate(metric: Metric, frame: pl.DataFrame, *, group: Sequence[str], score: str = "score") -> float:
    """Value of a metric on scored pairs, in any row order; NaN if no group counts (an empty frame, say).

    Besides the metric's own policy every metric takes ``missing``: ``"error"`` (default) raises DataError for a
    null or NaN score; ``"lowest"``, for ranking metrics, puts those rows below every other row, tied among
    themselves. A null relevance is always a DataError. Columns ``group`` are ignored by metrics over all rows.

    Raises ConfigError for an unknown metric, policy key or policy value.

    >>> frame = pl.DataFrame({"user": [1, 1, 2, 2], "relevance": [1, 0, 1, 0], "score": [0.9, 0.1, 0.5, 0.5]})
    >>> evaluate(Metric("user_auc"), frame, group=["user"])
    0.75
    """
    function, values = _compute(metric, frame, group, score)
    return values.mean(function.power)


def evaluator(metric: Metric, frame: pl.DataFrame, *, group: Sequence[str]) -> Callable[[FloatArray], float]:
    """Return the metric of these rows as a function of their scores, Float64 ``(n_rows,)``: for many scores of them.

    What does not depend on the scores is looked up once; the values are exactly those of ``evaluate``, and so are the
    errors.

    >>> value = evaluator(Metric("user_auc"), pl.DataFrame({"user": [1, 1], "relevance": [1, 0]}), group=["user"])
    >>> value(np.array([0.9, 0.1])), value(np.array([0.5, 0.5]))
    (1.0, 0.5)
    """
    function, policy, missing = _function_and_policy(metric)
    codes, labels = _codes(function, frame, group), _numbers(frame, "relevance")
    prepared = function.prepare(codes, labels, **policy) if function.prepare else None

    def value(score: FloatArray) -> float:
        scores = _fill_missing(score, missing, function)
        if prepared is None or np.isnan(scores).any():  # the metric itself says what is wrong with a NaN
            return function.compute(codes, labels, scores, **policy).mean(function.power)
        return prepared(scores).mean(function.power)

    return value


def evaluate_by_group(metric: Metric, frame: pl.DataFrame, *, group: Sequence[str]) -> pl.DataFrame:
    """Value of a metric in each group, sorted by the group columns; arguments and errors as in ``evaluate``.

    Returns the group columns, ``value`` Float64 (null: the policy leaves the group out) and ``weight`` Float64 (0
    there). ``sum(value * weight) / sum(weight)`` is what ``evaluate`` returns. A metric over all rows (log loss,
    RMSE, global AUC) has one group: one row whose group columns are null.

    >>> frame = pl.DataFrame({"user": [1, 1, 2], "relevance": [1, 0, 1], "score": [0.9, 0.1, 0.5]})
    >>> evaluate_by_group(Metric("user_auc"), frame, group=["user"]).rows()
    [(1, 1.0, 1.0), (2, None, 0.0)]
    """
    function, values = _compute(metric, frame, group, "score")
    if function.scope == "group":
        codes = pl.Series("__code", group_codes(frame, group))
        keys = (
            frame.select(group).with_columns(codes).unique("__code", keep="any").sort("__code").drop("__code")
        )
        # Codes follow the columns' own order, so that of the values is the order of the keys.
        if not np.array_equal(values.group, codes.unique().sort()):
            raise DataError(
                f"Metric {metric.name} gave other groups than it got.", expected="one value for each"
            )
    else:
        keys = frame.select(group).clear(n=len(values.group))
    return keys.with_columns(
        pl.Series("value", values.value, dtype=pl.Float64).fill_nan(None), pl.Series("weight", values.weight)
    )


@dataclass(frozen=True)
class ScoredRows:
    """Rows of one score column, ready for a metric: Float64 ``(n_rows,)`` both, missing scores filled."""

    function: MetricFunction
    policy: Mapping[str, Any]
    relevance: FloatArray
    score: FloatArray

    def values(self, codes: IntArray, rows: IntArray | None = None) -> GroupValues:
        """Compute the metric, given each row's group code; of ``rows`` only, if given (with repetitions)."""
        chosen = slice(None) if rows is None else rows
        return self.function.compute(codes, self.relevance[chosen], self.score[chosen], **self.policy)


def scored_rows(metric: Metric, frame: pl.DataFrame, score: str) -> ScoredRows:
    """Take the columns that a metric needs."""
    function, policy, missing = _function_and_policy(metric)
    labels, scores = _numbers(frame, "relevance"), _numbers(frame, score)
    return ScoredRows(function, policy, labels, _fill_missing(scores, missing, function))


def _function_and_policy(metric: Metric) -> tuple[MetricFunction, dict[str, Any], object]:
    """Find the metric, and split what is for every metric (``missing``) off its policy."""
    function = get_metric(metric.name)
    policy = dict(metric.policy)
    missing = policy.pop("missing", "error")
    unknown = sorted(set(policy) - set(function.policy))
    if unknown:
        known = [*function.policy, "missing"]
        raise ConfigError(
            f"Metric {metric.name} has no policy {unknown[0]!r}.{did_you_mean(unknown[0], known)}",
            expected=f"one of {', '.join(known)}",
        )
    return function, policy, missing


def _compute(
    metric: Metric, frame: pl.DataFrame, group: Sequence[str], score: str
) -> tuple[MetricFunction, GroupValues]:
    codes = _codes(get_metric(metric.name), frame, group)
    rows = scored_rows(metric, frame, score)
    return rows.function, rows.values(codes)


def _codes(function: MetricFunction, frame: pl.DataFrame, group: Sequence[str]) -> IntArray:
    """Code of each row's group; one for all where the metric is over all rows."""
    return group_codes(frame, group) if function.scope == "group" else np.zeros(len(frame), dtype=np.int64)


def group_codes(frame: pl.DataFrame, group: Sequence[str]) -> IntArray:
    """One integer a row, equal for rows of the same group, in the order of the group columns (null first).

    Codes of several columns are packed into one number, and made dense only where they would not fit.
    """
    if not group:
        raise ConfigError(
            "No group column is given.", expected="the columns that make a group, e.g. window and user"
        )
    packed, span = np.zeros(len(frame), dtype=np.int64), 1
    for name in group:
        codes = _column_codes(column_of(frame, name))
        n_codes = int(codes.max(initial=0)) + 1
        if span * n_codes >= 2**40:
            packed = _dense(pl.Series(packed))
            span = int(packed.max(initial=0)) + 1
        packed = packed * n_codes + codes
        span *= n_codes
    return packed


def _column_codes(column: pl.Series) -> IntArray:
    """Codes from 0 up, null is 0. Integers of a small range are taken as they are, others by their dense rank."""
    if column.dtype.is_integer() and len(column) > column.null_count():
        low, high = int(column.min()), int(column.max())  # type: ignore[arg-type]
        if low > -(2**62) and high < 2**62 and high - low < 2**31:
            return (column.cast(pl.Int64) - (low - 1)).fill_null(0).to_numpy()
    return _dense(column)


def _dense(column: pl.Series) -> IntArray:
    return column.rank("dense").cast(pl.Int64).fill_null(0).to_numpy()


def _fill_missing(scores: FloatArray, missing: object, function: MetricFunction) -> FloatArray:
    if missing == "error":
        return scores
    if missing != "lowest":
        raise ConfigError(
            f"Metric {function.name} does not know missing={missing!r}.", expected="'error' or 'lowest'"
        )
    if function.scope == "pooled":
        raise ConfigError(
            f"missing='lowest' has no meaning for {function.name}: it needs the scores themselves, not their order.",
            expected="missing='error'",
        )
    is_missing = np.isnan(scores)
    if not is_missing.any():
        return scores
    # Shrinking the others off minus infinity keeps a given -inf above a missing score.
    return np.where(is_missing, -np.inf, np.maximum(scores, np.finfo(np.float64).min))


def _numbers(frame: pl.DataFrame, name: str) -> FloatArray:
    column = column_of(frame, name)
    if not (column.dtype.is_numeric() or column.dtype == pl.Boolean or column.dtype == pl.Null):
        raise DataError(f"Column {name!r} is {column.dtype}.", expected="a number")
    return column.cast(pl.Float64).to_numpy()


def column_of(frame: pl.DataFrame, name: str) -> pl.Series:
    """Return a column; DataError names the nearest one if there is none of that name."""
    if name not in frame.columns:
        raise DataError(
            f"There is no column {name!r} in the scored pairs.{did_you_mean(name, frame.columns)}",
            expected=f"one of {', '.join(frame.columns)}",
        )
    return frame[name]
