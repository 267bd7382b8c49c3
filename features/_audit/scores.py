"""How well a feature ranks by itself: one that ranks nearly as well as the labels is no feature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan

import polars as pl

from competitions import Competition
from features._audit.findings import Finding, found_in
from features._audit.rows import Rows
from features._catalogue import Catalogue
from validation import evaluate, get_metric

TOO_GOOD = "single-feature score too good"
STANDS_OUT = "single-feature score stands out"
MOST = 0.75  # of the way from chance to the labels themselves
FEWEST_GROUPS = 20
OUT_SHARE, OUT_TIMES = 0.3, 2.0  # of the way, and times the best feature of any other file
SEED = 7


@dataclass(frozen=True)
class Yardstick:
    """Scores of a column of noise and of the labels themselves, on the same rows."""

    chance: float
    labels: float

    def share(self, score: float) -> float:
        """How much of the way from chance to the labels a score covers."""
        return (score - self.chance) / (self.labels - self.chance)


def yardstick(competition: Competition, rows: Rows) -> Yardstick | None:
    """Score noise and labels; None for metrics of the scores' values, and where too few groups have both kinds."""
    metric, user = competition.metric, competition.user
    if get_metric(metric.name).scope == "pooled" or not rows.train.height:
        return None
    keys = ["window", user]
    both_kinds = rows.train.group_by(keys).agg(pl.col("relevance").n_unique().alias("n"))
    if both_kinds.filter(pl.col("n") > 1).height < FEWEST_GROUPS:
        return None
    noise = pl.int_range(pl.len()).shuffle(SEED).cast(pl.Float64)
    table = rows.train.select(*keys, "relevance", chance=noise, labels=pl.col("relevance").cast(pl.Float64))
    chance, labels = (evaluate(metric, table, group=keys, score=n) for n in ("chance", "labels"))
    return None if isnan(chance) or isnan(labels) or chance == labels else Yardstick(chance, labels)


def score_findings(
    catalogue: Catalogue, scores: Mapping[str, float | None], stick: Yardstick | None
) -> list[Finding]:
    """Find columns that rank nearly as the labels do, and warn of those far above all other files' features."""
    if stick is None:
        return []
    shares = {n: stick.share(s) for n, s in scores.items() if s is not None}
    best: dict[str, float] = {}
    for name, share in shares.items():
        family = catalogue.columns[name].family
        best[family] = max(best.get(family, 0.0), share)
    findings = []
    for name, share in shares.items():
        column = catalogue.columns[name]
        others = max((value for family, value in best.items() if family != column.family), default=0.0)
        said = (
            f"{catalogue.dataset.competition.metric.name} {scores[name]:.4f} by itself: {share:.0%} of the way from "
            f"chance ({stick.chance:.4f}) to the labels ({stick.labels:.4f})"
        )
        if share > MOST:
            todo = "look where it gets the label from: what is known before the pair is shown cannot rank so well"
            findings.append(found_in(column, TOO_GOOD, said, todo))
        elif share > OUT_SHARE and others > 0 and share > OUT_TIMES * others:
            said += f"; the best feature of another file has {others:.0%}"
            todo = "make sure that it is known before the pair is shown"
            findings.append(found_in(column, STANDS_OUT, said, todo, severity="warning"))
    return findings
