"""Is one score column better than another? A paired bootstrap over users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from competitions import Metric
from engine import ConfigError, DataError
from validation._evaluate import ScoredRows, group_codes, scored_rows
from validation._metric import FloatArray, IntArray, MetricFunction

MIN_USERS = 20
"""Users below which an interval decides nothing: resamples of so few are too alike to show how users differ."""


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
    error
        Standard error of the difference: the standard deviation of the resamples.
    """

    mean: float
    low: float
    high: float
    n_users: int
    error: float = float("nan")

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside the interval, and enough users stand behind it to believe that."""
        return self.n_users >= MIN_USERS and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class _Sums:
    """Numerator and denominator of a metric's weighted mean, one of each a user, Float64 ``(n_users,)``."""

    value: FloatArray
    weight: FloatArray
    power: int

    def mean(self, counts: FloatArray) -> float:
        """Value when the i-th user is taken ``counts[i]`` times; NaN if nothing in it counts."""
        # Not BLAS: its sums depend on the number of threads.
        return float(((counts * self.value).sum() / (counts * self.weight).sum()) ** (1 / self.power))


@dataclass(frozen=True)
class _Rows:
    """Rows of a metric that is no sum over users; ``owner`` is each row's user, Int64 ``(n_rows,)``."""

    rows: ScoredRows
    owner: IntArray

    def mean(self, counts: FloatArray) -> float:
        """Value when the i-th user is taken ``counts[i]`` times; NaN if nothing in it counts."""
        times = counts.astype(np.int64)[self.owner]
        rows = np.repeat(np.arange(len(times)), times)
        return self.rows.values(np.zeros(len(rows), dtype=np.int64), rows).mean(self.rows.function.power)


_Side = Sequence[_Sums | _Rows]


def paired_bootstrap(
    frame: pl.DataFrame,
    metric: Metric,
    *,
    user: str,
    group: Sequence[str],
    score_a: str | Sequence[str],
    score_b: str | Sequence[str],
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int,
) -> Difference:
    """Difference of a metric between two score columns, with the percentile interval over resampled users.

    A resample draws as many users as there are, with replacement, each with all of its rows: with (window, user) as
    the group a user comes with all its windows, since they are not independent. Both columns see the same
    resamples. A metric enters as a numerator and a denominator per user, so its rows are ranked only once: metrics
    per group as ``value * weight`` and ``weight`` of the user's groups, log loss and RMSE as sums over its rows. The
    global AUC is no such sum: it is computed anew for every resample, which takes as long as ``2 * n_resamples``
    calls of ``evaluate``; resamples in which it has no value are left out of the interval.

    A side may be several columns, such as those of repeats under other seeds: its value is the mean of theirs.

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
    sides = [[s] if isinstance(s, str) else list(s) for s in (score_a, score_b)]
    a, b, n_users = _sides(frame, metric, user, group, sides)
    if n_users == 0:
        return Difference(float("nan"), float("nan"), float("nan"), 0)
    rng = np.random.default_rng(seed)
    drawn = np.empty(n_resamples)
    for i in range(n_resamples):
        users = rng.integers(0, n_users, n_users, dtype=np.int32)
        drawn[i] = _difference(a, b, np.bincount(users, minlength=n_users).astype(np.float64))
    drawn = drawn[~np.isnan(drawn)]
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(drawn, tails) if len(drawn) else (np.nan, np.nan)
    error = float(drawn.std(ddof=1)) if len(drawn) > 1 else float("nan")
    return Difference(_difference(a, b, np.ones(n_users)), float(low), float(high), n_users, error)


def _difference(a: _Side, b: _Side, counts: FloatArray) -> float:
    """Mean of the columns of the second side minus that of the first."""
    first, second = (sum(column.mean(counts) for column in side) / len(side) for side in (a, b))
    return second - first


def _sides(
    frame: pl.DataFrame,
    metric: Metric,
    user: str,
    group: Sequence[str],
    scores: Sequence[Sequence[str]],
) -> tuple[_Side, _Side, int]:
    """What each side is resampled from, and the number of users to draw from."""
    rows = [[scored_rows(metric, frame, score) for score in side] for side in scores]
    function = rows[0][0].function
    if function.scope == "whole":
        users, owner = np.unique(group_codes(frame, [user]), return_inverse=True)
        a, b = ([_Rows(r, owner) for r in side] for side in rows)
        return a, b, len(users)
    codes, owner = _units_of_users(frame, function, user, group)
    sums = [[_sums(r, codes, owner) for r in side] for side in rows]
    counted = np.any([s.weight > 0 for side in sums for s in side], axis=0)
    first, second = ([_Sums(s.value[counted], s.weight[counted], s.power) for s in side] for side in sums)
    return first, second, int(counted.sum())


def _units_of_users(
    frame: pl.DataFrame, function: MetricFunction, user: str, group: Sequence[str]
) -> tuple[IntArray, IntArray]:
    """Cut the rows into the units that a metric's sums are made of: groups, or whole users where it is pooled.

    Returns the unit's code of each row, and the user (from 0 up) that each unit belongs to, in ascending order of the
    codes.
    """
    users = group_codes(frame, [user])
    codes = users if function.scope == "pooled" else group_codes(frame, group)
    units = pl.DataFrame({"code": codes, "user": users}).unique().sort("code")
    if units["code"].n_unique() < len(units):
        raise DataError(
            f"A group of {', '.join(group)} holds rows of several values of {user!r}.",
            expected="groups that belong to one user each",
            todo=f"add {user!r} to the group columns",
        )
    return codes, np.unique(units["user"].to_numpy(), return_inverse=True)[1]


def _sums(rows: ScoredRows, codes: IntArray, owner: IntArray) -> _Sums:
    values, power = rows.values(codes), rows.function.power
    total = np.where(values.weight > 0, values.weight * values.value**power, 0.0)
    value, weight = (np.bincount(owner, x).astype(np.float64) for x in (total, values.weight))
    return _Sums(value, weight, power)
