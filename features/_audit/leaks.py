"""Compute every column in altered worlds and compare the values with the plain ones, bit for bit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl
from polars.exceptions import PolarsError

from engine import Job, run_jobs
from features._audit.alterations import (
    AGAIN,
    ALONE,
    FEW,
    N_BUSY,
    OTHERS_GONE,
    OVERFLOW,
    SAMPLE,
    TOGETHER,
    TOGETHER_AGAIN,
    Trial,
    World,
    Worlds,
    first_trials,
    nothing,
    single_trials,
)
from features._audit.findings import Finding, found_in
from features._audit.values import DTYPE, outside, range_of
from features._catalogue import Catalogue, FeatureColumn
from features._compute import compute_windows
from features._declare import FeatureError
from validation import Window

FAILS, ELSEWHERE = "fails when computed", "in another process with one thread"
_LABELS = ("labels of the window flipped", "computed as the test window")


@dataclass(frozen=True)
class Computed:
    """Values of columns in windows.

    ``frames``: ``pair_id`` and the columns that could be computed. ``errors``: the message of those that failed by
    themselves; what reads them is in neither.
    """

    frames: Mapping[Window, pl.DataFrame]
    errors: Mapping[str, str]

    def has(self, name: str) -> bool:
        """Tell whether the column was computed."""
        return all(name in frame.columns for frame in self.frames.values())


def audit_worlds(worlds: Worlds, title: str) -> tuple[Computed, list[Finding]]:
    """Return the plain values of all windows, and what does not hold in the altered worlds."""
    here = worlds.settings.model_copy(update={"backend": "inline"})
    (plain,) = run_jobs(f"{title}: as it is", [Job("every window", _plain_values, (worlds,))], here)
    findings = _failures(worlds.catalogue, plain)
    names = tuple(n for n in worlds.names if plain.has(n))
    if not names:
        return plain, findings
    worlds = replace(worlds, names=names)
    trials, again = first_trials(worlds), Trial(AGAIN, worlds.windows[-1], nothing, names)
    jobs = [Job(ELSEWHERE, _plain_values, (worlds,)), *_jobs(worlds, trials)]
    # At least two workers, of one thread each: one worker would be this very process.
    processes = worlds.settings.model_copy(update={"threads": max(2, worlds.settings.threads)})
    elsewhere, *others = run_jobs(f"{title}: altered", jobs, processes)
    (second,) = run_jobs(f"{title}: once more", _jobs(worlds, [again]), here)
    apart = _differences(worlds.catalogue, plain, elsewhere, names, ELSEWHERE, worlds.windows)
    suspects: dict[Trial, tuple[str, ...]] = {}
    for trial, values in [*zip(trials, others, strict=True), (again, second)]:
        if trial.check == OVERFLOW:
            findings += _overflows(worlds.catalogue, trial.window, plain, values)
            continue
        differing = _differ(worlds.catalogue, plain, values, trial)
        if trial.check == OTHERS_GONE:
            findings += [replace(f, severity="warning") for f in differing]
        elif differing:
            suspects[trial] = tuple(f.column for f in differing)
    return plain, findings + _explained(worlds, plain, suspects, apart, title)


def _plain_values(worlds: Worlds) -> Computed:
    """Compute every column of every window, nothing altered."""
    return _computed(worlds.catalogue, worlds.names, worlds.pairs)


def _tried(worlds: Worlds, trial: Trial) -> Computed:
    """Compute the columns of a trial in its altered world."""
    plain = World(worlds.catalogue.dataset, trial.window, worlds.pairs[trial.window])
    world = trial.alter(plain, worlds.settings.seed)
    catalogue = replace(worlds.catalogue, dataset=world.dataset)
    return _computed(catalogue, trial.names, {world.window: world.pairs})


def _jobs(worlds: Worlds, trials: Iterable[Trial]) -> list[Job]:
    return [Job(f"{t.check} @ {t.window.name}", _tried, (worlds, t)) for t in trials]


def _explained(
    worlds: Worlds,
    plain: Computed,
    suspects: Mapping[Trial, tuple[str, ...]],
    apart: Sequence[Finding],
    title: str,
) -> list[Finding]:
    """Take what differed through each alteration by itself, and name the ones that make it differ.

    What is another value each time it is computed is told as just that, and so is what other windows beside it change.
    """
    if not suspects and not apart:
        return []
    catalogue = worlds.catalogue
    names = catalogue.closure({f.column for f in apart}.union(*suspects.values()))
    twice = Trial(AGAIN, worlds.windows[-1], nothing, names)
    unsteady = _differ(catalogue, _tried(worlds, twice), _tried(worlds, twice), twice)
    known = {f.column for f in unsteady}
    carried = {n for trial, differing in suspects.items() if trial.check == AGAIN for n in differing}
    trials: list[Trial] = []
    for trial, differing in suspects.items():  # what needs no alteration to differ is not tried in any
        told = known if trial.check == AGAIN else known | carried
        trials += single_trials(trial, tuple(n for n in differing if n not in told))
    here = worlds.settings.model_copy(update={"backend": "inline"})
    findings = [f for f in apart if f.column not in known]
    there = run_jobs(f"{title}: what it is", _jobs(worlds, trials), here)
    for trial, values in zip(trials, there, strict=True):
        findings += _differ(catalogue, plain, values, trial)
    told = known.union(f.column for f in findings)
    for trial, differing in suspects.items():  # what differs only all together, or only in another process
        rest = replace(trial, names=tuple(n for n in differing if n not in told))
        if rest.names:
            findings += _differ(catalogue, plain, _tried(worlds, rest), rest)
    return unsteady + findings


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
    except (FeatureError, PolarsError) as error:
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


def _differ(catalogue: Catalogue, plain: Computed, there: Computed, trial: Trial) -> list[Finding]:
    return _differences(catalogue, plain, there, trial.names, trial.check, (trial.window,))


def _differences(
    catalogue: Catalogue,
    plain: Computed,
    there: Computed,
    names: Iterable[str],
    check: str,
    windows: Iterable[Window],
) -> list[Finding]:
    """Compare values bit for bit, a null only equal to a null; what failed only in the other world differs, too."""
    wanted = [n for n in names if plain.has(n)]
    findings = []
    for column in (catalogue.columns[n] for n in wanted if n in there.errors):
        evidence = f"it fails there: {there.errors[column.name]}"
        findings.append(found_in(column, check, evidence, _todo(check, column)))
    for window in windows:
        both = _side_by_side(plain, there, window)
        for column in (catalogue.columns[n] for n in wanted if n in both.columns):
            differ = _rows_where(pl.col("there").ne_missing(pl.col("plain")), both, column)
            if differ.height:
                evidence = f"{differ.height} of {both.height} pairs differ; {_became(differ)}"
                todo = _todo(check, column)
                findings.append(found_in(column, check, evidence, todo, window=window.name))
    return findings


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
    if check.startswith("future") or check in _LABELS or check in TOGETHER:
        return "read only the history it is given, nothing from the cutoff on"
    if check in (ALONE, FEW, SAMPLE):
        return "compute each pair by itself, or declare the scope"
    if check == OTHERS_GONE:
        return (
            "compare it, and what reads it, at one share of the users only; --sample-pairs keeps every value"
        )
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
    """Tell of a row whether its value has wrapped: below zero, out of its range, or grown by what ``N_BUSY`` leaves."""
    value, dtype = pl.col("there"), column.dtype
    span = range_of(column, schema)
    is_wrong = pl.lit(False) if span is None else outside(value, dtype, span)
    if dtype.is_integer():
        if isinstance(lowest, int) and lowest >= 0:
            is_wrong |= value < 0
        bits = 8 if dtype in (pl.Int8, pl.UInt8) else 16 if dtype in (pl.Int16, pl.UInt16) else None
        if bits:
            grown = value.cast(pl.Int64) - pl.col("plain").cast(pl.Int64)
            is_wrong |= (grown != 0) & ((grown - N_BUSY) % 2**bits == 0)
    return is_wrong
