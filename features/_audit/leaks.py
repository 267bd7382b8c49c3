"""Compute every column in altered worlds and compare the values with the plain ones, bit for bit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from competitions import Dataset, opened
from engine import Job, SamewiseError, refuse_newer_code, run_jobs
from features._audit.alterations import (
    AGAIN,
    ALONE,
    ELSEWHERE,
    FEW,
    IDS,
    N_BUSY,
    OTHERS_GONE,
    OVERFLOW,
    RELABELLED,
    ROWS,
    SAMPLE,
    TIME,
    TOGETHER,
    TOGETHER_AGAIN,
    Ground,
    Trial,
    World,
    Worlds,
    first_trials,
    single_trials,
)
from features._audit.findings import Finding, found_in
from features._audit.fresh import bound, concerned, fresh_modules, registered
from features._audit.outside import Access, watched
from features._audit.relabelled import SAME, Relabelled, new_ids, relabelled
from features._audit.values import DTYPE, outside, range_of
from features._catalogue import Catalogue, FeatureColumn
from features._compute import compute_windows
from features._declare import FeatureError
from validation import Window

FAILS, READS = "fails when computed", "reads files by itself"
INEXACT = "it would not be exact"  # in the message of a sum that is refused for its size
_TODO = {
    IDS: "use ids only to look up and to group; if they are meant to show, or are read from elsewhere: uses_ids=True",
    ROWS: "use row and pair_id for their order only",
    TIME: "use the clock and instants as distances from the cutoff; if they are meant to show: uses_time=True",
    RELABELLED: "use ids, rows and instants for what they are of, not for their values",
}
LABELS = ("labels of the window flipped", "computed as the test window")


@dataclass(frozen=True)
class Computed:
    """Values of columns in windows.

    ``frames``: ``pair_id`` and the columns that could be computed. ``errors``: the message of those that failed by
    themselves; what reads them is in neither. ``accesses``: what features took from outside.
    """

    frames: Mapping[Window, pl.DataFrame]
    errors: Mapping[str, str]
    accesses: tuple[Access, ...] = ()

    def has(self, name: str) -> bool:
        """Tell whether the column was computed."""
        return all(name in frame.columns for frame in self.frames.values())


def audit_worlds(worlds: Worlds, title: str) -> tuple[Computed, list[Finding]]:
    """Return the plain values of all windows, and what does not hold in the altered worlds."""
    catalogue = worlds.catalogue
    here = worlds.settings.model_copy(update={"backend": "inline"})
    every = Job("every window", _computed, (catalogue, worlds.names, worlds.pairs))
    (plain,) = run_jobs(f"{title}: as it is", [every], here)
    findings = _failures(catalogue, plain)
    names = tuple(n for n in worlds.names if plain.has(n))
    if not names:
        return plain, findings
    worlds = replace(worlds, names=names)
    trials, again = first_trials(worlds), Trial(AGAIN, worlds.windows[-1:], names)
    altered = _run(worlds, f"{title}: altered", trials)
    (second,) = run_jobs(f"{title}: once more", [_job_here(worlds, again)], here)
    findings += _accesses(catalogue, names, altered)
    suspects: dict[Trial, list[Finding]] = {}
    for trial, values in [*zip(trials, altered, strict=True), (again, second)]:
        if trial.check == OVERFLOW:
            findings += _overflows(catalogue, trial.windows[0], plain, values)
            continue
        differing = _differences(worlds, plain, values, trial)
        if trial.check == OTHERS_GONE:
            findings += [replace(f, severity="warning") for f in differing]
        elif differing:
            suspects[trial] = differing
    return plain, findings + _explained(worlds, plain, suspects, title)


def _run(worlds: Worlds, title: str, trials: Sequence[Trial]) -> list[Computed]:
    """Compute trials in worker processes: two at least, of one thread each, since one would be this very process."""
    jobs = [Job(trial.name, _tried, (worlds.ground, trial)) for trial in trials]
    return _run_apart(worlds, title, jobs)


def _run_apart(worlds: Worlds, title: str, jobs: Sequence[Job]) -> list[Any]:
    processes = worlds.settings.model_copy(update={"threads": max(2, worlds.settings.threads)})
    more = [Job("nothing", tuple)] if len(jobs) == 1 else []
    return run_jobs(title, [*jobs, *more], processes)[: len(jobs)]


def _job_here(worlds: Worlds, trial: Trial) -> Job:
    pairs = {window: worlds.pairs[window] for window in trial.windows}
    return Job(trial.name, _computed, (worlds.catalogue, trial.names, pairs))


def _tried(ground: Ground, trial: Trial) -> Computed:
    """Lay the world of a trial, import the feature files within it, and compute the columns."""
    if trial.alter is not None or (len(trial.windows) == 1 and trial.labels == SAME):
        world = _altered(ground, trial)
        return _within(ground, trial, world.dataset, {world.window: world.pairs})
    there = _relabelled(ground, trial)
    found = _within(ground, trial, there.dataset, there.pairs)
    return replace(found, frames=there.restored(found.frames))


def _altered(ground: Ground, trial: Trial) -> World:
    dataset, pairs = ground.unpacked()
    (window,) = trial.windows
    plain = World(dataset, window, pairs[window])
    return trial.alter(plain, ground.seed) if trial.alter else plain


def _relabelled(ground: Ground, trial: Trial) -> Relabelled:
    dataset, pairs = ground.unpacked()
    return relabelled(dataset, {window: pairs[window] for window in trial.windows}, trial.labels, ground.seed)


def _within(ground: Ground, trial: Trial, dataset: Dataset, pairs: Mapping[Window, pl.DataFrame]) -> Computed:
    with fresh_modules(), watched() as watch, opened(dataset):
        there = bound(ground.features, dataset)
        refuse_newer_code(ground.loaded, again=True)
        found = _computed(there.catalogue, [n for n in trial.names if n in there.catalogue.columns], pairs)
        declarations = {
            one.name: one
            for one in (
                *registered().values(),
                *(c.declaration for c in there.catalogue.columns.values()),
            )
        }.values()
        accesses = [
            replace(access, feature=name)
            for access in watch.seen.values()
            for name in ([access.feature] if access.feature else concerned(access, declarations))
        ]
    lacking = {n: there.errors.get(n, there.catalogue.unavailable.get(n, "it is not there"))
               for n in trial.names if n not in there.catalogue.columns}  # fmt: skip
    return Computed(found.frames, {**found.errors, **lacking}, tuple(accesses))


def _accesses(catalogue: Catalogue, names: Iterable[str], computed: Iterable[Computed]) -> list[Finding]:
    """Find what features took from outside, in whatever world."""
    seen: dict[str, dict[str, None]] = {}
    for access in (access for one in computed for access in one.accesses):
        seen.setdefault(access.feature, {})[str(access)] = None
    todo = "take what it needs from the history, or make it a table of the competition"
    columns = [catalogue.columns[name] for name in names]
    return [
        found_in(column, READS, "; ".join(sorted(seen[column.declaration.name])), todo)
        for column in columns
        if column.declaration.name in seen
    ]


def _explained(
    worlds: Worlds, plain: Computed, suspects: Mapping[Trial, Sequence[Finding]], title: str
) -> list[Finding]:
    """Take what differed through each alteration by itself, and name the ones that make it differ.

    What is another value each time it is computed is told as just that, and so is what other windows beside it change.
    """
    if not suspects:
        return []
    differing = {trial: tuple(dict.fromkeys(f.column for f in found)) for trial, found in suspects.items()}
    names = worlds.catalogue.closure({name for of_trial in differing.values() for name in of_trial})
    here = worlds.settings.model_copy(update={"backend": "inline"})
    twice = Trial(AGAIN, worlds.windows[-1:], names)
    first, second = run_jobs(f"{title}: is it steady", [_job_here(worlds, twice)] * 2, here)
    unsteady = _differences(worlds, first, second, twice)
    known = {f.column for f in unsteady}
    carried = {n for trial, of_trial in differing.items() if trial.check == AGAIN for n in of_trial}
    trials: list[Trial] = []
    for trial, of_trial in differing.items():  # what needs no alteration to differ is not tried in any
        told = known if trial.check == AGAIN else known | carried
        trials += single_trials(trial, tuple(n for n in of_trial if n not in told))
    findings = []
    for trial, values in zip(trials, _run(worlds, f"{title}: what it is", trials), strict=True):
        findings += _differences(worlds, plain, values, trial)
    moved = tuple(dict.fromkeys(f.column for f in findings if f.check == ELSEWHERE))
    findings = [f for f in findings if f.check == ELSEWHERE or f.column not in moved]
    findings += _beside_the_process(worlds, moved, [t for t in trials if t.check != ELSEWHERE], title)
    told = known.union(f.column for f in findings)  # what differs only all together is told as that
    rest = [f for own in suspects.values() for f in own if f.column not in told]
    return unsteady + findings + rest


def _beside_the_process(
    worlds: Worlds, moved: tuple[str, ...], trials: Sequence[Trial], title: str
) -> list[Finding]:
    """Name the alterations that change what another process changes, too: all in one process, and beside each other."""
    if not moved:
        return []
    own = [replace(trial, names=tuple(n for n in trial.names if n in moved)) for trial in trials]
    own = [Trial(ELSEWHERE, tuple(worlds.pairs), moved), *(trial for trial in own if trial.names)]
    job = Job("one after the other", _in_turn, (worlds.ground, own))
    ((plain, *others),) = _run_apart(worlds, f"{title}: beside the process", [job])
    return [
        f for t, values in zip(own[1:], others, strict=True) for f in _differences(worlds, plain, values, t)
    ]


def _in_turn(ground: Ground, trials: Sequence[Trial]) -> list[Computed]:
    return [_tried(ground, trial) for trial in trials]


def _computed(catalogue: Catalogue, names: Iterable[str], pairs: Mapping[Window, pl.DataFrame]) -> Computed:
    """Compute the columns and what they read for the pairs of windows; what fails is told, the rest computed."""
    wanted = catalogue.closure(names)
    errors: dict[str, str] = {}
    frames = _frames(catalogue, wanted, pairs)
    if isinstance(frames, str):
        declarations: dict[str, list[str]] = {}  # columns of one fail together, each after what it reads
        for name in wanted:
            declarations.setdefault(catalogue.columns[name].declaration.name, []).append(name)
        _collect_errors(catalogue, list(declarations.values()), pairs, errors)
        wanted = _without(catalogue, wanted, errors)
        frames = _frames(catalogue, wanted, pairs) if wanted else {}
        if isinstance(frames, str):
            raise FeatureError(
                f"These features cannot be computed together, though each can by itself: {frames}",
                todo="audit them by name, a few at a time",
            )
    empty = {window: frame.select("pair_id") for window, frame in pairs.items()}
    return Computed(frames or empty, errors)


def _frames(
    catalogue: Catalogue, names: Sequence[str], pairs: Mapping[Window, pl.DataFrame]
) -> dict[Window, pl.DataFrame] | str:
    try:
        return compute_windows(catalogue, names, pairs)
    except (SamewiseError, PolarsError) as error:
        return " ".join(str(error).split())


def _without(catalogue: Catalogue, names: Iterable[str], errors: Mapping[str, str]) -> tuple[str, ...]:
    """The columns that read nothing that fails."""
    return tuple(n for n in names if not errors.keys() & set(catalogue.closure([n])))


def _collect_errors(
    catalogue: Catalogue,
    declarations: Sequence[Sequence[str]],
    pairs: Mapping[Window, pl.DataFrame],
    errors: dict[str, str],
) -> None:
    """Halve the declarations until those that fail stand alone."""
    names = _without(catalogue, [n for columns in declarations for n in columns], errors)
    message = _frames(catalogue, catalogue.closure(names), pairs) if names else {}
    if not isinstance(message, str):
        return
    if len(declarations) == 1:
        errors.update(dict.fromkeys(names, message))
        return
    half = len(declarations) // 2
    for some in (declarations[:half], declarations[half:]):
        _collect_errors(catalogue, some, pairs, errors)


def _failures(catalogue: Catalogue, plain: Computed) -> list[Finding]:
    """Tell what could not be computed at all, or was of another dtype than declared."""
    as_dtype = (DTYPE, "cast it to what it declares")
    as_failure = (FAILS, "mend it; --debug shows the traceback of a run")
    findings = []
    for name, message in plain.errors.items():
        check, todo = as_dtype if "as declared" in message else as_failure
        findings.append(found_in(catalogue.columns[name], check, message, todo))
    return findings


def _differences(worlds: Worlds, plain: Computed, there: Computed, trial: Trial) -> list[Finding]:
    """Compare values bit for bit, a null only equal to a null; what failed only in the other world differs, too."""
    catalogue, check = worlds.catalogue, trial.check
    wanted = [n for n in trial.names if plain.has(n)]
    findings = []
    for column in (catalogue.columns[n] for n in wanted if n in there.errors):
        evidence = f"it fails there: {there.errors[column.name]}"
        findings.append(found_in(column, check, evidence, _todo(check, column)))
    for window in trial.windows:
        both = _side_by_side(plain, there, window)
        for column in (catalogue.columns[n] for n in wanted if n in both.columns):
            differ = _rows_where(pl.col("there").ne_missing(pl.col("plain")), both, column)
            if differ.height and not (trial.labels.ids and _are_ids(worlds, differ)):
                evidence = f"{differ.height} of {both.height} pairs differ; {_became(differ)}"
                todo = _todo(check, column)
                findings.append(found_in(column, check, evidence, todo, window=window.name))
    return findings


def _are_ids(worlds: Worlds, differ: pl.DataFrame) -> bool:
    """Tell whether values are arrays of ids of one kind, the new ones where the old ones were."""
    dtype = differ.schema["there"]
    if not isinstance(dtype, pl.List | pl.Array) or not dtype.inner.is_integer():
        return False
    lists = differ.select(pl.col("there", "plain").cast(pl.List(dtype.inner)))
    for old, new in new_ids(worlds.catalogue.dataset, worlds.pairs, worlds.settings.seed).values():
        if old.dtype.is_integer():
            back = pl.element().cast(pl.Int128).replace(new.cast(pl.Int128), old.cast(pl.Int128))
            before = lists["plain"].cast(pl.List(pl.Int128))
            if lists.select(pl.col("there").list.eval(back))["there"].equals(before):
                return True
    return False


def _side_by_side(plain: Computed, there: Computed, window: Window) -> pl.DataFrame:
    """Values of another world, and the plain ones of the same pairs as ``NAME:plain``."""
    values, before = there.frames[window], plain.frames[window]
    shared = [n for n in values.columns if n in before.columns]
    both = values.select(shared).join(
        before.select(shared), on="pair_id", how="left", validate="1:1", suffix=":plain"
    )
    return both.sort("pair_id")


def _rows_where(condition: pl.Expr, both: pl.DataFrame, column: FeatureColumn) -> pl.DataFrame:
    """The rows for whose values ``there`` and ``plain`` the condition holds."""
    values = both.select("pair_id", there=pl.col(column.name), plain=pl.col(f"{column.name}:plain"))
    return values.filter(condition)


def _became(rows: pl.DataFrame) -> str:
    pair, *values = (str(value) for value in rows.row(0))
    now, before = (text if len(text) <= 80 else f"{text[:79]}…" for text in values)
    return f"pair {pair}: {before} became {now}"


def _todo(check: str, column: FeatureColumn) -> str:
    if check.startswith("future") or check in LABELS or check in TOGETHER:
        return "read only the history it is given, nothing from the cutoff on"
    if check in (ALONE, FEW, SAMPLE):
        return "compute each pair by itself, or declare the scope"
    if check == OTHERS_GONE:
        return (
            "compare it, and what reads it, at one share of the users only; --sample-pairs keeps every value"
        )
    if check in _TODO:
        return _TODO[check]
    if check == TOGETHER_AGAIN:
        is_streamed = column.kind == "streamed"
        return "save the state without loss" if is_streamed else "keep nothing from one window for the next"
    return f"sort before anything that depends on order, and seed what is random (scope {column.scope})"


def _overflows(catalogue: Catalogue, window: Window, plain: Computed, there: Computed) -> list[Finding]:
    """Find what wraps around in the world in which one user met one item ``N_BUSY`` times before the cutoff."""
    todo, with_more = "count in Int64 or UInt32, and cast at the end", f"with {N_BUSY:,} more rows of"
    findings = []
    for name, message in there.errors.items():
        evidence = f"{with_more} a pair: {message}"
        findings.append(found_in(catalogue.columns[name], OVERFLOW, evidence, todo, window=window.name))
    both = _side_by_side(plain, there, window)
    for column in (c for name, c in catalogue.columns.items() if name in both.columns):
        lowest = plain.frames[window][column.name].min()
        is_wrapped = _is_wrapped(column, lowest, catalogue.dataset.history_schema)
        wrapped = _rows_where(is_wrapped, both, column)
        if wrapped.height:
            evidence = f"{with_more} the user, {_became(wrapped)} ({column.dtype})"
            findings.append(found_in(column, OVERFLOW, evidence, todo, window=window.name))
    return findings


def _is_wrapped(column: FeatureColumn, lowest: object, schema: pl.Schema) -> pl.Expr:
    """Tell of a row whether its value has wrapped: below zero, out of its range, or grown by what ``N_BUSY`` leaves.

    What fell by so much a row is the sum of something below zero.
    """
    value, dtype = pl.col("there"), column.dtype
    span = range_of(column, schema)
    is_wrong = pl.lit(False) if span is None else outside(value, dtype, span)
    if dtype.is_integer():
        grown = value.cast(pl.Int64, strict=False) - pl.col("plain").cast(pl.Int64, strict=False).fill_null(0)
        if isinstance(lowest, int) and lowest >= 0:
            is_wrong |= (value < 0) & (grown % N_BUSY != 0)
        bits = 8 if dtype in (pl.Int8, pl.UInt8) else 16 if dtype in (pl.Int16, pl.UInt16) else None
        if bits:
            is_wrong |= (grown != 0) & ((grown - N_BUSY) % 2**bits == 0)
    return is_wrong
