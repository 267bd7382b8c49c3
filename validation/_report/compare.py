"""The paired difference of two names of a bundle, over the rows that both have scored."""

from __future__ import annotations

import math

import polars as pl

from competitions import Metric
from validation._bootstrap import Difference, paired_bootstrap
from validation._metric import get_metric
from validation._report.bundle import CvBundle

_MIN_ANEW, _MAX_ANEW, _ROWS_ANEW = 50, 200, 100_000_000


def compare(
    bundle: CvBundle, metric: Metric, user: str, name: str, other: str, n_resamples: int
) -> Difference | None:
    """Bootstrap the metric of ``name`` minus that of ``other`` over users, each with all windows (95 % interval).

    A metric that must be computed anew for each resample (global AUC) gets fewer of them, the fewer the longer the
    table. None if no row is scored by both, or no group counts. The seed is the run's, so a report repeats exactly.
    """
    both = bundle.oof.filter(pl.col(name).is_not_null() & pl.col(other).is_not_null())
    if both.is_empty():
        return None
    if get_metric(metric.name).scope == "whole":
        n_resamples = max(_MIN_ANEW, min(n_resamples, _MAX_ANEW, _ROWS_ANEW // both.height))
    found = paired_bootstrap(
        both,
        metric,
        user=user,
        group=("window", user),
        score_a=other,
        score_b=name,
        n_resamples=n_resamples,
        seed=int(bundle.about.get("seed", 0)),
    )
    return None if math.isnan(found.mean) else found
