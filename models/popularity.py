"""The baseline that every other model has to beat: what everybody likes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from models._by_feature import RankedByFeature
from models._ranker import FitContext, PairFrame
from models._registry import model


@model("popularity")
@dataclass(frozen=True)
class Popularity:
    """Ranks by the smoothed mean relevance of the item before the window, the same for every user."""

    feature: Annotated[str, Field(description="Feature column that holds the item's popularity.")] = (
        "relevance_rate__item_id"
    )

    @property
    def needs(self) -> tuple[str, ...]:
        """The popularity's column."""
        return (self.feature,)

    @property
    def fitted(self) -> type[RankedByFeature]:
        """What ``fit`` returns."""
        return RankedByFeature

    def fit(self, train: PairFrame, context: FitContext) -> RankedByFeature:
        """Check that the column is there; the rates were computed from each window's history."""
        train.columns([self.feature])
        return RankedByFeature(self.feature)
