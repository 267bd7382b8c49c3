"""Proofs that features do not know the future, and what their values tell."""

from typing import TYPE_CHECKING

from engine import lazy_face

if TYPE_CHECKING:
    from features._audit.audit import audit_generated, audit_recipe, audit_window, run_audit, stored_audit
    from features._audit.drift import JointDrift, drift_findings, joint_findings, joint_warnings
    from features._audit.findings import Audit, Finding, audit_tables, first_of_each
    from features._audit.relabelled import Labels, relabelled
    from features._audit.small_log import sampled_pairs, small_dataset
    from features._audit.values import NOT_NEGATIVE, RATE, range_of, stored_names, value_findings

__all__ = [
    "NOT_NEGATIVE",
    "RATE",
    "Audit",
    "Finding",
    "JointDrift",
    "Labels",
    "audit_generated",
    "audit_recipe",
    "audit_tables",
    "audit_window",
    "drift_findings",
    "first_of_each",
    "joint_findings",
    "joint_warnings",
    "range_of",
    "relabelled",
    "run_audit",
    "sampled_pairs",
    "small_dataset",
    "stored_audit",
    "stored_names",
    "value_findings",
]

lazy_face(__name__)
