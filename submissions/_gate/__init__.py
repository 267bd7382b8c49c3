"""The gate: what a submission must be, and the table and the file that pass it."""

from typing import TYPE_CHECKING

from engine import lazy_face

if TYPE_CHECKING:
    from submissions._gate.gate import (
        Gate,
        check_bytes,
        check_file,
        check_table,
        scored_pairs,
        scores_in_file,
        submission_bytes,
    )
    from submissions._gate.verdict import Finding, Verdict

__all__ = [
    "Finding",
    "Gate",
    "Verdict",
    "check_bytes",
    "check_file",
    "check_table",
    "scored_pairs",
    "scores_in_file",
    "submission_bytes",
]
lazy_face(__name__)
