"""CatBoost over the models' out-of-fold scores: which model to trust for which kind of group."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import polars as pl

from stacking import BlendContext, ScoreFrame, Scores, blender, level_two_columns

if TYPE_CHECKING:
    from catboost import CatBoost


@dataclass(frozen=True)
class FittedCatBoostOof:
    """A fitted CatBoost over the columns of ``level_two_columns``; None where the rows had nothing to teach."""

    models: tuple[str, ...]
    booster: CatBoost | None

    @property
    def weights(self) -> Mapping[str, float]:
        """Share of a model: the importance of its columns; what belongs to no model is left out."""
        if self.booster is None:
            return {m: 1 / len(self.models) for m in self.models}
        # CatBoost's default for a group-wise loss needs the training rows; this one is kept in the model.
        importance = self.booster.get_feature_importance(type="PredictionValuesChange")
        values = dict(zip(self.booster.feature_names_, importance, strict=True))
        shares = {m: sum(float(values[f"{m}__{c}"]) for c in ("share", "z")) for m in self.models}
        total = sum(shares.values())
        return {m: v / total if total else 1 / len(shares) for m, v in shares.items()}

    def predict(self, frame: ScoreFrame) -> Scores:
        """Raw scores of the trees, (n_pairs,); the mean rank share where there are none."""
        if self.booster is None:
            return level_two_columns(frame, self.models)["mean"].cast(pl.Float64).to_numpy()
        scores: Scores = self.booster.predict(_pool(frame, self.models, labels=False), thread_count=1)
        return scores

    def save(self, folder: Path) -> None:
        """Write ``blend.cbm``, or ``blend.json`` with the models' names where there are no trees."""
        if self.booster is None:
            (folder / "blend.json").write_text(json.dumps({"models": self.models}), encoding="utf-8")
        else:
            self.booster.save_model(str(folder / "blend.cbm"))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote; the models' names are those of the trees' columns."""
        if (folder / "blend.json").exists():
            return cls(tuple(json.loads((folder / "blend.json").read_text(encoding="utf-8"))["models"]), None)
        from catboost import CatBoost

        booster = CatBoost().load_model(str(folder / "blend.cbm"))
        names = [c.removesuffix("__share") for c in booster.feature_names_ if c.endswith("__share")]
        return cls(tuple(names), booster)


@blender("catboost_oof")
@dataclass(frozen=True)
class CatBoostOof:
    """A small booster: few, shallow trees with strong shrinkage, since the columns are few and good already.

    The loss compares a pair with the mean of its group, as the metrics within groups do.
    """

    loss: str = "QueryRMSE"
    iterations: int = 150
    depth: int = 4
    learning_rate: float = 0.05
    l2_leaf_reg: float = 20.0

    def fit(self, oof: ScoreFrame, context: BlendContext) -> FittedCatBoostOof:
        """Fit a fixed number of trees: no rows are spent on a hold-out.

        CatBoost refuses labels that are all equal, and columns that all are: then there are no trees.
        """
        from catboost import CatBoost

        if not _has_something_to_learn(oof):
            return FittedCatBoostOof(oof.models, None)
        parameters: dict[str, Any] = {
            "loss_function": self.loss,
            "iterations": self.iterations,
            "depth": self.depth,
            "learning_rate": self.learning_rate,
            "l2_leaf_reg": self.l2_leaf_reg,
            "random_seed": context.seed,
            "thread_count": context.threads,
            "allow_writing_files": False,
            "logging_level": "Silent",
        }
        booster = CatBoost(parameters)
        booster.fit(_pool(oof, oof.models, labels=True))
        return FittedCatBoostOof(oof.models, booster)


def _has_something_to_learn(oof: ScoreFrame) -> bool:
    has_labels = oof.table["relevance"].n_unique() > 1
    return has_labels and any(column.n_unique() > 1 for column in level_two_columns(oof, oof.models))


def _pool(frame: ScoreFrame, models: tuple[str, ...], *, labels: bool) -> Any:
    """CatBoost's own table (untyped). Groups are numbered in the order of the rows."""
    from catboost import Pool

    columns = level_two_columns(frame, models)
    return Pool(
        columns.to_numpy(),
        label=frame.relevance if labels else None,
        group_id=frame.table.select(pl.struct(frame.group).rle_id())["window"].to_numpy(),
        feature_names=columns.columns,
    )
