"""What was run: facts and caveats that stand beside the numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from competitions import Dataset, Metric
from validation._report.bundle import CvBundle

_FIRST = ("competition", "created", "seed", "clock", "folds")
_ELSEWHERE = ("metric", "settings", "cv", "chosen_because", "differences_to_baseline", "not_scored")


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


def facts(bundle: CvBundle, metric: Metric) -> tuple[Fact, ...]:
    """List what the bundle says about itself, the most asked first."""
    about = bundle.about
    names = [n for n in _FIRST if n in about] + [n for n in about if n not in (*_FIRST, *_ELSEWHERE)]
    rows = [Fact(name.replace("_", " ").capitalize(), _lines(about[name])) for name in names]
    return (Fact("Metric", (metric_text(metric),)), *rows)


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


def _lines(value: object) -> tuple[str, ...]:
    """Write a value, a mapping with a line for each entry."""
    if isinstance(value, Mapping):
        return tuple(f"{name}: {_text(part)}" for name, part in value.items())
    return (_text(value),)


def _text(value: object) -> str:
    if isinstance(value, list | tuple) and all(isinstance(part, str | int | float) for part in value):
        return ", ".join(str(part) for part in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
