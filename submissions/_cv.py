"""Cross-validation scores of a run: the metric on each eval window, of each model and blend."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Literal

import polars as pl

from competitions import Metric
from submissions._manifest import CvScore
from validation import CvBundle, evaluate

OOF_KEYS = ["fold", "window", "pair_id"]


def cv_scores(bundle: CvBundle, metric: Metric, user: str) -> tuple[CvScore, ...]:
    """Score every model and blend of a cross-validation, in the bundle's order."""
    models = [cv_score(bundle.oof, metric, user, name, "model") for name in bundle.models]
    return (*models, *(cv_score(bundle.oof, metric, user, name, "blend") for name in bundle.blends))


def cv_score(
    oof: pl.DataFrame,
    metric: Metric,
    user: str,
    name: str,
    kind: Literal["model", "blend"],
    score: str | None = None,
) -> CvScore:
    """Score one column of an out-of-fold table (``score``, by default the one called ``name``), fold by fold.

    A fold with a null score, or in which no group counts, is not scored (null).
    """
    column = score or name
    order = oof.group_by("fold").agg(pl.col("window").min()).sort("window", "fold")["fold"]
    folds = {
        fold: _value(oof.filter(pl.col("fold") == fold), metric, ["window", user], column) for fold in order
    }
    return CvScore(name=name, kind=kind, folds=folds, **_mean_and_sd(list(folds.values())))


def _value(rows: pl.DataFrame, metric: Metric, group: Sequence[str], score: str) -> float | None:
    if rows[score].null_count():
        return None
    value = evaluate(metric, rows, group=group, score=score)
    return value if math.isfinite(value) else None


def _mean_and_sd(values: Sequence[float | None]) -> dict[str, float | None]:
    known = [v for v in values if v is not None]
    if not known or len(known) < len(values):
        return {"mean": None, "sd": None}
    return {"mean": statistics.fmean(known), "sd": statistics.stdev(known) if len(known) > 1 else None}


def chosen_oof(bundle: CvBundle, user: str, item: str) -> pl.DataFrame:
    """Out-of-fold scores of what the submission uses: ``fold``, ``window``, ``pair_id``, keys, labels, ``score``."""
    keys = [*OOF_KEYS, user, item, "relevance"]
    return bundle.oof.select(*keys, score=pl.col(bundle.chosen).cast(pl.Float64)).sort(
        "window", user, "pair_id"
    )


def same_rows(left: pl.DataFrame, right: pl.DataFrame) -> bool:
    """Tell whether two out-of-fold tables hold the same pairs with the same labels in the same windows."""
    keys = [*OOF_KEYS, "relevance"]
    a, b = left.select(keys).sort(keys), right.select(keys).sort(keys)
    return a.equals(b)
