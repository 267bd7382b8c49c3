"""A model that is one feature column, such as the item's popularity: the baseline that others have to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import polars as pl
from pydantic import Field

from models import FitContext, FitReport, PairFrame, Scores, model, saved_as_json


@saved_as_json
@dataclass(frozen=True)
class RankedByColumn:
    """Ranks pairs by a feature, larger first; unknown values (null, NaN) last.

    The score is ``x / (1 + |x|)``: it ranks as x does and lies in (-1, 1), so that -1 is below every known value
    and the score of a pair does not depend on the other pairs.
    """

    column: str

    @property
    def report(self) -> FitReport:
        """All importance lies on the one feature."""
        return FitReport(importance={self.column: 1.0})

    def predict(self, frame: PairFrame) -> Scores:
        """Score every pair: Float64 (n_pairs,) in [-1, 1]."""
        x = frame.column(self.column).cast(pl.Float64).fill_nan(None).clip(-1e300, 1e300)
        return (x / (1 + x.abs())).fill_null(-1.0).to_numpy()


@model("column")
@dataclass(frozen=True)
class RankByColumn:
    """Ranks by one feature column, larger first; pairs whose value is unknown come last."""

    precedence: ClassVar[int] = 2  # see stacking.Blender

    column: Annotated[str, Field(description="The feature column, such as relevance_rate__item_id.")]

    @property
    def needs(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    def fit(self, train: PairFrame, context: FitContext) -> RankedByColumn:
        """Check that the column is there; its values were computed from each window's history."""
        train.check([self.column])
        return RankedByColumn(self.column)
