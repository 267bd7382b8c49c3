"""A weighted mean of ranks whose weights maximise the competition's metric itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import polars as pl

from competitions import Metric
from stacking._blender import BlendContext, ScoreFrame, Scores, blender
from stacking._ranks import rank_shares
from stacking._simplex import Weights, maximise
from validation import evaluate


@dataclass(frozen=True)
class FittedWeights:
    """Weights of the models: non-negative, sum one."""

    weights: Mapping[str, float]

    def predict(self, frame: ScoreFrame) -> Scores:
        """Weighted mean of rank shares, (n_pairs,) in (0, 1)."""
        return _mix(rank_shares(frame), np.array([self.weights[m] for m in frame.models]))

    def save(self, folder: Path) -> None:
        """Write ``blend.json``."""
        (folder / "blend.json").write_text(json.dumps({"weights": dict(self.weights)}), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read ``blend.json``."""
        return cls(json.loads((folder / "blend.json").read_text(encoding="utf-8"))["weights"])


@blender("weights")
@dataclass(frozen=True)
class WeightedRanks:
    """Direct search for the weights; see ``stacking._simplex.maximise`` for the parameters.

    ``most_rows``: of more out-of-fold rows than this, the search looks at a random sample of whole groups. A handful of
    weights on a grid needs no more, and the search takes as long for a long log as for a short one.
    """

    n_restarts: int = 4
    n_units: int = 40
    budget: int = 400
    most_rows: int = 100_000

    learns: ClassVar[bool] = True
    fitted: ClassVar[type[FittedWeights]] = FittedWeights

    def fit(self, oof: ScoreFrame, context: BlendContext) -> FittedWeights:
        """Search for the weights with which the metric over the rows of ``oof`` is best."""
        objective = metric_of_weights(sample_of_groups(oof, self.most_rows, context.seed), context.metric)
        found = maximise(
            objective,
            len(oof.models),
            seed=context.seed,
            n_restarts=self.n_restarts,
            n_units=self.n_units,
            budget=self.budget,
        )
        return FittedWeights(dict(zip(oof.models, found.tolist(), strict=True)))


def sample_of_groups(oof: ScoreFrame, most_rows: int, seed: int) -> ScoreFrame:
    """Draw whole groups, in a random order, until they have ``most_rows`` rows; all of them if they have no more."""
    if oof.table.height <= most_rows:
        return oof
    sizes = oof.table.group_by(oof.group).len().sort(oof.group)
    order = np.random.default_rng(seed).permutation(sizes.height)
    drawn = order[np.cumsum(sizes["len"].to_numpy()[order]) <= most_rows]
    rows = oof.table.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("position"), *oof.group)
    kept = rows.join(sizes[np.sort(drawn)], on=oof.group, how="semi", maintain_order="left")
    return oof.at(kept["position"])


def metric_of_weights(oof: ScoreFrame, metric: Metric) -> Callable[[Weights], float]:
    """The metric as a function of the weights, larger is better.

    Ranks and group numbers do not depend on the weights: they are computed once.
    """
    shares = rank_shares(oof)
    labels = oof.table.select(pl.struct(oof.group).rle_id().alias("group"), "relevance")
    sign = 1.0 if metric.greater_is_better else -1.0

    def value(weights: Weights) -> float:
        scored = labels.with_columns(score=pl.Series(_mix(shares, weights)))
        return sign * evaluate(metric, scored, group=["group"])

    return value


def _mix(shares: pl.DataFrame, weights: Weights) -> Scores:
    """Weighted sum, model after model: alone equals in bulk, which a matrix product does not promise."""
    mixed = np.zeros(shares.height)
    for model, weight in zip(shares.columns, weights, strict=True):
        mixed += weight * shares[model].to_numpy()
    return mixed
