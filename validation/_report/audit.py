"""The audit's part of the report: what ``python -m features audit`` left in the store, read and never computed here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from validation._report.bundle import CvBundle


@dataclass(frozen=True)
class AuditRow:
    """What was found of one feature: the check, its evidence, and the other checks that it failed."""

    feature: str
    place: str
    check: str
    evidence: str
    todo: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class AuditReport:
    """A stored audit.

    Attributes
    ----------
    defects
        One row a feature that breaks a promise.
    warnings
        Check -> one row a feature, the most frequent check first.
    facts
        On what it was run: numbers and words, as the audit wrote them.
    """

    defects: tuple[AuditRow, ...]
    warnings: Mapping[str, tuple[AuditRow, ...]]
    facts: Mapping[str, Any] = field(default_factory=dict)


def read_audit_report(folder: Path | None) -> AuditReport | None:
    """Read a stored audit; None if there is none."""
    if folder is None:
        return None
    stored = json.loads((folder / "audit.json").read_text(encoding="utf-8"))
    findings: list[dict[str, str]] = stored["findings"]
    by_check: dict[str, list[AuditRow]] = {}
    for finding in findings:
        if finding["severity"] != "defect":
            by_check.setdefault(finding["check"], []).append(_row(finding))
    ordered = sorted(by_check.items(), key=lambda item: -len(item[1]))
    return AuditReport(
        defects=_by_feature([f for f in findings if f["severity"] == "defect"]),
        warnings={check: tuple(rows) for check, rows in ordered},
        facts=stored["about"],
    )


def audit_alarms(audit: AuditReport | None, bundle: CvBundle) -> list[str]:
    """Name the features that the audit found at fault, in one sentence; none if it was of other data."""
    if audit is None or not audit.defects or _is_of_other_data(audit, bundle):
        return []
    n, names = len(audit.defects), [row.feature for row in audit.defects]
    return [
        f"The audit found {n} feature{'' if n == 1 else 's'} that cannot be trusted "
        f"({', '.join(names[:5])}{', ...' if n > 5 else ''}): these scores may not come true."
    ]


def audit_caveats(audit: AuditReport | None, bundle: CvBundle) -> list[str]:
    """Sentences on the audit that a reader of the scores must know."""
    if audit is None:
        return []
    texts = []
    if _is_of_other_data(audit, bundle):
        texts.append("The stored audit is of other data than this cross-validation: run make cv again.")
    if audit.facts.get("values from") == "the small log":
        texts.append(
            "The stored audit measured drift on a small log: run make audit for that of these columns."
        )
    features = bundle.features["feature"].to_list()
    missing = sorted(set(features) - set(audit.facts.get("names", features)))
    if missing:
        texts.append(
            f"{len(missing)} features are not in the stored audit, such as {missing[0]}: run make audit."
        )
    return texts


def _is_of_other_data(audit: AuditReport, bundle: CvBundle) -> bool:
    return bool(audit.facts.get("fingerprint") != bundle.about.get("fingerprint"))


def _by_feature(findings: Sequence[Mapping[str, str]]) -> tuple[AuditRow, ...]:
    found: dict[str, AuditRow] = {}
    for finding in findings:
        first = found.setdefault(finding["column"], _row(finding))
        if finding["check"] != first.check:
            found[first.feature] = replace(first, others=(*first.others, finding["check"]))
    return tuple(found.values())


def _row(finding: Mapping[str, str]) -> AuditRow:
    place = f"{finding['place']} {finding['window']}".strip()
    return AuditRow(finding["column"], place, finding["check"], finding["evidence"], finding["todo"])
