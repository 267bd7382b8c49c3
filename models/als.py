"""ALS on its own: ranks by the score of the latent feature, which lives in ``features/``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from models._by_feature import RankedByFeature
from models._ranker import FitContext, PairFrame
from models._registry import model


@model("als")
@dataclass(frozen=True)
class Als:
    """Ranks by the product of the user's and the item's ALS factors; pairs without factors come last."""

    feature: Annotated[str, Field(description="Feature column that holds the ALS score.")] = "als_score__like"

    @property
    def needs(self) -> tuple[str, ...]:
        """The score's column."""
        return (self.feature,)

    @property
    def fitted(self) -> type[RankedByFeature]:
        """What ``fit`` returns."""
        return RankedByFeature

    def fit(self, train: PairFrame, context: FitContext) -> RankedByFeature:
        """Check that the column is there; the factors were fitted on each window's history."""
        train.columns([self.feature])
        return RankedByFeature(self.feature)
