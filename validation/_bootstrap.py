"""Is one score column better than another? A paired bootstrap over users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from competitions import Metric
from engine import ConfigError, DataError
from validation._evaluate import group_codes, values_by_group
from validation._metric import FloatArray, IntArray, get_metric


@dataclass(frozen=True)
class Difference:
    """Metric of the second score column minus that of the first.

    Attributes
    ----------
    mean
        The difference on the data as they are; NaN if no user counts.
    low, high
        Ends of the percentile interval of the resamples.
    n_users
        Users with at least one group that the metric's policy counts.
    """

    mean: float
    low: float
    high: float
    n_users: int

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside the interval."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class _Sums:
    """Numerator and denominator of a metric's weighted mean, one of each a user, Float64 ``(n_users,)``."""

    value: FloatArray
    weight: FloatArray
    power: int

    def mean(self, counts: FloatArray) -> float:
        # Not BLAS: its sums depend on the number of threads.
        return float(((counts * self.value).sum() / (counts * self.weight).sum()) ** (1 / self.power))


def paired_bootstrap(
    frame: pl.DataFrame,
    metric: Metric,
    *,
    user: str,
    group: Sequence[str],
    score_a: str,
    score_b: str,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int,
    relevance: str = "relevance",
) -> Difference:
    """Difference of a metric between two score columns, with the percentile interval over resampled users.

    A resample draws as many users as there are, with replacement, each with all of its rows: with (window, user) as
    the group a user comes with all its windows, since they are not independent. Both columns see the same
    resamples. A metric enters as a numerator and a denominator per user, so its rows are ranked only once: metrics
    per group as ``value * weight`` and ``weight`` of the user's groups, log loss and RMSE as sums over its rows.
    The global AUC is no such sum, and a ConfigError.

    A group belongs to one user: if ``user`` is not in ``group``, it must still be constant within each group.
    The sign is not turned for losses: there a difference below zero is the better second column.

    Raises ConfigError (metric, policy, sizes) and DataError (columns, missing values, a group of several users).

    References: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13 (percentile interval).
    """
    if n_resamples < 1 or not 0 < level < 1:
        raise ConfigError(
            f"n_resamples is {n_resamples} and level is {level}.",
            expected="n_resamples >= 1 and 0 < level < 1",
        )
    codes, owner = _parts_of_users(frame, metric, user, group)
    a, b = (_sums(frame, metric, codes, owner, relevance, score) for score in (score_a, score_b))
    counted = (a.weight > 0) | (b.weight > 0)
    n_users = int(counted.sum())
    if n_users == 0:
        return Difference(float("nan"), float("nan"), float("nan"), 0)
    a, b = (_Sums(s.value[counted], s.weight[counted], s.power) for s in (a, b))
    ones = np.ones(n_users)
    drawn = _resample(a, b, n_resamples, np.random.default_rng(seed))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Difference(b.mean(ones) - a.mean(ones), float(low), float(high), n_users)


def _resample(a: _Sums, b: _Sums, n_resamples: int, rng: np.random.Generator) -> FloatArray:
    n_users = len(a.value)
    drawn = np.empty(n_resamples)
    for i in range(n_resamples):
        users = rng.integers(0, n_users, n_users, dtype=np.int32)
        counts = np.bincount(users, minlength=n_users).astype(np.float64)
        drawn[i] = b.mean(counts) - a.mean(counts)
    return drawn


def _parts_of_users(
    frame: pl.DataFrame, metric: Metric, user: str, group: Sequence[str]
) -> tuple[IntArray, IntArray]:
    """Cut the rows into the parts that a metric's sums are made of, each of which belongs to one user.

    Returns the part's code of each row, and the number of the owner (from 0 up) of each part, in ascending order of
    the codes.
    """
    scope = get_metric(metric.name).scope
    if scope == "whole":
        raise ConfigError(
            f"Metric {metric.name} is not a mean over users or rows, so it cannot be resampled from sums per user.",
            expected="a metric per group (user_auc, ndcg_at_k, ...), log_loss or rmse",
        )
    users = group_codes(frame, [user])
    codes = users if scope == "pooled" else group_codes(frame, group)
    parts = pl.DataFrame({"code": codes, "user": users}).unique().sort("code")
    if parts["code"].n_unique() < len(parts):
        raise DataError(
            f"A group of {', '.join(group)} holds rows of several values of {user!r}.",
            expected="groups that belong to one user each",
            todo=f"add {user!r} to the group columns",
        )
    return codes, np.unique(parts["user"].to_numpy(), return_inverse=True)[1]


def _sums(
    frame: pl.DataFrame, metric: Metric, codes: IntArray, owner: IntArray, relevance: str, score: str
) -> _Sums:
    function, values = values_by_group(metric, frame, codes, relevance, score)
    total = np.where(values.weight > 0, values.weight * values.value**function.power, 0.0)
    value, weight = (np.bincount(owner, x).astype(np.float64) for x in (total, values.weight))
    return _Sums(value, weight, function.power)
