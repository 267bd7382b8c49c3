"""Compute every column in altered worlds: all alterations together, and what differs once more in each of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from engine import Job, Settings, run_jobs
from features._audit_busy import busy, overflow_findings
from features._audit_checks import OTHERS_GONE, nothing
from features._audit_compare import differences, failures
from features._audit_computed import Computed
from features._audit_finding import Finding
from features._audit_sights import AGAIN, Sight, Worlds, first_sights, one_by_one, plain_values, seen
from features._catalogue import Catalogue

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
