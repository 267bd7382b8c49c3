"""A new run made of finished ones: their scores, or their ranks within the groups, weighted. Joined on keys."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from competitions import Competition, open_dataset
from engine import Settings
from submissions._compare import previous_best, within
from submissions._cv import OOF_KEYS, CvBasis, cv_score, oof_side_by_side
from submissions._errors import SubmissionError
from submissions._gate import Gate, scored_pairs
from submissions._manifest import CvScore, Manifest, Parent, RunFacts
from submissions._runs import Runs, about_run

BLEND = "blend"
_SPREAD_RATIO = 10.0


def blend_runs(
    settings: Settings, names: Sequence[str], *, with_ranks: bool, weights: Sequence[float] = ()
) -> Manifest:
    """Blend runs into a new one, which passes the gate like any other.

    Parameters
    ----------
    names
        Two or more runs, each once.
    with_ranks
        Blend average ranks within the groups, divided by the group's size, instead of scores.
    weights
        One for each run, not negative; they are divided by their sum. Empty: equal weights.

    Raises
    ------
    SubmissionError
        A run is unknown, of another competition, or does not hold exactly the given pairs; wrong weights.
    GateError
        The gate refuses the result.
    """
    runs, dataset = Runs.of(settings), open_dataset(settings)
    parents = _parents(runs, names, weights)
    gate, c = Gate.of(dataset), dataset.competition
    for parent in parents:
        runs.manifest(parent.run).require(c.name)
    table = _side_by_side(runs, gate, parents)
    remarks = _spread_remarks(table, parents) if not with_ranks else ()
    table = blended(table, parents, gate.group, with_ranks=with_ranks)
    agreement = previous_best(runs, gate, CvBasis.of(settings, dataset), table)
    oof: pl.DataFrame | None = None
    cv: tuple[CvScore, ...] = ()
    parents_oof = oof_side_by_side({p.run: runs.oof(p.run) for p in parents})
    if isinstance(parents_oof, str):
        remarks = (*remarks, f"no CV: {parents_oof}")
    else:
        scored = blended(parents_oof, parents, ["window", *gate.group], with_ranks=with_ranks)
        cv = _cv_scores(scored, parents, c)
        oof = scored.select(*OOF_KEYS, c.user, c.item, "relevance", "score")
    facts = RunFacts(
        **about_run(settings, dataset, gate),
        chosen=BLEND,
        cv=cv,
        weights={p.run: p.weight for p in parents},
        parents=parents,
        with_ranks=with_ranks,
        features={},
        stages=(),
        remarks=(*remarks, *agreement.facts, *map(str, agreement.warnings)),
    )
    return runs.publish(gate, table.with_columns(pl.col("score").alias(BLEND)), oof, facts)


def _cv_scores(oof: pl.DataFrame, parents: Sequence[Parent], c: Competition) -> tuple[CvScore, ...]:
    singles = [cv_score(oof, c.metric, c.user, parent.run, "model") for parent in parents]
    return (*singles, cv_score(oof, c.metric, c.user, BLEND, "blend", "score"))


def blended(
    table: pl.DataFrame, parents: Sequence[Parent], group: Sequence[str], *, with_ranks: bool
) -> pl.DataFrame:
    """Add ``score``: the weighted sum of the parents' columns, or of their ranks within the groups in (0, 1]."""

    def column(name: str) -> pl.Expr:
        value = pl.col(name).cast(pl.Float64)
        return within(value.rank("average") / pl.len(), group) if with_ranks else value

    terms = [column(parent.run) * parent.weight for parent in parents]
    total = terms[0]
    for term in terms[1:]:  # in this order always: float sums depend on it
        total = total + term
    return table.with_columns(score=total)


def _parents(runs: Runs, names: Sequence[str], weights: Sequence[float]) -> tuple[Parent, ...]:
    found = [runs.resolve(name) for name in names]
    if len(found) < 2 or len(set(found)) < len(found):
        raise SubmissionError(
            f"These runs cannot be blended: {', '.join(found) or 'none given'}.",
            expected="two or more different runs",
            todo="see them with: python -m submissions list",
        )
    given = list(weights) or [1.0] * len(found)
    is_wrong = len(given) != len(found) or not all(0 <= w < float("inf") for w in given) or sum(given) == 0
    if is_wrong:
        raise SubmissionError(
            f"The weights {', '.join(f'{w:g}' for w in given)} do not fit {len(found)} runs.",
            expected="one number for each run, none negative, not all zero",
        )
    total = sum(given)
    return tuple(Parent(run=run, weight=w / total) for run, w in zip(found, given, strict=True))


def _side_by_side(runs: Runs, gate: Gate, parents: Sequence[Parent]) -> pl.DataFrame:
    """The given pairs with one column a parent, named by its run."""
    table = gate.pairs.select(gate.pair_columns)
    for parent in parents:
        try:
            scores = scored_pairs(gate, runs.scores(parent.run), on=gate.pair_keys)
        except SubmissionError as error:
            raise SubmissionError(f"Run {parent.run}: {error.found}", expected=error.expected) from error
        column = scores.select("pair_id", pl.col("score").alias(parent.run))
        table = table.join(column, on="pair_id", how="left", validate="1:1", maintain_order="left")
    return table


def _spread_remarks(table: pl.DataFrame, parents: Sequence[Parent]) -> tuple[str, ...]:
    """Remark scores on scales so different that the wider one decides alone."""
    spread = {p.run: table.select(pl.col(p.run).std()).item() or 0.0 for p in parents if p.weight > 0}
    wide, narrow = max(spread, key=spread.__getitem__), min(spread, key=spread.__getitem__)
    if spread[wide] <= _SPREAD_RATIO * spread[narrow]:
        return ()
    return (
        f"the scores of {wide} spread {spread[wide]:.3g}, those of {narrow} {spread[narrow]:.3g}: "
        "the first decide almost alone; --ranks puts them on one scale",
    )
