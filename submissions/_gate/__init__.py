"""The gate: what a submission must be, and the table and the file that pass it."""

from submissions._gate.file import read_bytes, read_text_table
from submissions._gate.gate import (
    SCORE,
    Gate,
    check_bytes,
    check_file,
    check_table,
    scored_pairs,
    submission_bytes,
    typed_table,
)
from submissions._gate.verdict import Finding, Verdict

__all__ = [
    "SCORE",
    "Finding",
    "Gate",
    "Verdict",
    "check_bytes",
    "check_file",
    "check_table",
    "read_bytes",
    "read_text_table",
    "scored_pairs",
    "submission_bytes",
    "typed_table",
]
