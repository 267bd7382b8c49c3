"""A model that is one feature column, or the mean of several: the baseline that others have to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import polars as pl
from pydantic import Field

from models import FitContext, FitReport, PairFrame, Scores, model, saved_as_json

_Name = Annotated[str, Field(min_length=1)]


@saved_as_json
@dataclass(frozen=True)
class RankedByColumn:
    """Ranks pairs by a feature, larger first; unknown values (null, NaN) last.

    The score is ``x / (1 + |x|)``: it ranks as x does and lies in (-1, 1), so that -1 is below every known value
    and the score of a pair does not depend on the other pairs. Of several columns x is the mean of ``(value - mean) /
    std``, of each pair over those that are known; -1 where none is.
    """

    columns: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def report(self) -> FitReport:
        """Each column has the same share."""
        return FitReport(importance=dict.fromkeys(self.columns, 1 / len(self.columns)))

    def predict(self, frame: PairFrame) -> Scores:
        """Score every pair: Float64 (n_pairs,) in [-1, 1]."""
        total, n_known = np.zeros(frame.table.height), np.zeros(frame.table.height)
        for name, mean, std in zip(self.columns, self.mean, self.std, strict=True):
            x = _numbers(frame, name)
            known = np.isfinite(x)
            with np.errstate(over="ignore"):
                total[known] += np.clip((x[known] - mean) / std, -1e300, 1e300)
            n_known += known
        x = np.divide(total, n_known, out=np.zeros_like(total), where=n_known > 0)
        return np.where(n_known > 0, x / (1 + np.abs(x)), -1.0)


@model("column")
@dataclass(frozen=True)
class RankByColumn:
    """Ranks by one feature column, larger first, or by the mean of several; unknown values come last."""

    precedence: ClassVar[int] = 2  # see stacking.Blender

    column: Annotated[
        _Name | Annotated[tuple[_Name, ...], Field(min_length=1)],
        Field(
            description="The feature column, such as taste_score; or a list of them, of which the mean is taken "
            "after each was brought to mean 0 and standard deviation 1 on the train rows."
        ),
    ]

    @property
    def needs(self) -> tuple[str, ...]:
        """The columns."""
        return (self.column,) if isinstance(self.column, str) else tuple(dict.fromkeys(self.column))

    def fit(self, train: PairFrame, context: FitContext) -> RankedByColumn:
        """Learn how several columns are scaled; one is taken as it is."""
        train.check(self.needs)
        if len(self.needs) == 1:
            return RankedByColumn(self.needs, (0.0,), (1.0,))
        mean, std = zip(*(_mean_std(_numbers(train, name)) for name in self.needs), strict=True)
        return RankedByColumn(self.needs, mean, std)


def _numbers(frame: PairFrame, name: str) -> Scores:
    """Values as Float64 (n_pairs,), NaN = unknown; bounded, so that infinite ones have their place too."""
    return frame.column(name).cast(pl.Float64).fill_null(np.nan).clip(-1e300, 1e300).to_numpy()


def _mean_std(x: Scores) -> tuple[float, float]:
    """Mean and standard deviation of the values that are known, summed in ascending order; 0 and 1 without spread."""
    known = np.sort(x[np.isfinite(x)]).clip(-1e100, 1e100)
    if not len(known) or known[0] == known[-1]:
        return (float(known[0]) if len(known) else 0.0), 1.0
    return float(known.mean()), float(known.std())
