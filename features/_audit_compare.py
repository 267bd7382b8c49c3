"""Compare the values of an altered world with the plain ones, bit for bit, and say what differs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from features._audit_checks import ALONE, FEW, OTHERS_GONE, SAMPLE, TOGETHER
from features._audit_computed import Computed
from features._audit_finding import Finding, found_in
from features._audit_sights import TOGETHER_AGAIN
from features._catalogue import Catalogue
from features._column import FeatureColumn
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
