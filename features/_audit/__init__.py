"""Proofs that features do not know the future, and what their values tell."""

from features._audit.audit import Audit, audit_generated, audit_window, run_audit, stored_audit
from features._audit.drift import JointDrift, adversarial_auc, drift_findings, drift_of, joint_findings
from features._audit.findings import Finding
from features._audit.ranges import NOT_NEGATIVE, RATE, range_of
from features._audit.report import audit_tables
from features._audit.rows import Rows, stored_rows
from features._audit.small_log import sampled_pairs, small_dataset
from features._audit.source_code import reads_by_itself
from features._audit.values import value_findings

__all__ = [
    "NOT_NEGATIVE",
    "RATE",
    "Audit",
    "Finding",
    "JointDrift",
    "Rows",
    "adversarial_auc",
    "audit_generated",
    "audit_tables",
    "audit_window",
    "drift_findings",
    "drift_of",
    "joint_findings",
    "range_of",
    "reads_by_itself",
    "run_audit",
    "sampled_pairs",
    "small_dataset",
    "stored_audit",
    "stored_rows",
    "value_findings",
]
