"""A ranker that is one feature column: nothing to learn, only to name the column."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from models._ranker import FitReport, PairFrame, Scores


@dataclass(frozen=True)
class RankedByFeature:
    """Ranks pairs by a feature, larger first; unknown values (null, NaN) last.

    The score is ``x / (1 + |x|)``: it ranks as x does and lies in (-1, 1), so that -1 is below every known value
    and the score of a pair does not depend on the other pairs.
    """

    feature: str

    @property
    def report(self) -> FitReport:
        """All importance lies on the one feature."""
        return FitReport(importance={self.feature: 1.0})

    def predict(self, frame: PairFrame) -> Scores:
        """Score every pair: Float64 (n_pairs,) in [-1, 1]."""
        x = frame.columns([self.feature])[self.feature].cast(pl.Float64).fill_nan(None).clip(-1e300, 1e300)
        return (x / (1 + x.abs())).fill_null(-1.0).to_numpy()

    def save(self, folder: Path) -> None:
        """Write the feature's name."""
        (folder / "model.json").write_text(json.dumps({"feature": self.feature}), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> RankedByFeature:
        """Read what ``save`` wrote."""
        return cls(json.loads((folder / "model.json").read_text(encoding="utf-8"))["feature"])
