"""Compute every column in altered worlds: all alterations together, and what differs once more in each of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from engine import Job, Settings, run_jobs
from features._audit_busy import busy, can_overflow, overflow_findings
from features._audit_checks import (
    ALONE,
    ALTERATIONS,
    FEW,
    SAMPLE,
    TOGETHER,
    Alteration,
    World,
    few_pairs,
    nothing,
    of_sample,
    one_pair,
    one_user,
)
from features._audit_computed import Computed, computed
from features._audit_finding import Finding, found_in
from features._catalogue import Catalogue
from features._column import FeatureColumn
from validation import Window

Frames = Mapping[Window, pl.DataFrame]
FAILS, DTYPE = "fails when computed", "declared dtype"
ELSEWHERE = "in another process with one thread"
AGAIN = "a second run in the same process"
TOGETHER_AGAIN = "windows computed one by one"
_LABELS = ("labels of the window flipped", "computed as the test window")
_SCOPES = {"row": (one_pair, ALONE), "user": (one_user, ALONE)}


@dataclass(frozen=True)
class Worlds:
    """What is altered: a data set that can be computed again and again, and windows with the pairs to compare.

    ``windows``: the ones to alter. ``pairs``: of these and, for the values alone, of others such as the test window.
    ``is_brief``: only what alters the log, and not the pairs or the process.
    """

    catalogue: Catalogue
    names: tuple[str, ...]
    windows: tuple[Window, ...]
    pairs: Frames
    seed: int
    settings: Settings
    is_brief: bool = False

    def of(self, window: Window) -> World:
        """The unaltered world of a window."""
        return World(self.catalogue.dataset, window, self.pairs[window])


@dataclass(frozen=True)
class Sight:
    """A world to compute: under which name, what it alters, and which columns are looked at there."""

    check: str
    window: Window
    alter: Alteration
    names: tuple[str, ...]


def audit_worlds(worlds: Worlds, title: str) -> tuple[Computed, list[Finding]]:
    """Return the plain values of all windows, and what does not hold in the altered worlds."""
    here = worlds.settings.model_copy(update={"backend": "inline"})
    (plain,) = run_jobs(f"{title}: as it is", [Job("every window", plain_values, (worlds,))], here)
    findings = _failures(worlds.catalogue, plain)
    names = tuple(n for n in worlds.names if plain.has(n))
    if not names:
        return plain, findings
    worlds = replace(worlds, names=names)
    sights = _sights(worlds)
    jobs = [Job(ELSEWHERE, plain_values, (worlds,))]
    jobs += [Job(f"{s.check} @ {s.window.name}", seen, (worlds, s)) for s in sights]
    elsewhere, *others = run_jobs(f"{title}: altered", jobs, _in_processes(worlds.settings))
    last = worlds.windows[-1]
    again = Sight(AGAIN, last, nothing, names)
    (second,) = run_jobs(f"{title}: once more", [Job(AGAIN, seen, (worlds, again))], here)
    apart = _differences(worlds.catalogue, plain, elsewhere, names, ELSEWHERE, worlds.windows)
    suspects: dict[Sight, list[str]] = {}
    for sight, values in [*zip(sights, others, strict=True), (again, second)]:
        if sight.alter is busy:
            findings += overflow_findings(worlds.catalogue, sight.window, plain.frames[sight.window], values)
            continue
        differing = _differences(worlds.catalogue, plain, values, sight.names, sight.check, (sight.window,))
        if differing:
            suspects[sight] = [f.column for f in differing]
    return plain, findings + _explained(worlds, plain, suspects, apart, title)


def plain_values(worlds: Worlds) -> Computed:
    """Compute every column of every window, nothing altered."""
    return computed(worlds.catalogue, worlds.names, worlds.pairs)


def seen(worlds: Worlds, sight: Sight) -> Computed:
    """Compute the columns in one altered world of one window."""
    world = sight.alter(worlds.of(sight.window), worlds.seed)
    catalogue = replace(worlds.catalogue, dataset=world.dataset)
    return computed(catalogue, sight.names, {world.window: world.pairs})


def _in_processes(settings: Settings) -> Settings:
    """At least two workers, of one thread each: one worker would be this very process."""
    return settings.model_copy(update={"threads": max(2, settings.threads)})


def _sights(worlds: Worlds) -> list[Sight]:
    """The worlds that every column is computed in; more only for what differs in one of them."""
    columns = worlds.catalogue.columns
    sights = [
        Sight(check, window, alter, worlds.names)
        for window in worlds.windows
        for check, alter in TOGETHER.items()
    ]
    if worlds.is_brief:
        return sights
    last, schema = worlds.windows[-1], worlds.catalogue.dataset.history_schema
    shown = _of_scope(worlds, ("row", "user"))
    wide = tuple(n for n in worlds.names if can_overflow(columns[n], schema))
    few = [Sight(SAMPLE, last, of_sample, shown), Sight("overflow", last, busy, wide)]
    few += [
        Sight(check, last, alter, _of_scope(worlds, (scope,))) for scope, (alter, check) in _SCOPES.items()
    ]
    return sights + [sight for sight in few if sight.names]


def _of_scope(worlds: Worlds, scopes: Sequence[str]) -> tuple[str, ...]:
    return tuple(n for n in worlds.names if worlds.catalogue.columns[n].scope in scopes)


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
        own = [n for n in names if n not in known]
        sights += _one_by_one(sight, own, catalogue)
    jobs = [Job(f"{s.check} @ {s.window.name}", seen, (worlds, s)) for s in sights]
    here = worlds.settings.model_copy(update={"backend": "inline"})
    findings = [f for f in apart if f.column not in known]
    for sight, values in zip(sights, run_jobs(f"{title}: what it is", jobs, here), strict=True):
        findings += _differences(catalogue, plain, values, sight.names, sight.check, (sight.window,))
    told = known.union(f.column for f in findings)
    for sight, names in suspects.items():  # what differs only all together, or only in another process
        rest = [n for n in names if n not in told]
        if rest:
            values = seen(worlds, replace(sight, names=tuple(rest)))
            findings += _differences(catalogue, plain, values, rest, sight.check, (sight.window,))
    return unsteady + findings


def _twice(worlds: Worlds, suspects: Iterable[str]) -> list[Finding]:
    """Compute the suspects twice here, nothing altered, and tell what is not the same."""
    names = worlds.catalogue.closure(suspects)
    sight = Sight(AGAIN, worlds.windows[-1], nothing, names)
    first, second = seen(worlds, sight), seen(worlds, sight)
    return _differences(worlds.catalogue, first, second, names, AGAIN, (sight.window,))


def _one_by_one(sight: Sight, names: Sequence[str], catalogue: Catalogue) -> list[Sight]:
    """The single alterations of a world, for the columns that differ there."""
    if not names:
        return []
    if sight.check == SAMPLE:
        shown = tuple(n for n in names if catalogue.columns[n].scope != "window")
        return [Sight(FEW, sight.window, few_pairs, shown), Sight(SAMPLE, sight.window, of_sample, shown)]
    if sight.check == AGAIN:
        return [Sight(TOGETHER_AGAIN, sight.window, nothing, tuple(names))]
    if sight.check == ALONE:
        scope = "user" if sight.alter is one_user else "row"
        own = tuple(n for n in names if catalogue.columns[n].scope == scope)
        return [Sight(ALONE, sight.window, sight.alter, own)]
    return [Sight(check, sight.window, alter, tuple(names)) for check, alter in ALTERATIONS.items()]


def _failures(catalogue: Catalogue, plain: Computed) -> list[Finding]:
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


def _differences(
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
    if check == TOGETHER_AGAIN:
        return "keep nothing from one window for the next"
    return f"sort before anything that depends on order, and seed what is random (scope {column.scope})"
