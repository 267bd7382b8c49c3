"""Models: one file a model, one ``Ranker`` protocol."""

from models._holdout import inner_holdout, search_and_refit
from models._pair_frame import PairFrame, Scores, StoredColumns
from models._ranker import (
    FitContext,
    FitReport,
    FittedRanker,
    Ranker,
    also_needed_columns,
    also_read_columns,
    columns_of,
    fitted_class,
    needed_columns,
    read_json,
    saved_as_json,
    selected_columns,
    write_json,
)
from models._registry import add_kind, build_models, check_name, model, model_kinds
from models._start import Link, Start, fit_start, numbers_of, start_column, vector_width
from models._tables import Parameter, is_enabled, kind_of, parameters_of, with_parameters

__all__ = [
    "FitContext",
    "FitReport",
    "FittedRanker",
    "Link",
    "PairFrame",
    "Parameter",
    "Ranker",
    "Scores",
    "Start",
    "StoredColumns",
    "add_kind",
    "also_needed_columns",
    "also_read_columns",
    "build_models",
    "check_name",
    "columns_of",
    "fit_start",
    "fitted_class",
    "inner_holdout",
    "is_enabled",
    "kind_of",
    "model",
    "model_kinds",
    "needed_columns",
    "numbers_of",
    "parameters_of",
    "read_json",
    "saved_as_json",
    "search_and_refit",
    "selected_columns",
    "start_column",
    "vector_width",
    "with_parameters",
    "write_json",
]
