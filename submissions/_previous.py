"""How a submission agrees with the best one so far: a sign flipped or a column mixed up shows here."""

from __future__ import annotations

import polars as pl

from submissions._agreement import rank_agreement
from submissions._basis import CvBasis
from submissions._errors import SubmissionError
from submissions._gate import Finding, Gate, Verdict, scored_pairs
from submissions._manifest import Manifest
from submissions._runs import Runs

LOW_AGREEMENT = 0.3
"""Mean rank correlation below which the gate warns."""


def best_run(runs: Runs, basis: CvBasis) -> Manifest | None:
    """The finished run with the best CV of that basis; the newest of equals. None if there is none.

    CV values over other data or folds are no better or worse than this one's. A run whose manifest is
    damaged is passed over: ``list`` shows it.
    """
    best: Manifest | None = None
    for run in runs.ids():
        try:
            manifest = runs.manifest(run)
        except SubmissionError:
            continue
        if CvBasis.of_run(manifest) == basis and manifest.cv_mean is not None:
            sign = 1 if manifest.metric.greater_is_better else -1
            if best is None or best.cv_mean is None or sign * (manifest.cv_mean - best.cv_mean) >= 0:
                best = manifest
    return best


def previous_best(runs: Runs, gate: Gate, basis: CvBasis, table: pl.DataFrame) -> Verdict:
    """Compare the ranks of a submission with those of the best run so far.

    ``table`` has the columns of ``gate.pair_columns`` and ``score``. Never a refusal: a warning if they agree badly,
    otherwise a fact.
    """
    best = best_run(runs, basis)
    if best is None:
        return Verdict(facts=("no earlier run over the same data and folds to compare with",))
    what = f"the best run so far, {best.run} (CV {best.cv_mean:.5f})"
    try:
        other = scored_pairs(gate, runs.scores(best.run), on=gate.pair_keys)
    except SubmissionError as error:
        return Verdict(facts=(f"not compared with {what}: {error.found}",))
    found = rank_agreement(table, other, on=gate.pair_keys, group=gate.group)
    if found.mean is None:
        return Verdict(facts=(f"not compared with {what}: no group has two ranks",))
    words = f"rank correlation {found.mean:.3f} with {what}"
    if found.mean >= LOW_AGREEMENT:
        return Verdict(facts=(words,))
    todo = "check the sign of the scores" if found.mean < 0 else "check that the scores belong to their keys"
    return Verdict(warnings=(Finding("low agreement", f"{words}.", todo=todo),))
