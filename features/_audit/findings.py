"""What an audit says: one finding a feature and check, and how that is laid out in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import polars as pl
from rich.table import Table
from rich.text import Text

from engine import Json
from features._catalogue import Catalogue, FeatureColumn

Severity = Literal["defect", "warning"]
N_SHOWN = 8  # warnings of one check in the terminal; all are in --json and in the report


@dataclass(frozen=True)
class Finding:
    """Something an audit found: which column, where it is written, which check, and a row that shows it.

    Attributes
    ----------
    place
        File and line of the feature; empty for what all features do together.
    window
        Name of the window; empty where the check is of several.
    severity
        A ``defect`` breaks a promise, and the value cannot be trusted. A ``warning`` tells of these data: drift, a
        column that says what another one says, a constant.
    """

    column: str
    place: str
    check: str
    window: str
    evidence: str
    todo: str
    severity: Severity = "defect"


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes
    ----------
    findings
        One a column and check, defects first.
    columns
        What was measured of each column: ``feature`` String; ``score`` (the metric with the column alone),
        ``null_train``, ``null_test``, ``psi``, ``auc`` Float64, null where there is no such number; ``drifts``,
        ``nulls_change`` Boolean: whether it is warned of. The report shows these and judges nothing by itself.
    about
        On what it was run: rows, pairs, windows, how many features, the joint AUC.
    """

    findings: tuple[Finding, ...]
    columns: pl.DataFrame
    about: Mapping[str, Json]

    @property
    def defects(self) -> tuple[Finding, ...]:
        """The findings that break a promise."""
        return tuple(f for f in self.findings if f.severity == "defect")


def found_in(
    column: FeatureColumn,
    check: str,
    evidence: str,
    todo: str,
    *,
    window: str = "",
    severity: Severity = "defect",
) -> Finding:
    """Make the finding of a column."""
    return Finding(column.name, str(column.declaration.place), check, window, evidence, todo, severity)


def first_of_each(findings: Iterable[Finding], dangers: Sequence[str] = ()) -> list[Finding]:
    """Keep the first finding of each column and check, defects first; what has a defect is not warned of as well.

    ``dangers``: checks that come before all others, the worst first; a column comes where its worst check does.
    """
    first: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        first.setdefault((finding.column, finding.check), finding)
    broken = {f.column for f in first.values() if f.severity == "defect"}
    kept = [f for f in first.values() if f.severity == "defect" or f.column not in broken]
    rank = {check: number for number, check in enumerate(dangers)}
    worst: dict[str, int] = {}
    for finding in kept:
        worst[finding.column] = min(worst.get(finding.column, len(rank)), rank.get(finding.check, len(rank)))

    def danger(f: Finding) -> tuple[bool, int, str, int]:
        of_column = f.column if f.column in broken else ""
        return f.severity != "defect", worst[f.column], of_column, rank.get(f.check, len(rank))

    return sorted(kept, key=danger)


def at_the_root(catalogue: Catalogue, findings: Sequence[Finding]) -> list[Finding]:
    """Leave out columns that only read what the same check found at fault; their number is told instead."""
    at_fault: dict[str, set[str]] = {}
    for finding in findings:
        at_fault.setdefault(finding.check, set()).add(finding.column)
    upstream = {f.column: set(catalogue.closure([f.column])) - {f.column} for f in findings}
    roots = []
    for finding in findings:
        columns = at_fault[finding.check]
        if not columns & upstream[finding.column]:
            n_readers = sum(finding.column in upstream[other] for other in columns)
            more = f"; so do {n_readers} that read it" if n_readers else ""
            roots.append(replace(finding, evidence=finding.evidence + more))
    return roots


def audit_tables(audit: Audit) -> Iterator[Table | Text]:
    """Lay an audit out: the defects, the warnings check by check, and one sentence at the end."""
    defects, about = audit.defects, audit.about
    warnings = [f for f in audit.findings if f.severity != "defect"]
    if warnings:
        yield _table(_counted(warnings, "warning"), _shortened(warnings))
    if defects:
        yield _table(_counted(defects, "defect"), defects)
    words = (f"{_counted(defects, 'defect')}.", "bold red") if defects else ("No defect.", "bold green")
    told = f" {_counted(warnings, 'warning')} about these data." if warnings else ""
    where = f" {about['features']} features, {about['log rows']:,} rows of the log, {about['pairs']:,} pairs"
    yield Text.assemble(words, told, (f"{where}; values: {about['values from']}.", "dim"))


def _counted(findings: Sequence[Finding], noun: str) -> str:
    return f"{len(findings)} {noun}{'' if len(findings) == 1 else 's'}"


def _table(title: str, findings: Sequence[Finding]) -> Table:
    table = Table(title=title, title_justify="left", expand=True, show_lines=True)
    table.add_column("feature and where", ratio=2, overflow="fold")
    table.add_column("check", ratio=1, overflow="fold")
    table.add_column("evidence and what to do", ratio=3, overflow="fold")
    for f in findings:
        place = f"{f.place} {f.window}".strip()
        feature = Text.assemble((f.column, "bold"), "\n", (place, "dim")) if place else Text(f.column)
        todo = f"\nTo do: {f.todo}" if f.todo else ""
        table.add_row(feature, Text(f.check), Text.assemble(f.evidence, (todo, "dim")))
    return table


def _shortened(findings: Sequence[Finding]) -> list[Finding]:
    """Keep some of each check, and tell how many more there are."""
    by_check: dict[str, list[Finding]] = {}
    for finding in findings:
        by_check.setdefault(finding.check, []).append(finding)
    some = []
    for check, members in by_check.items():
        some += members[:N_SHOWN]
        others = [f.column for f in members[N_SHOWN:]]
        if others:
            some.append(Finding(f"and {len(others)} more", "", check, "", ", ".join(others), "", "warning"))
    return some
