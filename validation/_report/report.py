"""Numbers of the CV report: a pure function from stored results to small frames. Runs no model."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from competitions import Dataset, Metric
from engine import ConfigError, DataError
from validation._bootstrap import Difference, paired_bootstrap
from validation._evaluate import evaluate
from validation._metric import get_metric
from validation._report.audit import AuditReport, audit_alarms, audit_caveats
from validation._report.bundle import CvBundle
from validation._report.facts import (
    Fact,
    caveats,
    choice_reason,
    column_alarms,
    column_sentence,
    facts,
    metric_of,
    metric_text,
    score_alarms,
    training_alarms,
)
from validation._report.features import feature_table, mean_importance
from validation._report.prerank import WindowRow, prerank_rows, prerank_sentences
from validation._report.segments import segment_scores

_SCORES = {
    "name": pl.String,
    "kind": pl.String,
    "mean": pl.Float64,
    "std": pl.Float64,
    "n_folds": pl.Int64,
    "difference": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "n_users": pl.Int64,
    "verdict": pl.String,
    "is_best_single": pl.Boolean,
    "is_chosen": pl.Boolean,
}
_FOLD_SCORES = {"name": pl.String, "fold": pl.String, "value": pl.Float64}

_MIN_ANEW, _MAX_ANEW = 50, 200  # resamples of a metric that is no sum
_ROWS_ANEW = 100_000_000  # of them all


@dataclass(frozen=True)
class Report:
    """Everything that the report shows, as frames; terminal and page only lay it out.

    Attributes
    ----------
    name, title
        Of the competition.
    metric, metric_text
        The metric; the same with its policy in words.
    scores
        One row a model or blend, best first: ``name``, ``kind`` ("model", "blend"), ``mean`` and ``std`` over the
        folds (sample standard deviation; null with one fold), ``n_folds`` scored, ``difference`` to the best single
        model with the 95 % bootstrap interval ``low`` to ``high`` over ``n_users`` (null for the best single model
        itself), ``verdict``, ``is_best_single``, ``is_chosen``. Verdicts: "best single", "better", "worse", "no clear
        difference" (the interval holds zero), "not scored".
    fold_scores
        ``name``, ``fold``, ``value``; null = not scored in that fold. Names in the order of ``scores``.
    segments
        See ``segment_scores``.
    importance
        ``model``, ``feature``, ``importance``: share in the model, mean over the folds; may be empty.
    features
        See ``feature_table``.
    fits
        As in the bundle.
    best_single, chosen, reason
        Names, and why the chosen one was chosen, in a sentence.
    column
        The best single column beside the best model, in a sentence; may be empty.
    facts, alarms, caveats
        Labels and their lines; what looks like a leak (see ``training_alarms``, ``audit_alarms``) or makes a good
        column worse (``column_alarms``); sentences the reader must know.
    settings
        The settings of the run, as stored.
    audit
        What the stored audit of the features found; None if there is none.
    prerank, shortlists
        What a pre-ranker loses and saves, in sentences, and by window; empty without one.
    """

    name: str
    title: str
    metric: Metric
    metric_text: str
    scores: pl.DataFrame
    fold_scores: pl.DataFrame
    segments: pl.DataFrame
    importance: pl.DataFrame
    features: pl.DataFrame
    fits: pl.DataFrame
    best_single: str
    chosen: str
    reason: str
    column: str
    facts: tuple[Fact, ...]
    alarms: tuple[str, ...]
    caveats: tuple[str, ...]
    settings: object
    audit: AuditReport | None = None
    prerank: tuple[str, ...] = ()
    shortlists: tuple[WindowRow, ...] = ()

    @property
    def folds(self) -> list[str]:
        """Names of the folds, in the order of ``fold_scores``."""
        names: list[str] = self.fold_scores["fold"].unique(maintain_order=True).to_list()
        return names

    @property
    def fold_values(self) -> dict[str, dict[str, float | None]]:
        """The values of ``fold_scores``, by name and fold."""
        values: dict[str, dict[str, float | None]] = {}
        for name, fold, value in self.fold_scores.select("name", "fold", "value").iter_rows():
            values.setdefault(name, {})[fold] = value
        return values


def alarms_of(bundle: CvBundle, audit: AuditReport | None) -> tuple[str, ...]:
    """Give what looks like a leak or makes a good column worse."""
    return (
        *training_alarms(bundle),
        *score_alarms(bundle),
        *column_alarms(bundle),
        *audit_alarms(audit, bundle),
    )


def build_report(
    bundle: CvBundle,
    dataset: Dataset,
    *,
    audit: AuditReport | None = None,
    data: Path | None = None,
    n_resamples: int = 1000,
) -> Report:
    """Compute every number of the report. ``audit``: the stored audit of its features, see ``read_audit_report``.

    ``data``: the folder of the input files, to be named among the facts. Only the segments read the data set: how long
    the history of each user and item is at the cutoffs. Raises ConfigError if the bundle is another competition's,
    DataError if it lacks a score column.
    """
    _check(bundle, dataset)
    metric = metric_of(bundle, dataset)
    user = dataset.competition.user
    per_fold = _fold_scores(bundle, metric, user)
    best = _best_single(bundle, per_fold, metric)
    scores = _scores(bundle, metric, user, per_fold, best, n_resamples)
    order = scores.select("name", position=pl.int_range(pl.len()))
    ordered = per_fold.join(order, on="name", validate="m:1").sort("position", "fold").drop("position")
    importance = mean_importance(bundle)
    return Report(
        name=dataset.competition.name,
        title=dataset.competition.title,
        metric=metric,
        metric_text=metric_text(metric),
        scores=scores,
        fold_scores=ordered,
        segments=segment_scores(bundle, dataset, metric, scores["name"].to_list()),
        importance=importance,
        features=feature_table(bundle, importance),
        fits=bundle.fits,
        best_single=best,
        chosen=bundle.chosen,
        reason=choice_reason(bundle),
        column=column_sentence(bundle, best, scores.filter(name=best)["mean"][0]),
        facts=facts(bundle, metric, data),
        alarms=alarms_of(bundle, audit),
        caveats=(*caveats(bundle, dataset), *audit_caveats(audit, bundle)),
        settings=bundle.about.get("settings", {}),
        audit=audit,
        prerank=prerank_sentences(bundle),
        shortlists=prerank_rows(bundle),
    )


def _check(bundle: CvBundle, dataset: Dataset) -> None:
    stored = bundle.about.get("competition", dataset.competition.name)
    if stored != dataset.competition.name:
        raise ConfigError(
            f"The stored cross-validation is of competition {stored!r}; the settings say {dataset.competition.name!r}.",
            expected="one competition for both",
            todo="run `make cv` with these settings",
        )
    lacking = [f"scores of {n}" for n in (*bundle.models, *bundle.blends) if n not in bundle.oof.columns]
    lacking += [f"{n} of features" for n in ("drifts", "nulls_change") if n not in bundle.features.columns]
    if bundle.chosen not in (*bundle.models, *bundle.blends):
        lacking.append(f"scores of {bundle.chosen}")
    if lacking:
        raise DataError(
            f"The stored cross-validation has no {', '.join(lacking)}.",
            expected="a score column for each of its models and blends, and what is known of its features",
            todo="run `make cv` again",
        )


def _fold_scores(bundle: CvBundle, metric: Metric, user: str) -> pl.DataFrame:
    """Metric of every name in every fold; null where the name has no score or no group counts."""
    rows = []
    for fold, frame in _folds(bundle.oof):
        for name in (*bundle.models, *bundle.blends):
            has_score = bool(frame[name].is_not_null().any())
            value = evaluate(metric, frame, group=("window", user), score=name) if has_score else math.nan
            rows.append((name, fold, None if math.isnan(value) else value))
    return pl.DataFrame(rows, schema=_FOLD_SCORES, orient="row")


def _folds(oof: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    names = oof.group_by("fold").agg(pl.col("window").min()).sort("window", "fold")["fold"].to_list()
    return [(name, oof.filter(pl.col("fold") == name)) for name in names]


def _best_single(bundle: CvBundle, per_fold: pl.DataFrame, metric: Metric) -> str:
    """Model with the best mean over the folds; a tie goes to the one named first in the config."""
    sign = 1.0 if metric.greater_is_better else -1.0
    means: dict[str, float | None] = dict(per_fold.group_by("name").agg(pl.col("value").mean()).iter_rows())

    def strength(name: str) -> float:
        mean = means.get(name)
        return -math.inf if mean is None else sign * mean

    return max(bundle.models, key=strength)


def _scores(
    bundle: CvBundle, metric: Metric, user: str, per_fold: pl.DataFrame, best: str, n_resamples: int
) -> pl.DataFrame:
    rows = []
    for name in (*bundle.models, *bundle.blends):
        values = per_fold.filter((pl.col("name") == name) & pl.col("value").is_not_null())["value"].to_list()
        mean = statistics.fmean(values) if values else None
        std = statistics.stdev(values) if len(values) > 1 else None
        kind = "model" if name in bundle.models else "blend"
        found = (
            _difference(bundle, metric, user, name, best, n_resamples) if values and name != best else None
        )
        gap = (found.mean, found.low, found.high, found.n_users) if found else (None,) * 4
        verdict = _verdict(found, metric) if found else "best single" if name == best else "not scored"
        rows.append((name, kind, mean, std, len(values), *gap, verdict, name == best, name == bundle.chosen))
    return pl.DataFrame(rows, schema=_SCORES, orient="row").sort(
        "mean", descending=metric.greater_is_better, nulls_last=True, maintain_order=True
    )


def _difference(
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


def _verdict(found: Difference, metric: Metric) -> str:
    if not found.excludes_zero:
        return "no clear difference"
    return "better" if (found.low > 0.0) == metric.greater_is_better else "worse"
