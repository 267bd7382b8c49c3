"""What stands beside the numbers: what was run, why one was chosen, what looks like a leak, what a reader must know."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import polars as pl

from competitions import Dataset, Metric
from validation._bootstrap import Difference
from validation._evaluate import evaluate
from validation._report.bundle import CvBundle
from validation._report.page import number_text

_FIRST = ("competition", "created", "seed", "clock", "folds")
_ELSEWHERE = (
    "metric",
    "settings",
    "cv",
    "chosen_because",
    "best",
    "differences_to_best",
    "not_scored",
    "best_column",
    "prerank",
)
_TOO_GOOD = 0.75  # of the way from chance to the labels
_FAR_BELOW = 0.5  # of the median of the siblings
_MIN_FITS = 3  # that are compared, the fit itself among them: of two, no one can tell which is odd


@dataclass(frozen=True)
class Fact:
    """A label and its lines, to be shown as they are (and so to be escaped)."""

    label: str
    lines: tuple[str, ...]


def metric_of(bundle: CvBundle, dataset: Dataset) -> Metric:
    """Return the metric that the cross-validation used; the competition's if the bundle does not say."""
    stored = bundle.about.get("metric")
    if not isinstance(stored, Mapping) or "name" not in stored:
        return dataset.competition.metric
    return Metric(
        name=str(stored["name"]),
        policy=dict(stored.get("policy", {})),
        greater_is_better=bool(stored.get("greater_is_better", True)),
    )


def metric_text(metric: Metric) -> str:
    """Write the metric with its policy.

    >>> metric_text(Metric("user_auc", {"one_class": "skip"}))
    'user_auc (one_class = skip; higher is better)'
    """
    policy = [f"{name} = {_text(value)}" for name, value in metric.policy.items()]
    direction = "higher is better" if metric.greater_is_better else "lower is better"
    return f"{metric.name} ({'; '.join([', '.join(policy), direction] if policy else [direction])})"


def facts(bundle: CvBundle, metric: Metric, data: Path | None = None) -> tuple[Fact, ...]:
    """List what the bundle says about itself, the most asked first, after the folder of the data if it is known."""
    about = bundle.about
    names = [n for n in _FIRST if n in about] + [n for n in about if n not in (*_FIRST, *_ELSEWHERE)]
    rows = [Fact(name.replace("_", " ").capitalize(), _lines(about[name])) for name in names]
    folder = () if data is None else (Fact("Data", (str(data),)),)
    return (Fact("Metric", (metric_text(metric),)), *folder, *rows)


def _lines(value: object) -> tuple[str, ...]:
    """Write a value, a mapping with a line for each entry."""
    if isinstance(value, Mapping):
        return tuple(f"{name}: {_text(entry)}" for name, entry in value.items())
    return (_text(value),)


def _text(value: object) -> str:
    if isinstance(value, list | tuple) and all(isinstance(entry, str | int | float) for entry in value):
        return ", ".join(str(entry) for entry in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def choice_reason(bundle: CvBundle) -> str:
    """Say why ``bundle.chosen`` was chosen: the reason that the stack gave, and the differences it decided by.

    They are to the best candidate, each with its standard error over users; larger is better, unless of a loss.
    """
    because = bundle.about.get("chosen_because")
    if not because and len((*bundle.models, *bundle.blends)) == 1:
        return f"{bundle.chosen} is the only model."
    sentence = f"{bundle.chosen}: {because}." if because else f"{bundle.chosen}: the stack gave no reason."
    return " ".join([sentence, *compared(bundle)])


def compared(bundle: CvBundle) -> tuple[str, ...]:
    """One sentence with the difference of each candidate to the best, less the one that the reason gives; or none."""
    differences = bundle.about.get("differences_to_best")
    if not isinstance(differences, Mapping):
        return ()
    because = str(bundle.about.get("chosen_because")).replace("-", "−")
    texts = {name: _gap_text(found) for name, found in differences.items()}
    gaps = [f"{n} {text}" for n, text in texts.items() if n != bundle.chosen or text not in because]
    best = bundle.about.get("best")
    return (f"Difference to {best}, with its standard error: {'; '.join(gaps)}.",) if gaps else ()


def _gap_text(found: Mapping[str, float]) -> str:
    return f"{number_text(found['mean'], '+.4f')} ± {number_text(found['error'])}".replace("-", "−")


def training_alarms(bundle: CvBundle) -> tuple[str, ...]:
    """Sentences about the fits whose training loss is below half of the median of their siblings.

    Siblings are the same model on the other folds, or all other fits with a loss of the same name; either is enough for
    an alarm, if it is of two siblings at least. A leak that all fits share makes no difference between them: that is
    for ``python -m features audit``. A bundle of an older version, without training losses, gives none.
    """
    if "training_loss" not in bundle.fits.columns:
        return ()
    fits = bundle.fits.filter(pl.col("training_loss").is_not_null()).to_dicts()
    found = []
    for fit in fits:
        others = [f for f in fits if f is not fit and f["loss"] == fit["loss"]]
        own = [f for f in others if f["model"] == fit["model"]]
        middle = next(
            (m for m in (_limit(own), _limit(others)) if fit["training_loss"] < _FAR_BELOW * m), None
        )
        if middle is not None:
            found.append(_sentence(bundle, fit, middle))
    return tuple(found)


def _limit(siblings: Sequence[dict[str, Any]]) -> float:
    """Median of the siblings' losses; minus infinity if they are too few, or if half of it is no better than it."""
    losses = [float(f["training_loss"]) for f in siblings]
    middle = median(losses) if len(losses) + 1 >= _MIN_FITS else 0.0
    return middle if middle > 0 else float("-inf")


def _sentence(bundle: CvBundle, fit: dict[str, Any], middle: float) -> str:
    own = bundle.importance.filter((pl.col("model") == fit["model"]) & (pl.col("fold") == fit["fold"]))
    top = own.sort("importance", descending=True).head(1)
    which = ""
    if top.height:
        name, share = top.select("feature", "importance").row(0)
        which = f" It rests on {name} with {number_text(share, '.0%')}."
    loss = f"{number_text(fit['training_loss'])} ({fit['loss']})"
    return (
        f"The training loss of {fit['model']} in {fit['fold']} is {loss}, below "
        f"half of the median {middle:.4f} of its siblings. So it looks when labels got into the features.{which} Run "
        "`python -m features audit` before you believe its scores."
    )


def column_sentence(bundle: CvBundle, best_model: str, value: float | None) -> str:
    """Name the best single column beside the best model; empty if the bundle knows of none."""
    best = bundle.about.get("best_column")
    if not best:
        return ""
    model = "" if value is None else f"; the best model, {best_model}, has {number_text(value)}"
    return (
        f"The best single column, {best['column']}, has {number_text(best['cv']['mean'])} by itself{model}."
    )


def column_alarms(bundle: CvBundle) -> tuple[str, ...]:
    """Sentences about the models that get the best single column and are surely worse than it.

    Surely: the 95 % interval of the paired difference over users lies on the worse side of zero. A bundle of an older
    version gives none.
    """
    best = bundle.about.get("best_column")
    if not best:
        return ()
    is_greater = bundle.about.get("metric", {}).get("greater_is_better", True)
    found = []
    for model, numbers in best["differences"].items():
        stored: dict[str, Any] = {n: math.nan if value is None else value for n, value in numbers.items()}
        difference = Difference(**stored)
        is_worse = difference.high < 0 if is_greater else difference.low > 0
        if difference.excludes_zero and is_worse:
            interval = f"{difference.mean:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]".replace(
                "-", "−"
            )
            found.append(
                f"{model} reads {best['column']} and is surely worse than this column by itself: "
                f'{interval} over {difference.n_users} users. Set start = "auto" in its table, give it '
                "more rows (folds.n_train_windows) or fewer features, or leave it out."
            )
    return tuple(found)


def score_alarms(bundle: CvBundle) -> tuple[str, ...]:
    """Sentences about columns that by themselves cover ``_TOO_GOOD`` of the way from chance to the labels.

    Chance is the metric of random scores of the out-of-fold pairs, with a fixed seed. An audit asks the same of values.
    """
    stored, user = bundle.about.get("metric"), bundle.about.get("user")
    if not stored or user not in bundle.oof.columns or "score" not in bundle.features.columns:
        return ()
    metric = Metric(stored["name"], stored.get("policy", {}), stored.get("greater_is_better", True))
    noise = pl.Series(np.random.default_rng(0).random(bundle.oof.height))
    rows = bundle.oof.select(
        "window", user, "relevance", chance=noise, labels=pl.col("relevance").cast(pl.Float64)
    )
    chance, labels = (evaluate(metric, rows, group=["window", user], score=n) for n in ("chance", "labels"))
    if not math.isfinite(chance + labels) or chance == labels:
        return ()
    scored = bundle.features.filter(pl.col("score").is_not_null()).with_columns(
        way=(pl.col("score") - chance) / (labels - chance)
    )
    found = scored.filter(pl.col("way") > _TOO_GOOD).sort("way", descending=True)
    return tuple(
        f"{name} by itself scores {score:.4f}, {way:.0%} of the way from chance to the labels: too good to be true. "
        f"Is it known when a pair is scored? python -m features audit '{name}'"
        for name, score, way in found.select("feature", "score", "way").iter_rows()
    )


def caveats(bundle: CvBundle, dataset: Dataset) -> tuple[str, ...]:
    """Sentences that a reader of the scores must know."""
    n_folds = bundle.oof["fold"].n_unique()
    texts = []
    if dataset.competition.clock.kind == "per_user":
        texts.append(
            "The clock is per user: “before” means earlier in each user's own history. By the calendar, the history "
            "of an item may hold later rows, so these scores can be a little kinder than a split by date would be."
        )
    if n_folds < 3:
        texts.append(
            f"There {'is' if n_folds == 1 else 'are'} only {n_folds} fold{'' if n_folds == 1 else 's'}: the spread "
            "says little."
        )
    cut = bundle.fits.filter(pl.col("stopped_by") == "time budget")
    if cut.height:
        names = ", ".join(cut["model"].unique(maintain_order=True).to_list())
        texts.append(
            f"{cut.height} of {bundle.fits.height} fits were cut short by their time budget ({names}): with more time "
            "they may score higher, and another machine may score otherwise."
        )
    if bundle.about.get("not_scored"):
        texts.append(f"Not scored, for want of eval windows: {_text(bundle.about['not_scored'])}.")
    if shares := _sampled(bundle):
        of = " and ".join(f"{share:.3g} of the {name}" for name, share in shares.items())
        texts.append(f"A quick look, at {of}: the scores are not those of the whole data.")
    stored = bundle.about.get("fingerprint")
    if isinstance(stored, str) and stored != dataset.fingerprint:
        texts.append(
            "The data, or the code that reads it, has changed since this cross-validation: run make cv again."
        )
    return tuple(texts)


def _sampled(bundle: CvBundle) -> dict[str, float]:
    """Shares below 1 that the cross-validation was run with, by what they are of."""
    settings = bundle.about.get("settings")
    sample = settings.get("sample") if isinstance(settings, Mapping) else None
    shares = sample.items() if isinstance(sample, Mapping) else ()
    return {str(name): float(share) for name, share in shares if float(share) < 1}
