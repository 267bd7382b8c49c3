"""Submissions: make, check, blend, record, compare and show. What the gate refuses is not written."""

from typing import TYPE_CHECKING

from engine import lazy_face

if TYPE_CHECKING:
    from submissions._blend import blend_runs
    from submissions._compare import Change, check_against_runs, compare_runs, rank_agreement
    from submissions._cv import CvBasis
    from submissions._errors import GateError, SubmissionError
    from submissions._export import export_run
    from submissions._ledger import Entry
    from submissions._make import make_submission
    from submissions._manifest import Manifest, Parent, RunFacts, git_facts
    from submissions._runs import Runs, is_run_id, new_run_id, resolve_run
    from submissions._score import score_run

__all__ = [
    "Change",
    "CvBasis",
    "Entry",
    "GateError",
    "Manifest",
    "Parent",
    "RunFacts",
    "Runs",
    "SubmissionError",
    "blend_runs",
    "check_against_runs",
    "compare_runs",
    "export_run",
    "git_facts",
    "is_run_id",
    "make_submission",
    "new_run_id",
    "rank_agreement",
    "resolve_run",
    "score_run",
]
lazy_face(__name__)
