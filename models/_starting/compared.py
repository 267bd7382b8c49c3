"""Mean, spread and difference of each start, with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean, stdev

import polars as pl

from competitions import Metric
from validation import Difference, evaluate, paired_bootstrap

SEED = 1  # of the resamples
LEVEL = 0.95


@dataclass(frozen=True)
class Standing:
    """One start.

    ``values``: the metric's mean over the folds, a seed each. ``mean_low``, ``mean_high``: t-interval of their mean
    over seeds. ``spread``: their standard deviation, with its interval from the chi-square distribution; None for one
    seed. ``ahead``: metric less that of the first start, paired over users with all seeds averaged; None for the first.
    """

    start: str
    values: tuple[float, ...]
    mean: float
    mean_low: float | None
    mean_high: float | None
    spread: float | None
    spread_low: float | None
    spread_high: float | None
    ahead: Difference | None
    verdict: str
    epochs: float
    seconds: float
    users_started: float
    items_started: float


@dataclass(frozen=True)
class Comparison:
    """Starts of one net, in the order in which they were asked for."""

    model: str
    title: str
    metric: Metric
    seeds: tuple[int, ...]
    folds: tuple[str, ...]
    standings: tuple[Standing, ...]


def compare(rows: pl.DataFrame, metric: Metric, *, model: str, title: str) -> Comparison:
    """Compare what ``run_trial`` gives."""
    starts = rows["start"].unique(maintain_order=True).to_list()
    seeds = tuple(rows["seed"].unique(maintain_order=True).to_list())
    folds = tuple(rows["fold"].unique(maintain_order=True).to_list())
    wide = rows.with_columns(pl.format("{} {}", "start", "seed").alias("column")).pivot(
        "column", index=["fold", "window", "pair_id", "user", "relevance"], values="score"
    )
    of = {start: [f"{start} {seed}" for seed in seeds] for start in starts}
    standings = []
    for start in starts:
        values = tuple(_value(wide, metric, column, folds) for column in of[start])
        ahead = None if start == starts[0] else _ahead(wide, metric, of[start], of[starts[0]])
        standings.append(_standing(start, values, ahead, rows.filter(pl.col("start") == start), metric))
    return Comparison(model, title, metric, seeds, folds, tuple(standings))


def _value(wide: pl.DataFrame, metric: Metric, column: str, folds: tuple[str, ...]) -> float:
    """Mean over the folds."""
    group = ["window", "user"]
    return mean(evaluate(metric, wide.filter(pl.col("fold") == f), group=group, score=column) for f in folds)


def _ahead(wide: pl.DataFrame, metric: Metric, own: list[str], first: list[str]) -> Difference:
    return paired_bootstrap(
        wide,
        metric,
        user="user",
        group=["window", "user"],
        score_a=first,
        score_b=own,
        level=LEVEL,
        seed=SEED,
    )


def _standing(
    start: str, values: tuple[float, ...], ahead: Difference | None, rows: pl.DataFrame, metric: Metric
) -> Standing:
    fits = rows.unique(["seed", "fold"])
    facts = {
        name: float(fits[name].cast(pl.Float64).mean() or 0.0)  # type: ignore[arg-type]
        for name in ("epochs", "seconds", "users_started", "items_started")
    }
    low, high = mean_interval(values)
    spread = stdev(values) if len(values) > 1 else None
    return Standing(
        start, values, mean(values), low, high, spread, *spread_interval(values), ahead,
        _verdict(ahead, metric), **facts,
    )  # fmt: skip


def _verdict(ahead: Difference | None, metric: Metric) -> str:
    if ahead is None:
        return "compared with"
    if not ahead.excludes_zero:
        return "no clear difference"
    return "better" if (ahead.mean > 0) == metric.greater_is_better else "worse"


def mean_interval(values: tuple[float, ...]) -> tuple[float | None, float | None]:
    """Student's interval of the mean (95 %); None for one value.

    >>> [round(end, 3) for end in mean_interval((1.0, 2.0, 3.0))]
    [-0.484, 4.484]
    """
    from scipy import stats

    if len(values) < 2:
        return None, None
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1)) * stdev(values) / len(values) ** 0.5
    return mean(values) - half, mean(values) + half


def spread_interval(values: tuple[float, ...]) -> tuple[float | None, float | None]:
    """Interval of the standard deviation of normal values (95 %), by the chi-square distribution; None for one value.

    >>> [round(end, 3) for end in spread_interval((1.0, 2.0, 3.0))]
    [0.521, 6.285]
    """
    from scipy import stats

    n = len(values) - 1
    if n < 1:
        return None, None
    ends = stats.chi2.ppf([(1 + LEVEL) / 2, (1 - LEVEL) / 2], n)
    return stdev(values) * (n / float(ends[0])) ** 0.5, stdev(values) * (n / float(ends[1])) ** 0.5
