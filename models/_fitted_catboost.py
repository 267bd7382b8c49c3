"""Trained trees on their own: predict, save, load."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import catboost
import numpy as np
import polars as pl

from models._ranker import FitReport, PairFrame, Scores

_NO_CATEGORY = "(null)"
_PART = 2**19  # rows whose features are in memory at a time


@dataclass(frozen=True)
class FittedCatBoost:
    """Trees, or a constant where there was nothing to learn (one class, or no feature that varies).

    ``classes``: levels of relevance that the columns of a MultiClass prediction stand for; None for other losses.
    """

    booster: catboost.CatBoost | None
    constant: float
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    classes: tuple[float, ...] | None
    threads: int
    report: FitReport

    def predict(self, frame: PairFrame) -> Scores:
        """Score every pair: Float64 (n_pairs,). For MultiClass the expected relevance."""
        if self.booster is None or frame.table.height == 0:
            frame.check([*self.numeric, *self.categorical])
            return np.full(frame.table.height, self.constant)
        return np.concatenate([self._part(self.booster, part) for part in frame.parts(_PART)])

    def _part(self, booster: catboost.CatBoost, frame: PairFrame) -> Scores:
        features = tree_inputs(frame, self.numeric, self.categorical)
        kind = "RawFormulaVal" if self.classes is None else "Probability"
        raw: Scores = booster.predict(
            catboost.Pool(features, cat_features=list(self.categorical)),
            prediction_type=kind,
            thread_count=self.threads,
        )
        # A sum along the row, not a matrix product: alone must equal bulk.
        return np.asarray(raw if self.classes is None else (raw * np.array(self.classes)).sum(axis=1))

    def save(self, folder: Path) -> None:
        """Write ``model.cbm`` (unless constant) and ``model.json``."""
        if self.booster is not None:
            self.booster.save_model(str(folder / "model.cbm"))
        facts = {
            "constant": self.constant,
            "numeric": self.numeric,
            "categorical": self.categorical,
            "classes": self.classes,
            "threads": self.threads,
            "report": asdict(self.report),
        }
        (folder / "model.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> FittedCatBoost:
        """Read what ``save`` wrote."""
        facts = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        booster = None
        if (folder / "model.cbm").exists():
            booster = catboost.CatBoost()
            booster.load_model(str(folder / "model.cbm"))
        return cls(
            booster=booster,
            constant=facts["constant"],
            numeric=tuple(facts["numeric"]),
            categorical=tuple(facts["categorical"]),
            classes=None if facts["classes"] is None else tuple(facts["classes"]),
            threads=facts["threads"],
            report=FitReport(**facts["report"]),
        )


def tree_inputs(frame: PairFrame, numeric: tuple[str, ...], categorical: tuple[str, ...]) -> pl.DataFrame:
    """Numeric features as Float32 (NaN = unknown) and Enum ones with a category of their own for null.

    Columns are read one by one, so that the matrix is in memory once: CatBoost reads Float32 columns without nulls
    where they lie and makes no copy of them.
    """
    numbers = (frame.column(c).cast(pl.Float32).fill_null(float("nan")) for c in numeric)
    return pl.DataFrame([*numbers, *(_with_category(frame.column(c)) for c in categorical)])


def _with_category(values: pl.Series) -> pl.Series:
    """Give null a category of its own."""
    if not isinstance(values.dtype, pl.Enum):
        return values
    return values.cast(pl.Enum([*values.dtype.categories, _NO_CATEGORY])).fill_null(_NO_CATEGORY)
