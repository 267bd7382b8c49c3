"""Models: one file a model, one ``Ranker`` protocol."""

from models._by_feature import RankedByFeature
from models._holdout import inner_holdout, search_and_refit, shortest_budget
from models._ranker import FitContext, FitReport, FittedRanker, PairFrame, Ranker, Scores
from models._registry import build_models, model, model_kinds

__all__ = [
    "FitContext",
    "FitReport",
    "FittedRanker",
    "PairFrame",
    "RankedByFeature",
    "Ranker",
    "Scores",
    "build_models",
    "inner_holdout",
    "model",
    "model_kinds",
    "search_and_refit",
    "shortest_budget",
]
