"""Cross-validation scores of a run, and what two cross-validations must share to be compared."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from competitions import Dataset, Metric
from engine import Settings
from submissions._manifest import CvScore, Manifest, MetricFacts
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


@dataclass(frozen=True)
class CvBasis:
    """Competition, metric, data and folds of a cross-validation; ``metric`` and ``folds`` as JSON."""

    competition: str
    metric: str
    data_fingerprint: str
    folds: str

    @classmethod
    def of(cls, settings: Settings, dataset: Dataset) -> CvBasis:
        """The basis of what the settings would make now."""
        folds = settings.folds.model_dump(mode="json")
        c = dataset.competition
        return cls(c.name, metric_facts(c.metric).model_dump_json(), dataset.fingerprint, _canonical(folds))

    @classmethod
    def of_run(cls, manifest: Manifest) -> CvBasis:
        """The basis of a finished run."""
        folds = manifest.config.get("folds", {})
        metric = manifest.metric.model_dump_json()
        return cls(manifest.competition, metric, manifest.data_fingerprint, _canonical(folds))


def metric_facts(metric: Metric) -> MetricFacts:
    """The metric as manifests hold it."""
    return MetricFacts(
        name=metric.name, policy=dict(metric.policy), greater_is_better=metric.greater_is_better
    )


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True)
