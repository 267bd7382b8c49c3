"""One run of a configuration on a log: scores of all models and blends with labels, also on the test pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from benchmarks._cached import Log
from benchmarks._paired import all_scores
from competitions import Metric
from stacking import make_plan, run_cv

KEYS = ("fold", "window", "pair_id", "user", "relevance")


@dataclass(frozen=True)
class Stack:
    """What a run gave.

    ``scores``: ``KEYS``, a column each model and blend, and ``score``, the chosen ones (see ``all_scores``).
    ``seconds``: of the fits of all folds, by model.
    """

    metric: Metric
    models: tuple[str, ...]
    seconds: dict[str, float]
    chosen: str
    scores: pl.DataFrame

    @property
    def names(self) -> list[str]:
        """Models and blends."""
        return [name for name in self.scores.columns if name not in (*KEYS, "score")]

    def scores_of(self, name: str, column: str) -> pl.DataFrame:
        """Take one of the columns of scores under another name, with ``KEYS``."""
        return self.scores.select(*KEYS, pl.col(name).alias(column))


def stack_of(log: Log, folder: Path, overrides: Sequence[str]) -> Stack:
    """Cross-validate, and score the test pairs; what is in the store is not computed again."""
    plan = make_plan(log.settings(folder.resolve(), overrides))
    bundle, c = run_cv(plan), plan.dataset.competition
    seconds = dict(bundle.fits.group_by("model").agg(pl.col("seconds").sum()).iter_rows())
    scores = all_scores(plan, bundle).rename({c.user: "user"})
    return Stack(c.metric, bundle.models, seconds, bundle.chosen, scores)
