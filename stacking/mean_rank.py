"""The baseline: the mean over the models of the pair's rank within its group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from models import saved_as_json
from stacking import BlendContext, ScoreFrame, Scores, blender, rank_of, share_of


@saved_as_json
@dataclass(frozen=True)
class FittedMeanRank:
    """Nothing but the models' names: the mean of ranks learns nothing."""

    models: tuple[str, ...]

    @property
    def weights(self) -> Mapping[str, float]:
        """The same share for each model."""
        return {m: 1 / len(self.models) for m in self.models}

    def predict(self, frame: ScoreFrame) -> Scores:
        """Mean rank share, (n_pairs,) in (0, 1).

        Ranks are multiples of 1/2, so their sum is exact and two pairs with the same ranks in another order of
        models tie exactly.
        """
        ranks = pl.sum_horizontal(rank_of(m, frame.group) for m in self.models)
        score = share_of(ranks / len(self.models), frame.group)
        return frame.table.select(score=score)["score"].to_numpy()


@blender("mean_rank")
@dataclass(frozen=True)
class MeanRank:
    """Mean over the models of the rank share within (window, user); ties get their average rank."""

    learns: ClassVar[bool] = False

    def fit(self, oof: ScoreFrame, context: BlendContext) -> FittedMeanRank:
        """Remember the models' names."""
        return FittedMeanRank(oof.models)
