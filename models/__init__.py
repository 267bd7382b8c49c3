"""Models: one file a model, one ``Ranker`` protocol."""

from models._by_feature import RankedByFeature
from models._holdout import inner_holdout, search_and_refit, shortest_budget
from models._pair_frame import PairFrame, StoredColumns
from models._parameters import Parameter, parameters_of
from models._ranker import FitContext, FitReport, FittedRanker, Ranker, Scores
from models._registry import build_models, model, model_kinds
from models._tables import is_enabled, with_parameters

__all__ = [
    "FitContext",
    "FitReport",
    "FittedRanker",
    "PairFrame",
    "Parameter",
    "RankedByFeature",
    "Ranker",
    "Scores",
    "StoredColumns",
    "build_models",
    "inner_holdout",
    "is_enabled",
    "model",
    "model_kinds",
    "parameters_of",
    "search_and_refit",
    "shortest_budget",
    "with_parameters",
]
