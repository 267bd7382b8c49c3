"""Digests of what a competition declares: of all that its data depend on, and of what the rows of its log do."""

from __future__ import annotations

from dataclasses import replace

from competitions._competition import Competition, Metric, SubmissionFormat, every_row
from engine import code_digest

# Code does not change while a process runs, and digesting it takes longer than opening the data. The competition is
# kept beside its digests, so that no other object can get its id.
_known: dict[int, tuple[Competition, str, str]] = {}


def data_digest(competition: Competition) -> str:
    """Digest of what the competition's data depend on: its code and values, but no words for people.

    Metric, submission and the number of train windows come after the data: what reads them has them in its own
    recipes.
    """
    return _digests(competition)[1]


def rows_digest(competition: Competition) -> str:
    """Digest of what the rows of its log depend on: not on which of them are pairs, nor on the windows."""
    return _digests(competition)[2]


def _digests(competition: Competition) -> tuple[Competition, str, str]:
    known = _known.get(id(competition))
    if known is None or known[0] is not competition:
        data = replace(
            competition,
            title="",
            licence="",
            metric=Metric(""),
            submission=SubmissionFormat({}),
            n_train_windows=1,
        )
        rows = replace(data, select_pairs=every_row, horizon=1, gap=0, source=None)
        digests = code_digest(data).digest, code_digest(rows).digest
        known = _known[id(competition)] = (competition, *digests)
    return known
