"""What an audit says: one finding a feature and check."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from features._catalogue import Catalogue, FeatureColumn

Severity = Literal["defect", "warning"]


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


def first_of_each(findings: Iterable[Finding]) -> list[Finding]:
    """Keep the first finding of each column and check, defects first; what has a defect is not warned of as well."""
    first: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        first.setdefault((finding.column, finding.check), finding)
    broken = {f.column for f in first.values() if f.severity == "defect"}
    kept = [f for f in first.values() if f.severity == "defect" or f.column not in broken]
    return sorted(kept, key=lambda f: (f.severity != "defect", f.column if f.column in broken else ""))


def at_the_root(catalogue: Catalogue, findings: Sequence[Finding]) -> list[Finding]:
    """Leave out columns that only read what the same check found at fault; their number is told instead."""
    by_check: dict[str, set[str]] = {}
    for finding in findings:
        by_check.setdefault(finding.check, set()).add(finding.column)
    upstream = {f.column: set(catalogue.closure([f.column])) - {f.column} for f in findings}
    kept = []
    for finding in findings:
        if by_check[finding.check] & upstream[finding.column]:
            continue
        n_readers = _n_readers(upstream, by_check[finding.check], finding.column)
        more = f"; so do {n_readers} that read it" if n_readers else ""
        kept.append(replace(finding, evidence=finding.evidence + more))
    return kept


def _n_readers(upstream: Mapping[str, set[str]], columns: Iterable[str], name: str) -> int:
    return sum(name in upstream[other] for other in columns)
