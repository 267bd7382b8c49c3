"""What differs between two runs, and whether it matters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from competitions import Metric
from engine import ConfigError
from submissions._agreement import Agreement, rank_agreement
from submissions._cv import OOF_KEYS, same_rows
from submissions._errors import SubmissionError
from submissions._manifest import Manifest
from submissions._runs import Runs
from validation import Difference, paired_bootstrap

N_RESAMPLES = 1000


@dataclass(frozen=True)
class Change:
    """A fact that differs. None: that run does not have it."""

    name: str
    left: str | None
    right: str | None


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side.

    Attributes
    ----------
    difference
        CV of ``right`` minus CV of ``left`` with its interval (paired, users resampled); None with the reason in
        ``why_not`` if they were not validated on the same rows.
    agreement
        Rank correlation of the two files within the groups.
    config, features
        Settings and feature fingerprints that differ. A blend of runs has no features of its own.
    facts
        Commit, data, versions and parents that differ.
    """

    left: Manifest
    right: Manifest
    difference: Difference | None
    why_not: str
    agreement: Agreement
    config: tuple[Change, ...]
    features: tuple[Change, ...]
    facts: tuple[Change, ...]


def compare_runs(runs: Runs, left: str, right: str) -> Comparison:
    """Compare two finished runs by what they stored; no data are opened.

    Raises SubmissionError if they are of different competitions or a run cannot be read.
    """
    a, b = runs.manifest(left), runs.manifest(right)
    if a.competition != b.competition:
        raise SubmissionError(
            f"Run {left} is of the competition {a.competition!r}, run {right} of {b.competition!r}.",
            expected="two runs of one competition",
        )
    difference, why_not = _difference(runs, a, b)
    return Comparison(
        left=a,
        right=b,
        difference=difference,
        why_not=why_not,
        agreement=rank_agreement(runs.scores(left), runs.scores(right), on=a.pair_keys, group=a.group),
        config=changes(flat(a.config), flat(b.config)),
        features=() if a.parents or b.parents else changes(a.features, b.features),
        facts=changes(_facts(a), _facts(b)),
    )


def _difference(runs: Runs, a: Manifest, b: Manifest) -> tuple[Difference | None, str]:
    """CV of ``b`` minus CV of ``a``, paired, or why it cannot be had."""
    left, right = runs.oof(a.run), runs.oof(b.run)
    for run, oof in ((a.run, left), (b.run, right)):
        if oof is None or oof["score"].null_count():
            return None, f"run {run} has no out-of-fold scores"
    if left is None or right is None or not same_rows(left, right):
        return None, "they were validated on different rows (other data, folds or pair selection)"
    other = right.select(*OOF_KEYS, pl.col("score").alias("other"))
    both = left.join(other, on=OOF_KEYS, how="left", validate="1:1", maintain_order="left")
    metric = Metric(a.metric.name, a.metric.policy, a.metric.greater_is_better)
    try:
        found = paired_bootstrap(
            both,
            metric,
            user=a.user,
            group=["window", a.user],
            score_a="score",
            score_b="other",
            n_resamples=N_RESAMPLES,
            seed=a.seeds.get("seed", 0),
        )
    except ConfigError as error:
        return None, error.found
    return found, ""


def _facts(manifest: Manifest) -> dict[str, str]:
    """What is compared beside config and features."""
    commit = (manifest.git.commit or f"unknown ({manifest.git.reason})") + " with changes" * bool(
        manifest.git.is_dirty
    )
    return {
        "commit": commit,
        "data": manifest.data_fingerprint,
        "metric": json.dumps(manifest.metric.model_dump(mode="json"), sort_keys=True),
        "chosen": manifest.chosen,
        "weights": ", ".join(f"{n} {w:.3f}" for n, w in manifest.weights.items()) or "none",
        "parents": ", ".join(p.run for p in manifest.parents) or "none",
        "python": manifest.python,
        "platform": manifest.platform,
        **{f"version of {name}": version for name, version in manifest.versions.items()},
    }


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Flatten nested tables to dotted names and JSON texts.

    >>> flat({"folds": {"n_folds": 3}, "seed": 1})
    {'folds.n_folds': '3', 'seed': '1'}
    """
    found: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = json.dumps(value, ensure_ascii=False)
    return found


def changes(left: Mapping[str, str], right: Mapping[str, str]) -> tuple[Change, ...]:
    """Names whose values differ, in the order of ``left``, then those that only ``right`` has."""
    names = [*left, *(name for name in right if name not in left)]
    return tuple(Change(n, left.get(n), right.get(n)) for n in names if left.get(n) != right.get(n))
