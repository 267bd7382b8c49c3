"""Measure the columns: score, nulls and drift of each, in parallel, and all together; and judge what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from competitions import Competition
from engine import Job, Settings, run_jobs
from features._audit.drift import Drift, JointDrift, drift_findings, drift_of, joint_drift, joint_findings
from features._audit.findings import Finding
from features._audit.rows import Rows
from features._audit.scores import Yardstick, score_findings, yardstick
from features._audit.values import value_findings
from features._catalogue import Catalogue
from features._compute import own_score

COLUMNS = {
    "feature": pl.String,
    "score": pl.Float64,
    "null_train": pl.Float64,
    "null_test": pl.Float64,
    "psi": pl.Float64,
    "auc": pl.Float64,
}
N_PARTS = 8  # of the columns, each a job


@dataclass(frozen=True)
class Facts:
    """What was measured: ``table`` with a row a column (see ``COLUMNS``), and of all together."""

    drifts: Mapping[str, Drift]
    scores: Mapping[str, float | None]
    stick: Yardstick | None
    joint: JointDrift | None

    @property
    def table(self) -> pl.DataFrame:
        """One row a column, in their order."""
        rows = [(n, self.scores[n], d.null_train, d.null_test, d.psi, d.auc) for n, d in self.drifts.items()]
        return pl.DataFrame(rows, schema=COLUMNS, orient="row")


def facts_of(catalogue: Catalogue, rows: Rows, settings: Settings) -> Facts:
    """Measure every column of the rows."""
    competition = catalogue.dataset.competition
    stick = yardstick(competition, rows)
    parts = [part for k in range(N_PARTS) if (part := rows.names[k::N_PARTS])]
    jobs = [
        Job(f"{len(part)} columns", _measured, (competition, rows.of(part), stick is not None))
        for part in parts
    ]
    inputs = tuple(n for n in rows.names if catalogue.columns[n].is_model_input)
    jobs.append(Job("all together", joint_drift, (rows.of(inputs), competition.user)))
    *measured, joint = run_jobs("values: scores and drift", jobs, settings)
    found = {name: pair for part in measured for name, pair in part.items()}
    return Facts(
        drifts={n: found[n][0] for n in rows.names},
        scores={n: found[n][1] for n in rows.names},
        stick=stick,
        joint=joint,
    )


def _measured(competition: Competition, rows: Rows, is_scored: bool) -> dict[str, tuple[Drift, float | None]]:
    scores = {n: own_score(competition, rows.train, n) if is_scored else None for n in rows.names}
    return {n: (drift_of(rows, n), score.value if score else None) for n, score in scores.items()}


def rows_findings(catalogue: Catalogue, rows: Rows, facts: Facts) -> list[Finding]:
    """Judge the values and what was measured of them."""
    user = catalogue.dataset.competition.user
    return [
        *value_findings(catalogue, rows),
        *score_findings(catalogue, facts.scores, facts.stick),
        *drift_findings(catalogue, rows, facts.drifts, user),
        *joint_findings(catalogue, facts.joint),
    ]
