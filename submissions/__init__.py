"""Submissions: make, check, blend, record, compare and show. What the gate refuses is not written."""

from typing import TYPE_CHECKING

from engine import lazy_face

if TYPE_CHECKING:
    from submissions._blend import blend_runs
    from submissions._compare import (
        Agreement,
        Change,
        Comparison,
        check_against_runs,
        compare_runs,
        rank_agreement,
    )
    from submissions._cv import CvBasis
    from submissions._errors import GateError, SubmissionError
    from submissions._gate import (
        Finding,
        Gate,
        Verdict,
        check_bytes,
        check_file,
        check_table,
        scored_pairs,
        submission_bytes,
    )
    from submissions._ledger import Entry, Ledger
    from submissions._make import make_submission
    from submissions._manifest import (
        CvScore,
        FileFacts,
        GitFacts,
        Manifest,
        MetricFacts,
        Parent,
        RunFacts,
        Stage,
        git_facts,
    )
    from submissions._runs import Runs, is_run_id, new_run_id, resolve_run
    from submissions._score import score_run

__all__ = [
    "Agreement",
    "Change",
    "Comparison",
    "CvBasis",
    "CvScore",
    "Entry",
    "FileFacts",
    "Finding",
    "Gate",
    "GateError",
    "GitFacts",
    "Ledger",
    "Manifest",
    "MetricFacts",
    "Parent",
    "RunFacts",
    "Runs",
    "Stage",
    "SubmissionError",
    "Verdict",
    "blend_runs",
    "check_against_runs",
    "check_bytes",
    "check_file",
    "check_table",
    "compare_runs",
    "git_facts",
    "is_run_id",
    "make_submission",
    "new_run_id",
    "rank_agreement",
    "resolve_run",
    "score_run",
    "scored_pairs",
    "submission_bytes",
]
lazy_face(__name__)
