"""A weighted mean of ranks, or of scores, whose weights maximise the competition's metric itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field

from competitions import Metric
from stacking._blender import BlendContext, ScoreFrame, Scores, blender
from stacking._ranks import centred, in_units, rank_shares, spreads_of
from stacking._simplex import maximise
from validation import evaluate


@dataclass(frozen=True)
class FittedWeights:
    """Weights of the models: non-negative, sum one. ``spreads``: units of their scores; None if ranks are mixed."""

    weights: Mapping[str, float]
    spreads: Mapping[str, float] | None = None

    def predict(self, frame: ScoreFrame) -> Scores:
        """Weighted mean, (n_pairs,): of rank shares in (0, 1), or of distances from the group's mean score."""
        return _mix(self.mixed(frame), np.array([self.weights[m] for m in frame.models]))

    def mixed(self, frame: ScoreFrame) -> pl.DataFrame:
        """What is weighted: a Float64 column a model, rows as in ``frame.table``."""
        return rank_shares(frame) if self.spreads is None else in_units(centred(frame), self.spreads)

    def save(self, folder: Path) -> None:
        """Write ``blend.json``."""
        (folder / "blend.json").write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read ``blend.json``."""
        return cls(**json.loads((folder / "blend.json").read_text(encoding="utf-8")))


@blender("weights")
@dataclass(frozen=True)
class Weights:
    """Direct search for the weights; see ``stacking._simplex.maximise`` for the parameters."""

    of: Annotated[
        Literal["ranks", "scores"],
        Field(
            description="Rank shares, or scores: minus the group's mean, over the model's standard deviation."
        ),
    ] = "ranks"
    n_restarts: Annotated[int, Field(ge=0)] = 4
    n_units: Annotated[int, Field(ge=1)] = 40
    budget: Annotated[int, Field(ge=1)] = 400
    most_rows: Annotated[
        int, Field(ge=1, description="Of more rows than this, a random sample of whole groups is taken.")
    ] = 400_000  # the search takes as long for any longer log

    learns: ClassVar[bool] = True
    fitted: ClassVar[type[FittedWeights]] = FittedWeights

    def fit(self, oof: ScoreFrame, context: BlendContext) -> FittedWeights:
        """Search for the weights with which the metric over the rows of ``oof`` is best."""
        blend = FittedWeights({}, None if self.of == "ranks" else spreads_of(centred(oof)))
        some = sample_of_groups(oof, self.most_rows, context.seed)
        found = maximise(
            metric_of_weights(some, blend.mixed(some), context.metric),
            len(oof.models),
            seed=context.seed,
            n_restarts=self.n_restarts,
            n_units=self.n_units,
            budget=self.budget,
        )
        return replace(blend, weights=dict(zip(oof.models, found.tolist(), strict=True)))


def sample_of_groups(oof: ScoreFrame, most_rows: int, seed: int) -> ScoreFrame:
    """Draw whole groups, in a random order, until they have ``most_rows`` rows, or one if it has more.

    All of them if they have no more rows.
    """
    if oof.table.height <= most_rows:
        return oof
    sizes = oof.table.group_by(oof.group).len().sort(oof.group)
    order = np.random.default_rng(seed).permutation(sizes.height)
    fits = np.cumsum(sizes["len"].to_numpy()[order]) <= most_rows
    fits[0] = True
    drawn = order[fits]
    rows = oof.table.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("position"), *oof.group)
    kept = rows.join(sizes[np.sort(drawn)], on=oof.group, how="semi", maintain_order="left")
    return oof.at(kept["position"])


def metric_of_weights(
    oof: ScoreFrame, columns: pl.DataFrame, metric: Metric
) -> Callable[[npt.NDArray[np.float64]], float]:
    """Make the metric of a mix of columns a function of the weights, larger is better.

    Columns and group numbers do not depend on the weights: they are computed once.
    """
    labels = oof.table.select(pl.struct(oof.group).rle_id().alias("group"), "relevance")
    sign = 1.0 if metric.greater_is_better else -1.0

    def value(weights: npt.NDArray[np.float64]) -> float:
        scored = labels.with_columns(score=pl.Series(_mix(columns, weights)))
        return sign * evaluate(metric, scored, group=["group"])

    return value


def _mix(columns: pl.DataFrame, weights: npt.NDArray[np.float64]) -> Scores:
    """Weighted sum, model after model: alone equals in bulk, which a matrix product does not promise."""
    mixed = np.zeros(columns.height)
    for model, weight in zip(columns.columns, weights, strict=True):
        mixed += weight * columns[model].to_numpy()
    return mixed
