"""Cross-validation scores of a run, and what two cross-validations must share to be compared."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import polars as pl

from competitions import Dataset, Metric
from engine import Settings
from submissions._manifest import CvScore, Manifest
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
    order = oof.group_by("fold").agg(pl.col("window").min()).sort("window", "fold")["fold"]
    folds = {
        fold: _value(oof.filter(pl.col("fold") == fold), metric, ["window", user], score or name)
        for fold in order
    }
    known = [value for value in folds.values() if value is not None]
    is_whole = bool(known) and len(known) == len(folds)
    mean = statistics.fmean(known) if is_whole else None
    sd = statistics.stdev(known) if is_whole and len(known) > 1 else None
    return CvScore(name=name, kind=kind, folds=folds, mean=mean, sd=sd)


def _value(rows: pl.DataFrame, metric: Metric, group: Sequence[str], score: str) -> float | None:
    if rows[score].null_count():
        return None
    value = evaluate(metric, rows, group=group, score=score)
    return value if math.isfinite(value) else None


def chosen_oof(bundle: CvBundle, user: str, item: str) -> pl.DataFrame:
    """Out-of-fold scores of what the submission uses: ``fold``, ``window``, ``pair_id``, keys, labels, ``score``."""
    columns = [*OOF_KEYS, user, item, "relevance"]
    scores = bundle.oof.select(*columns, score=pl.col(bundle.chosen).cast(pl.Float64))
    return scores.sort("window", user, "pair_id")


def oof_side_by_side(tables: Mapping[str, pl.DataFrame | None]) -> pl.DataFrame | str:
    """Join the out-of-fold scores of runs, each named by its run, to the table of the first; or say why not.

    All must hold the same pairs with the same labels in the same windows, each scored.
    """
    rows = [*OOF_KEYS, "relevance"]
    scored = {run: oof for run, oof in tables.items() if oof is not None and not oof["score"].null_count()}
    if without := [run for run in tables if run not in scored]:
        return f"run {without[0]} has no out-of-fold scores"
    first, table = next(iter(scored.items()))
    for run, oof in scored.items():
        if not table.select(rows).sort(rows).equals(oof.select(rows).sort(rows)):
            return f"run {run} was validated on different rows than run {first} (other data, folds or pair selection)"
        column = oof.select(*OOF_KEYS, pl.col("score").alias(run))
        table = table.join(column, on=OOF_KEYS, how="left", validate="1:1", maintain_order="left")
    return table


@dataclass(frozen=True)
class CvBasis:
    """What two cross-validations must share for their values to be compared; ``metric`` and ``folds`` as JSON."""

    competition: str
    metric: str
    data_fingerprint: str
    folds: str

    @classmethod
    def of(cls, settings: Settings, dataset: Dataset) -> CvBasis:
        """The basis of what the settings would make now."""
        c, folds = dataset.competition, settings.folds.model_dump(mode="json")
        metric = json.dumps(asdict(c.metric), sort_keys=True)
        return cls(c.name, metric, dataset.fingerprint, json.dumps(folds, sort_keys=True))

    @classmethod
    def of_run(cls, manifest: Manifest) -> CvBasis:
        """The basis of a finished run."""
        folds = json.dumps(manifest.config.get("folds", {}), sort_keys=True)
        metric = json.dumps(asdict(manifest.metric), sort_keys=True)
        return cls(manifest.competition, metric, manifest.data_fingerprint, folds)
