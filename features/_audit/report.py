"""What ``python -m features audit`` shows in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from features._audit.audit import Audit
from features._audit.findings import Finding

N_SHOWN = 8  # warnings of one check; all are in --json and in the report


def audit_tables(audit: Audit) -> Iterator[Table | Text]:
    """Lay an audit out: the defects, the warnings check by check, and one sentence at the end."""
    defects = audit.defects
    warnings = [f for f in audit.findings if f.severity != "defect"]
    if warnings:
        yield _table(f"{len(warnings)} warnings", _shortened(warnings))
    if defects:
        yield _table(f"{len(defects)} defects", defects)
    yield summary(audit)


def summary(audit: Audit) -> Text:
    """Say in a sentence what was found on what."""
    n, about = len(audit.defects), audit.about
    words = "No defect." if not n else f"{n} defect{'' if n == 1 else 's'}."
    n_warnings = len(audit.findings) - n
    told = f" {n_warnings} warning{'' if n_warnings == 1 else 's'} about these data." if n_warnings else ""
    where = f" {about['features']} features, {about['log rows']:,} rows of the log, {about['pairs']:,} pairs"
    values = f"; values: {about['values from']}."
    return Text.assemble((words, "bold red" if n else "bold green"), told, (where + values, "dim"))


def _table(title: str, findings: Sequence[Finding]) -> Table:
    table = Table(title=title, title_justify="left", expand=True, show_lines=True)
    table.add_column("feature and where", ratio=2, overflow="fold")
    table.add_column("check", ratio=1, overflow="fold")
    table.add_column("evidence and what to do", ratio=3, overflow="fold")
    for f in findings:
        place = f"{f.place} {f.window}".strip()
        feature = Text.assemble((f.column, "bold"), "\n", (place, "dim")) if place else Text(f.column)
        evidence = (
            Text.assemble(f.evidence, "\n", (f"To do: {f.todo}", "dim")) if f.todo else Text(f.evidence)
        )
        table.add_row(feature, Text(f.check), evidence)
    return table


def _shortened(findings: Sequence[Finding]) -> list[Finding]:
    """Keep some of each check, and tell how many more there are."""
    by_check: dict[str, list[Finding]] = {}
    for finding in findings:
        by_check.setdefault(finding.check, []).append(finding)
    kept = []
    for check, members in by_check.items():
        kept += members[:N_SHOWN]
        others = [f.column for f in members[N_SHOWN:]]
        if others:
            names = ", ".join(others)
            kept.append(Finding(f"and {len(others)} more", "", check, "", names, "", "warning"))
    return kept
