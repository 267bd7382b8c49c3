"""How runs compare: two with each other, a new submission with the best run so far."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from engine import ConfigError
from submissions._cv import CvBasis, oof_side_by_side
from submissions._errors import SubmissionError
from submissions._gate import Finding, Gate, Verdict, check_file, scored_pairs, scores_in_file
from submissions._manifest import Manifest
from submissions._runs import Runs
from validation import Difference, paired_bootstrap

N_RESAMPLES = 1000
LOW_AGREEMENT = 0.3
"""Mean rank correlation below which the gate warns."""


@dataclass(frozen=True)
class Agreement:
    """Spearman's rank correlation (average ranks for ties) within each group.

    ``mean`` over the groups in which both scorings rank something; ``low`` is their tenth percentile; both null if
    there is no such group. ``n_groups`` counts those groups.
    """

    mean: float | None
    low: float | None
    n_groups: int


def rank_agreement(
    left: pl.DataFrame, right: pl.DataFrame, *, on: Sequence[str], group: Sequence[str], score: str = "score"
) -> Agreement:
    """Compare the ``score`` columns of two tables joined on their keys; rows that only one has are left out.

    >>> a = pl.DataFrame({"user": [1, 1, 1], "item": [1, 2, 3], "score": [0.1, 0.2, 0.3]})
    >>> b = pl.DataFrame({"user": [1, 1, 1], "item": [3, 2, 1], "score": [7.0, 8.0, 9.0]})
    >>> rank_agreement(a, b, on=["user", "item"], group=["user"]).mean
    -1.0
    """
    keys, names = list(dict.fromkeys([*on, *group])), list(group)
    both = left.select(*keys, score).join(
        right.select(*on, pl.col(score).alias("_other")), on=list(on), how="inner", validate="1:1"
    )
    ranks = [within(pl.col(c).rank("average"), names).alias(c) for c in (score, "_other")]
    by_group = (
        both.lazy()
        .with_columns(*ranks, pl.lit(0).alias("_all"))
        .group_by(names or ["_all"])
        .agg(
            rho=pl.corr(score, "_other", method="pearson"),
            ranks_something=(pl.col(score).n_unique() > 1) & (pl.col("_other").n_unique() > 1),
        )
        .filter("ranks_something")
        .sort(names or ["_all"])
        .collect(engine="streaming")
    )
    rho = by_group["rho"].clip(-1.0, 1.0)
    low = rho.quantile(0.1, "linear")
    return Agreement(_as_float(rho.mean()), _as_float(low), by_group.height)


def within(expression: pl.Expr, group: Sequence[str]) -> pl.Expr:
    """Evaluate an expression within groups; over all rows if ``group`` is empty."""
    return expression.over(list(group)) if group else expression


def _as_float(value: object) -> float | None:
    return float(value) if isinstance(value, float) else None


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
    both = oof_side_by_side({m.run: runs.oof(m.run) for m in (a, b)})
    if isinstance(both, str):
        return None, both
    try:
        found = paired_bootstrap(
            both,
            a.metric,
            user=a.user,
            group=["window", a.user],
            score_a="score",
            score_b=b.run,
            n_resamples=N_RESAMPLES,
            seed=a.seeds.get("seed", 0),
        )
    except ConfigError as error:
        return None, error.found
    return found, ""


def _facts(manifest: Manifest) -> dict[str, str]:
    """What is compared beside config and features."""
    commit = manifest.git.commit or f"unknown ({manifest.git.reason})"
    return {
        "commit": commit + " with changes" * bool(manifest.git.is_dirty),
        "data": manifest.data_fingerprint,
        "metric": json.dumps(asdict(manifest.metric), sort_keys=True),
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


def best_run(runs: Runs, basis: CvBasis) -> Manifest | None:
    """The finished run with the best CV of that basis; the newest of equals. None if there is none.

    CV values over other data or folds are no better or worse than this one's. A run whose manifest is
    damaged is passed over: ``list`` shows it.
    """
    found: list[tuple[float, Manifest]] = []
    for run in reversed(runs.ids()):
        with suppress(SubmissionError):
            manifest = runs.manifest(run)
            if CvBasis.of_run(manifest) == basis and manifest.cv_mean is not None:
                sign = 1 if manifest.metric.greater_is_better else -1
                found.append((sign * manifest.cv_mean, manifest))
    return max(found, key=lambda run: run[0])[1] if found else None


def previous_best(runs: Runs, gate: Gate, basis: CvBasis, table: pl.DataFrame) -> Verdict:
    """Compare the ranks of a submission with those of the best run so far.

    ``table`` has the columns of ``gate.pair_columns`` and ``score``. Never a refusal: a warning if they agree badly,
    otherwise a fact.
    """
    best = best_run(runs, basis)
    if best is None:
        return Verdict(facts=("no earlier run over the same data and folds to compare with",))
    what = f"the best run so far, {best.run} (CV {best.cv_mean:.5f})"
    try:
        other = scored_pairs(gate, runs.scores(best.run), on=gate.pair_keys)
    except SubmissionError as error:
        return Verdict(facts=(f"not compared with {what}: {error.found}",))
    found = rank_agreement(table, other, on=gate.pair_keys, group=gate.group)
    if found.mean is None:
        return Verdict(facts=(f"not compared with {what}: no group has two ranks",))
    words = f"rank correlation {found.mean:.3f} with {what}"
    if found.mean >= LOW_AGREEMENT:
        return Verdict(facts=(words,))
    todo = "check the sign of the scores" if found.mean < 0 else "check that the scores belong to their keys"
    return Verdict(warnings=(Finding("low agreement", f"{words}.", todo=todo),))


def check_against_runs(runs: Runs, gate: Gate, basis: CvBasis, path: Path) -> Verdict:
    """Check a file; if it is accepted, say how it agrees with the best run of that basis."""
    verdict = check_file(gate, path)
    table = scores_in_file(gate, path) if verdict.is_accepted else None
    return verdict if table is None else verdict + previous_best(runs, gate, basis, table)
