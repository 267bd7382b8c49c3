"""Trees over the models' out-of-fold scores, alone or beside the features: which model to trust for which pair."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import polars as pl
from pydantic import Field

from engine import ConfigError
from models import FitContext, FittedRanker, PairFrame, Ranker, fitted_class, model_kinds, with_parameters
from stacking import BlendContext, ScoreFrame, Scores, blender, level_two_columns

PREFIX = "oof__"  # of the columns that are made of scores, so that none takes a feature's name


@dataclass(frozen=True)
class FittedTrees:
    """Fitted trees, and the models and features whose columns they read."""

    models: tuple[str, ...]
    features: tuple[str, ...]
    fitted: FittedRanker

    @property
    def weights(self) -> Mapping[str, float]:
        """Share of a model: the importance of its columns; what belongs to no model, such as features, is left out."""
        found = self.fitted.report.importance
        shares = {m: sum(found.get(f"{PREFIX}{m}__{c}", 0.0) for c in ("share", "z")) for m in self.models}
        total = sum(shares.values())
        # Of trees that never change a prediction, such as those of groups of one pair, the importance is NaN.
        return {m: v / total if total > 0 else 1 / len(shares) for m, v in shares.items()}

    def predict(self, frame: ScoreFrame) -> Scores:
        """Raw scores of the trees, (n_pairs,); the mean rank share where there was nothing to learn."""
        if self.fitted.report.iterations == 0:
            return level_two_columns(frame, self.models)["mean"].cast(pl.Float64).to_numpy()
        return self.fitted.predict(_pair_frame(frame, self.models, self.features))

    def save(self, folder: Path) -> None:
        """Write ``blend.json`` (names of models and features) and ``trees/``."""
        facts = {"models": self.models, "features": self.features}
        (folder / "blend.json").write_text(json.dumps(facts), encoding="utf-8")
        (folder / "trees").mkdir()
        self.fitted.save(folder / "trees")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote."""
        facts = json.loads((folder / "blend.json").read_text(encoding="utf-8"))
        fitted = fitted_class(_trees({})).load(folder / "trees")
        return cls(tuple(facts["models"]), tuple(facts["features"]), fitted)


@blender("level_two")
@dataclass(frozen=True)
class LevelTwo:
    """CatBoost over rank shares and z-scores of the models within the group, and over features.

    It is fitted on the rows of eval windows only. Their scores are of models that were fitted on earlier windows, and
    their features are of the history before their cutoff, so no row sees its own label: neither by its scores, nor by
    its features. Like every blend it is scored on a window that it was not fitted on.

    It reads the features that weigh most in the models' fits of the first fold, which saw no eval window. The number of
    trees is fixed: a search for it took as long again and found nothing better (docs/log.md).
    """

    include: Annotated[tuple[str, ...], Field(description="Patterns over the names of the features.")] = (
        "*",
    )
    exclude: Annotated[tuple[str, ...], Field(description="Patterns of those left out.")] = ()
    most_features: Annotated[
        int, Field(ge=0, description="Features at most, by their importance in the models of the first fold.")
    ] = 30
    loss: Literal["QueryRMSE", "YetiRank", "RMSE"] = "QueryRMSE"
    iterations: Annotated[int, Field(ge=1)] = 250
    depth: Annotated[int, Field(ge=1, le=16)] = 4
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.05
    l2_leaf_reg: Annotated[float, Field(ge=0)] = 20.0
    feature_share: Annotated[float, Field(gt=0, le=1)] = 0.3
    most_rows: Annotated[
        int, Field(ge=1, description="Of more rows than this, a random sample of whole groups is taken.")
    ] = 100_000

    @property
    def ranker(self) -> Ranker:
        """The trees."""
        own = ("loss", "iterations", "depth", "learning_rate", "l2_leaf_reg", "feature_share")
        return _trees({"holdout": 0.0, **{name: getattr(self, name) for name in own}})

    def fit(self, oof: ScoreFrame, context: BlendContext) -> FittedTrees:
        """Fit on the rows' scores and features. Memory: ``most_rows`` x columns x 4 bytes, while columns are read."""
        return _fit(self.ranker, oof.sample_of_groups(self.most_rows, context.seed), context)


@blender("catboost_oof")
@dataclass(frozen=True)
class CatBoostOof:
    """CatBoost over the same columns of scores, and no features: few, shallow trees with strong shrinkage.

    The columns are few and good already. The number of trees is fixed: no rows are spent on a hold-out. The loss
    compares a pair with the mean of its group, as the metrics within groups do.
    """

    loss: Literal["QueryRMSE", "YetiRank", "RMSE"] = "QueryRMSE"
    iterations: Annotated[int, Field(ge=1)] = 150
    depth: Annotated[int, Field(ge=1, le=16)] = 4
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.05
    l2_leaf_reg: Annotated[float, Field(ge=0)] = 20.0

    @property
    def ranker(self) -> Ranker:
        """The trees."""
        return _trees({"holdout": 0.0, "feature_share": 1.0, "border_count": 254, **asdict(self)})

    def fit(self, oof: ScoreFrame, context: BlendContext) -> FittedTrees:
        """Fit on the rows' scores."""
        return _fit(self.ranker, replace(oof, stored=None), context)


# Of scores that are good already: no start but the trees' own, labels as they are.
_PLAIN: Mapping[str, Any] = {"time_budget": None, "start": "", "even_groups": False}


def _trees(parameters: Mapping[str, Any]) -> Ranker:
    return with_parameters(model_kinds()["catboost"], {**_PLAIN, **parameters}, "[blenders]")


def _fit(ranker: Ranker, rows: ScoreFrame, context: BlendContext) -> FittedTrees:
    features = () if rows.stored is None else tuple(rows.stored.schema)
    pairs = _pair_frame(rows, rows.models, features)
    return FittedTrees(rows.models, features, ranker.fit(pairs, FitContext(context.seed)))


def _pair_frame(frame: ScoreFrame, models: tuple[str, ...], features: tuple[str, ...]) -> PairFrame:
    """Lay the columns made of scores beside the features, as models are given them.

    Raises ConfigError if a feature has the name of one of these columns.
    """
    own = level_two_columns(frame, models).rename(lambda name: PREFIX + name)
    for name in features:
        if name in own.columns:
            raise ConfigError(
                f"The feature {name!r} has the name of a column that the blender makes of scores.",
                todo=f"rename the feature: names that begin with {PREFIX!r} are taken",
            )
    keys = [c for c in ("pair_id", "window", frame.user, "relevance") if c in frame.table.columns]
    table = pl.concat([frame.table.select(keys), own], how="horizontal")
    # Groups are (window, user): there is no item among what blenders see, and trees read none.
    return PairFrame(table, (*own.columns, *features), frame.user, "item", None, frame.stored)
