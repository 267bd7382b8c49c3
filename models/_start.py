"""What a model starts from: a linear function of one good column, so that it learns only what that one leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from competitions import Metric
from engine import ConfigError, did_you_mean
from models._pair_frame import PairFrame, Scores
from validation import single_feature_score

AUTO = "auto"
_ROWS_TO_CHOOSE = 20_000  # about, that "auto" looks at: whole groups, evenly spread
_N_TRIED = 8  # columns that "auto" values by the metric: those that go best with relevance within groups
_LIMIT = 4.0  # standard deviations beyond which a value is cut

Link = Literal["within groups", "all rows", "pairwise"]


@dataclass(frozen=True)
class Start:
    """``level + slope * (x - mean) / std``, cut at 4 standard deviations; an unknown value counts as the mean.

    ``spread``: standard deviation of these scores on the rows that it was fitted on.
    """

    column: str
    mean: float
    std: float
    slope: float
    level: float = 0.0
    spread: float = 0.0

    def scores(self, values: npt.NDArray[np.floating]) -> Scores:
        """Score values of the column: Float64 (n_pairs,), finite. NaN = unknown."""
        return self.level + self.slope * _scaled(values, self.mean, self.std)


def start_column(train: PairFrame, wanted: str, metric: Metric) -> str:
    """Name the column to start from; empty if there is none.

    Parameters
    ----------
    wanted
        A name, "auto" or "". "auto" is the column that alone has the best metric on the train pairs (some 20,000
        of them, if there are more), in its better direction, of the eight with the highest correlation with relevance
        within groups.

    Raises ConfigError for a name that is no numeric feature of the frame.
    """
    if wanted != AUTO:
        if wanted and wanted not in train.numeric:
            raise ConfigError(
                f"start = {wanted!r} is not among the {len(train.numeric)} numeric features that the model gets."
                + did_you_mean(wanted, train.numeric),
                expected=f'one of them, "{AUTO}" for the best of them, or "" for none',
                todo="correct `start` in the model's table of config.toml, or let features.include select the column",
            )
        return wanted
    if train.table.height == 0 or train.relevance.min() == train.relevance.max():
        return ""
    every = max(1, train.table.height // _ROWS_TO_CHOOSE)
    train = train.take(pl.struct("window", train.user).rle_id() % every == 0)
    groups, y, weight = train.group_ids, train.relevance, train.weight
    ranked: list[tuple[float, str, pl.Series]] = []
    for name in train.numeric:
        column = train.column(name)
        strength = abs(_correlation(numbers_of(column), y, groups, weight))
        if strength > 0:
            ranked = sorted([*ranked, (strength, name, column)], key=lambda r: (-r[0], r[1]))[:_N_TRIED]
    keys = train.table.select("window", train.user, "relevance")
    sign, best = 1.0 if metric.greater_is_better else -1.0, (-np.inf, "")
    for _, name, column in ranked:
        rows = keys.with_columns(column.alias("start"))
        value = sign * single_feature_score(metric, rows, "start", ["window", train.user]).value
        best = max(best, (value, name), key=lambda found: found[0])
    return best[1]


def fit_start(
    column: str, values: Scores, labels: Scores, rows: PairFrame, link: Link, seed: int = 0
) -> Start:
    """Fit the linear function to the labels (n_pairs,) of rows; ``values``: the column's, NaN = unknown.

    ``link``: "within groups" takes the least squares of what differs within groups (slope only), "all rows" those of
    all rows, "pairwise" the logistic loss of drawn pairs of a group.
    """
    known = np.isfinite(values)
    mean, std = _mean_std(values[known])
    z, y, weight = _scaled(values, mean, std), labels, rows.weight
    if link == "pairwise":
        slope = _logistic_slope(z, y, weight, rows.group_ids, seed)
        return Start(column, mean, std, slope, 0.0, abs(slope) * float(z.std()))
    groups = rows.group_ids if link == "within groups" else np.zeros(len(y), dtype=np.int64)
    dz, dy = z - _group_means(z, groups, weight), y - _group_means(y, groups, weight)
    spread = float((weight * dz * dz).sum())
    slope = float((weight * dz * dy).sum()) / spread if spread > 0 else 0.0
    level = 0.0 if link == "within groups" else float((weight * (y - slope * z)).sum() / weight.sum())
    return Start(column, mean, std, slope, level, abs(slope) * float(z.std()))


def vector_width(column: str, dtype: pl.DataType) -> int:
    """Width of the vectors of a column. Raises ConfigError for one that is no array of floats."""
    if isinstance(dtype, pl.Array) and len(dtype.shape) == 1 and dtype.inner.is_float():
        return dtype.size
    raise ConfigError(
        f"The table of a net cannot start at {column!r}: it is {dtype}.",
        expected="a column of vectors, such as doc2vec_user_vector: arrays of floats, all of one width",
        todo="correct user_start, source_start or item_start in the model's table of config.toml",
    )


def numbers_of(column: pl.Series) -> Scores:
    """Values as Float64 (n_pairs,), NaN = unknown."""
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _scaled(values: npt.NDArray[np.floating], mean: float, std: float) -> Scores:
    bounded = np.clip(values.astype(np.float64), -1e30, 1e30)
    return np.nan_to_num(np.clip((bounded - mean) / std, -_LIMIT, _LIMIT), nan=0.0)


def _mean_std(known: Scores) -> tuple[float, float]:
    """Mean and standard deviation (infinite without spread)."""
    bounded = np.clip(known, -1e30, 1e30)
    mean = float(bounded.mean()) if len(known) else 0.0
    std = float(bounded.std()) if len(known) else 0.0
    return mean, std if std > 1e-6 * max(abs(mean), 1e-6) else np.inf


def _group_means(values: Scores, groups: npt.NDArray[np.int64], weight: Scores) -> Scores:
    """Weighted mean of each row's group, Float64 (n_pairs,)."""
    total = np.bincount(groups, weight * values)
    means: Scores = (total / np.bincount(groups, weight))[groups]
    return means


def _correlation(x: Scores, y: Scores, groups: npt.NDArray[np.int64], weight: Scores) -> float:
    """Correlation of what differs within groups; 0 without spread."""
    z = _scaled(x, *_mean_std(x[np.isfinite(x)]))
    dz, dy = z - _group_means(z, groups, weight), y - _group_means(y, groups, weight)
    spread = float((weight * dz * dz).sum() * (weight * dy * dy).sum())
    return float((weight * dz * dy).sum()) / spread**0.5 if spread > 0 else 0.0


def _logistic_slope(z: Scores, y: Scores, weight: Scores, groups: npt.NDArray[np.int64], seed: int) -> float:
    """Slope by which the difference of two of a group tells which is the better one: Newton steps, slightly shrunk."""
    first = np.flatnonzero(np.diff(groups, prepend=-1))
    size = np.diff(first, append=len(groups))
    draw = np.random.default_rng(seed).random((len(groups), 4)) * size[groups][:, None]
    other = first[groups][:, None] + draw.astype(np.int64)
    sign = np.sign(y[:, None] - y[other])
    d, w = sign * (z[:, None] - z[other]), np.abs(sign) * weight[:, None] * weight[other]
    slope = 0.0
    for _ in range(8):
        p = 1 / (1 + np.exp(np.clip(slope * d, -30, 30)))
        slope += float((w * d * p).sum() - slope) / float((w * d * d * p * (1 - p)).sum() + 1.0)
    return float(np.clip(slope, -10, 10))
