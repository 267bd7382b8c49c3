"""Prove that features do not know the future and are the same everywhere, or name the one that does not hold."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import polars as pl

from engine import Job, Settings, run_jobs
from features._audit_checks import ALTERATIONS, World, sampled
from features._catalogue import Catalogue
from features._column import FeatureColumn
from features._compute import compute_window
from validation import Window, window_pairs

ALONE, FEW = "one pair alone", "a few pairs"
ELSEWHERE = "in another process with one thread"
READERS = {"open", "solution", "read_text", "read_bytes", "load", "loadtxt", "memmap"}
READER_STEMS = ("read_", "scan_")


@dataclass(frozen=True)
class Finding:
    """One broken promise: which column, where it is written, which check, and a pair that shows it."""

    column: str
    place: str
    check: str
    window: str
    evidence: str
    todo: str


def audit(
    catalogue: Catalogue, windows: Sequence[Window], names: Iterable[str], *, seed: int
) -> list[Finding]:
    """Compute the columns in altered worlds and compare. Returns what differs, the first finding a column and check.

    The alterations are those of ``ALTERATIONS``, and the pairs computed in a sample and alone.
    """
    names = catalogue.closure(names)
    findings = [f for name in names for f in reads_by_itself(catalogue.columns[name])]
    for window in windows:
        world = World(catalogue.dataset, window, window_pairs(catalogue.dataset, window))
        plain = _values(catalogue, world, names)
        for check, alter in ALTERATIONS.items():
            values = _values(catalogue, alter(world, seed), names)
            findings += _compare(catalogue, plain, values, names, check, window)
        findings += _check_samples(catalogue, world, plain, names, seed)
    return _first_of_each(findings)


def audit_processes(
    catalogue: Catalogue, windows: Sequence[Window], names: Iterable[str], settings: Settings
) -> list[Finding]:
    """Compute the columns in worker processes with one thread each and compare with those computed here."""
    names = catalogue.closure(names)
    elsewhere = settings.model_copy(update={"backend": "processes", "threads": 2})
    worlds = [World(catalogue.dataset, w, window_pairs(catalogue.dataset, w)) for w in windows]
    jobs = [Job(f"audit {w.window.name}", _values, (catalogue, w, names)) for w in worlds]
    jobs = jobs if len(jobs) > 1 else jobs * 2  # one job alone would run in this very process
    there = run_jobs("audit in processes", jobs, elsewhere)
    findings: list[Finding] = []
    for world, values in zip(worlds, there, strict=False):
        here = _values(catalogue, world, names)
        findings += _compare(catalogue, here, values, names, ELSEWHERE, world.window)
    return _first_of_each(findings)


def _values(catalogue: Catalogue, world: World, names: Sequence[str]) -> pl.DataFrame:
    return compute_window(replace(catalogue, dataset=world.dataset), world.window, names, world.pairs)


def _check_samples(
    catalogue: Catalogue, world: World, plain: pl.DataFrame, names: Sequence[str], seed: int
) -> list[Finding]:
    """Compute a few pairs, and one alone, of each scope with that scope kept whole."""
    findings = []
    for check, n in ((FEW, 100), (ALONE, 1)):
        for scope in ("row", "user"):
            own = [n for n in names if catalogue.columns[n].scope == scope]
            if own:
                few = sampled(world, scope, seed, n)
                values = _values(catalogue, few, catalogue.closure(own))
                findings += _compare(catalogue, plain, values, own, check, world.window)
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
    if not both.height:
        return []
    counts = both.select((pl.col(n).ne_missing(pl.col(f"{n}:plain"))).sum().alias(n) for n in names).row(
        0, named=True
    )
    return [
        _finding(catalogue.columns[n], both, check, window, count) for n, count in counts.items() if count
    ]


def _finding(column: FeatureColumn, both: pl.DataFrame, check: str, window: Window, count: int) -> Finding:
    name = column.name
    row = both.filter(pl.col(name).ne_missing(pl.col(f"{name}:plain"))).row(0, named=True)
    before, after = row[f"{name}:plain"], row[name]
    evidence = f"{count} of {both.height} pairs differ; pair {row['pair_id']}: {before} became {after}"
    return Finding(name, str(column.declaration.place), check, window.name, evidence, _todo(check, column))


def _todo(check: str, column: FeatureColumn) -> str:
    if check.startswith("future") or "flipped" in check or "test window" in check:
        return "read only the history it is given, nothing from the cutoff on"
    if check in (ALONE, FEW):
        return "compute each pair by itself, or declare the scope"
    return f"sort before anything that depends on order, and seed what is random (scope {column.scope})"


def reads_by_itself(column: FeatureColumn) -> list[Finding]:
    """Find calls in the body that read files or the solution: what comes from there cannot be proven."""
    try:
        source = textwrap.dedent(inspect.getsource(column.declaration.body))
    except (OSError, TypeError):
        return []
    calls = (node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    names = {c.attr if isinstance(c, ast.Attribute) else getattr(c, "id", "") for c in calls}
    found = sorted(n for n in names if n in READERS or n.startswith(READER_STEMS))
    if not found:
        return []
    evidence = f"its body calls {', '.join(found)}"
    todo = "take what it needs from the history, or make the file a table of the competition"
    return [Finding(column.name, str(column.declaration.place), "reads files by itself", "", evidence, todo)]


def _first_of_each(findings: Sequence[Finding]) -> list[Finding]:

    return list({(f.column, f.check): f for f in reversed(findings)}.values())[::-1]
