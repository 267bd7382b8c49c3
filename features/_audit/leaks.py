"""Compute every column in altered worlds and compare the values with the plain ones, bit for bit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import polars as pl

from engine import Job, Settings, run_jobs
from features._audit.alterations import ALONE, FEW, OTHERS_GONE, SAMPLE, TOGETHER, nothing
from features._audit.computed import Computed
from features._audit.findings import Finding, found_in
from features._audit.overflow import busy, overflow_findings
from features._audit.worlds import (
    AGAIN,
    TOGETHER_AGAIN,
    Sight,
    Worlds,
    first_sights,
    one_by_one,
    plain_values,
    seen,
)
from features._catalogue import Catalogue, FeatureColumn
from validation import Window

FAILS, DTYPE = "fails when computed", "declared dtype"
_LABELS = ("labels of the window flipped", "computed as the test window")


def failures(catalogue: Catalogue, plain: Computed) -> list[Finding]:
    """Tell what could not be computed at all, or was of another dtype than declared."""
    findings = []
    for name, message in plain.errors.items():
        is_dtype = "as declared" in message
        todo = "cast it to what it declares" if is_dtype else "mend it; --debug shows the traceback of a run"
        findings.append(
            found_in(catalogue.columns[name], DTYPE if is_dtype else FAILS, _one_line(message), todo)
        )
    return findings


def _one_line(message: str) -> str:
    return " ".join(message.split())


def differences(
    catalogue: Catalogue,
    plain: Computed,
    other: Computed,
    names: Iterable[str],
    check: str,
    windows: Iterable[Window],
) -> list[Finding]:
    """Compare values bit for bit, a null only equal to a null; what failed only in the other world differs, too."""
    wanted = [n for n in names if plain.has(n)]
    findings = []
    for name in (n for n in wanted if n in other.errors):
        column = catalogue.columns[name]
        evidence = f"it fails there: {_one_line(other.errors[name])}"
        findings.append(found_in(column, check, evidence, _todo(check, column)))
    for window in windows:
        shared = [n for n in wanted if n in other.frames[window].columns]
        findings += _compare(catalogue, plain.frames[window], other.frames[window], shared, check, window)
    return findings


def _compare(
    catalogue: Catalogue,
    plain: pl.DataFrame,
    other: pl.DataFrame,
    names: Sequence[str],
    check: str,
    window: Window,
) -> list[Finding]:
    both = other.join(plain, on="pair_id", how="left", validate="1:1", suffix=":plain").sort("pair_id")
    if not both.height or not names:
        return []
    differ = both.select(pl.col(n).ne_missing(pl.col(f"{n}:plain")).alias(n) for n in names)
    counts = differ.sum().row(0, named=True)
    return [
        _difference(catalogue.columns[n], both, differ[n], check, window)
        for n, count in counts.items()
        if count
    ]


def _difference(
    column: FeatureColumn, both: pl.DataFrame, differ: pl.Series, check: str, window: Window
) -> Finding:
    name = column.name
    row = both.filter(differ).row(0, named=True)
    evidence = (
        f"{differ.sum()} of {both.height} pairs differ; pair {row['pair_id']}: {_shown(row[f'{name}:plain'])} "
        f"became {_shown(row[name])}"
    )
    return found_in(column, check, evidence, _todo(check, column), window=window.name)


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _todo(check: str, column: FeatureColumn) -> str:
    if check.startswith("future") or check in _LABELS or check in TOGETHER:
        return "read only the history it is given, nothing from the cutoff on"
    if check in (ALONE, FEW, SAMPLE):
        return "compute each pair by itself, or declare the scope"
    if check == OTHERS_GONE:
        return (
            "compare it, and what reads it, at one share of the users only; --sample-pairs keeps every value"
        )
    if check == TOGETHER_AGAIN:
        return "keep nothing from one window for the next"
    return f"sort before anything that depends on order, and seed what is random (scope {column.scope})"


ELSEWHERE = "in another process with one thread"


def audit_worlds(worlds: Worlds, title: str) -> tuple[Computed, list[Finding]]:
    """Return the plain values of all windows, and what does not hold in the altered worlds."""
    here = worlds.settings.model_copy(update={"backend": "inline"})
    (plain,) = run_jobs(f"{title}: as it is", [Job("every window", plain_values, (worlds,))], here)
    findings = failures(worlds.catalogue, plain)
    names = tuple(n for n in worlds.names if plain.has(n))
    if not names:
        return plain, findings
    worlds = replace(worlds, names=names)
    sights = first_sights(worlds)
    jobs = [Job(ELSEWHERE, plain_values, (worlds,)), *_jobs(worlds, sights)]
    elsewhere, *others = run_jobs(f"{title}: altered", jobs, _in_processes(worlds.settings))
    again = Sight(AGAIN, worlds.windows[-1], nothing, names)
    (second,) = run_jobs(f"{title}: once more", _jobs(worlds, [again]), here)
    apart = differences(worlds.catalogue, plain, elsewhere, names, ELSEWHERE, worlds.windows)
    suspects: dict[Sight, list[str]] = {}
    for sight, values in [*zip(sights, others, strict=True), (again, second)]:
        if sight.alter is busy:
            plain_there = plain.frames[sight.window]
            findings += overflow_findings(worlds.catalogue, sight.window, plain_there, values)
            continue
        differing = _differ(worlds.catalogue, plain, values, sight)
        if sight.check == OTHERS_GONE:
            findings += [replace(f, severity="warning") for f in differing]
        elif differing:
            suspects[sight] = [f.column for f in differing]
    return plain, findings + _explained(worlds, plain, suspects, apart, title)


def _jobs(worlds: Worlds, sights: Iterable[Sight]) -> list[Job]:
    return [Job(f"{s.check} @ {s.window.name}", seen, (worlds, s)) for s in sights]


def _differ(catalogue: Catalogue, plain: Computed, there: Computed, sight: Sight) -> list[Finding]:
    return differences(catalogue, plain, there, sight.names, sight.check, (sight.window,))


def _in_processes(settings: Settings) -> Settings:
    """At least two workers, of one thread each: one worker would be this very process."""
    return settings.model_copy(update={"threads": max(2, settings.threads)})


def _explained(
    worlds: Worlds,
    plain: Computed,
    suspects: Mapping[Sight, Sequence[str]],
    apart: Sequence[Finding],
    title: str,
) -> list[Finding]:
    """Take what differed through each alteration by itself, and name the ones that make it differ.

    What is another value each time it is computed is told as just that.
    """
    if not suspects and not apart:
        return []
    catalogue = worlds.catalogue
    unsteady = _twice(worlds, {f.column for f in apart}.union(*suspects.values()))
    known = {f.column for f in unsteady}
    sights = []
    for sight, names in suspects.items():
        sights += one_by_one(sight, [n for n in names if n not in known], catalogue)
    here = worlds.settings.model_copy(update={"backend": "inline"})
    findings = [f for f in apart if f.column not in known]
    for sight, values in zip(
        sights, run_jobs(f"{title}: what it is", _jobs(worlds, sights), here), strict=True
    ):
        findings += _differ(catalogue, plain, values, sight)
    told = known.union(f.column for f in findings)
    for sight, names in suspects.items():  # what differs only all together, or only in another process
        rest = tuple(n for n in names if n not in told)
        if rest:
            sight = replace(sight, names=rest)
            findings += _differ(catalogue, plain, seen(worlds, sight), sight)
    return unsteady + findings


def _twice(worlds: Worlds, suspects: Iterable[str]) -> list[Finding]:
    """Compute the suspects twice here, nothing altered, and tell what is not the same."""
    sight = Sight(AGAIN, worlds.windows[-1], nothing, worlds.catalogue.closure(suspects))
    return _differ(worlds.catalogue, seen(worlds, sight), seen(worlds, sight), sight)
