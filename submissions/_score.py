"""Play the leaderboard on this machine: the only reader of the solution beside the benchmarks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime

import polars as pl

from competitions import Competition, open_dataset, oracle, order_blind, solution, statistician
from engine import Settings
from submissions._errors import SubmissionError
from submissions._gate import Gate, scored_pairs
from submissions._intervals import intervals
from submissions._ledger import Entry, Lead
from submissions._manifest import CvScore, Manifest
from submissions._runs import Runs
from validation import evaluate, paired_bootstrap

ORACLE, STATISTICIAN, ORDER_BLIND = "__oracle", "__statistician", "__order_blind"


def score_run(settings: Settings, name: str) -> Entry:
    """Score a run on the outcomes of the test pairs and write the result into its ledger.

    Where the data are simulated, the oracle is scored as well: ``p_like - p_dislike``, the true expected relevance
    of each pair. No model can be expected to pass it. Concordance gains ``P(r_i > r_j) - P(r_j > r_i)`` by placing
    pair i above pair j; with the probabilities p of relevance 1 and q of -1, of rows that are independent given these,
    that is ``(p_i - q_i) - (p_j - q_j) + (p_j q_i - p_i q_j)``. The last term is a product of a like's and a
    dislike's probability, a thousand times smaller than the others where dislikes are rare: it can only
    change the order of near ties, where little is gained or lost. So is the statistician, where ``python -m
    competitions ceiling`` wrote its scores beside the data, and the oracle that is blind to effects of order, where the
    data have such effects.

    Returns the entry: ``value`` is the metric of what was submitted, ``by_name`` that of each model and blend,
    ``intervals`` say how sure that is.

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
    manifest.require(c.name)
    gate, known_by = Gate.of(dataset), {ORACLE: oracle, STATISTICIAN: statistician, ORDER_BLIND: order_blind}
    marks = {name: scores_of(settings) for name, scores_of in known_by.items()}
    bounds = {name: scores for name, scores in marks.items() if scores is not None}
    scores = scored_pairs(gate, runs.scores(run), on=gate.pair_keys)
    table = _with_labels(scores, solution(settings), bounds)
    names = [cv.name for cv in manifest.cv if cv.name in table.columns]
    values = {n: evaluate(c.metric, table, group=[c.user], score=n) for n in [*names, "score"]}
    overall = values.pop("score")
    if not math.isfinite(overall):
        raise SubmissionError(
            f"The metric {c.metric.name} counts no group of the test pairs.",
            expected="at least one user whose test pairs have different relevance",
        )
    bound = {n: evaluate(c.metric, table, group=[c.user], score=n) for n in bounds}
    known = {n: value for n, value in values.items() if math.isfinite(value)}
    entry = Entry(
        kind="local_score",
        when=datetime.now(UTC),
        value=overall,
        by_name=known,
        oracle=bound.get(ORACLE),
        statistician=bound.get(STATISTICIAN),
        order_blind=bound.get(ORDER_BLIND),
        lead=_lead(c, manifest, table, known, settings.seed) if ORACLE in bound else None,
        intervals=intervals(c, manifest, table, runs.oof(run), seed=settings.seed),
    )
    runs.add(run, entry)
    return entry


def _with_labels(
    scores: pl.DataFrame, labels: pl.DataFrame, bounds: Mapping[str, pl.DataFrame]
) -> pl.DataFrame:
    """Join ``relevance`` and, by their names, the scores of ``bounds`` to the scored test pairs."""
    table = scores.join(labels, on="pair_id", how="left", validate="1:1")
    if n_unknown := table["relevance"].null_count():
        raise SubmissionError(f"The solution lacks {n_unknown:,} of the {table.height:,} test pairs.")
    for name, bound in bounds.items():
        renamed = bound.select("pair_id", pl.col("score").alias(name))
        table = table.join(renamed, on="pair_id", how="left", validate="1:1")
    return table


def _lead(
    c: Competition, manifest: Manifest, table: pl.DataFrame, values: dict[str, float], seed: int
) -> Lead | None:
    """Compare the blend with the single model that is best on the test pairs, as only hindsight can tell.

    The blend is the chosen one or, where a single model was chosen, the best by cross-validation. None if the run has
    no blend, or no model.
    """
    better = 1 if c.metric.greater_is_better else -1
    models = [cv.name for cv in manifest.cv if cv.kind == "model" and cv.name in values]
    blend = _blend_of(manifest, values, better)
    if not models or blend is None:
        return None
    best = max(models, key=lambda name: better * values[name])
    difference = paired_bootstrap(
        table, c.metric, user=c.user, group=[c.user], score_a=best, score_b=blend, seed=seed
    )
    if not math.isfinite(difference.low + difference.high):
        return None
    facts = {name: value for name, value in asdict(difference).items() if name in Lead.model_fields}
    return Lead(blend=blend, model=best, **facts)


def _blend_of(manifest: Manifest, values: dict[str, float], better: int) -> str | None:
    def by_cv(cv: CvScore) -> float:
        return -math.inf if cv.mean is None else better * cv.mean

    blends = [cv for cv in manifest.cv if cv.kind == "blend" and cv.name in values]
    chosen = [cv for cv in blends if cv.name == manifest.chosen]
    best = max(chosen or blends, key=by_cv, default=None)
    return best.name if best else None
