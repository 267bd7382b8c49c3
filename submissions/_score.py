"""Play the leaderboard on this machine: the only reader of the solution beside the benchmarks."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from competitions import open_dataset, solution
from engine import Settings
from submissions._errors import SubmissionError
from submissions._gate import Gate
from submissions._ledger import Entry
from submissions._runs import Runs
from submissions._table import scored_pairs
from validation import evaluate


def score_run(settings: Settings, name: str) -> Entry:
    """Score a run on the outcomes of the test pairs and write the result into its ledger.

    Returns the entry: ``value`` is the metric of what was submitted, ``by_name`` that of each model and blend.

    Raises
    ------
    DataError
        The competition does not know the outcomes.
    SubmissionError
        The run is of another competition, or of other test pairs than the data have now.
    """
    runs = Runs.of(settings)
    run = runs.resolve(name)
    manifest, dataset = runs.manifest(run), open_dataset(settings)
    c = dataset.competition
    if manifest.competition != c.name:
        raise SubmissionError(
            f"Run {run} is of the competition {manifest.competition!r}, the settings name {c.name!r}.",
            todo=f"add --set competition={manifest.competition}",
        )
    gate, labels = Gate.of(dataset), solution(settings)
    scores = scored_pairs(gate, runs.scores(run), on=gate.pair_keys)
    table = scores.join(labels, on="pair_id", how="left", validate="1:1")
    if n_unknown := table["relevance"].null_count():
        raise SubmissionError(f"The solution lacks {n_unknown:,} of the {table.height:,} test pairs.")
    names = [cv.name for cv in manifest.cv if cv.name in table.columns]
    values = {n: evaluate(c.metric, table, group=[c.user], score=n) for n in [*names, "score"]}
    overall = values.pop("score")
    if not math.isfinite(overall):
        raise SubmissionError(
            f"The metric {c.metric.name} counts no group of the test pairs.",
            expected="at least one user whose test pairs have different relevance",
        )
    known = {n: value for n, value in values.items() if math.isfinite(value)}
    entry = Entry(kind="local_score", when=datetime.now(UTC), value=overall, by_name=known)
    runs.add(run, entry)
    return entry
