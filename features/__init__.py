"""Features: one registry computes every feature the same way for train, eval and test windows.

A feature is a function of the history before a cutoff and of what can be seen of the pairs to score.
"""

from features._aggregates import (
    Aggregate,
    count,
    decayed,
    first,
    largest,
    last,
    mean,
    raw,
    smallest,
    smoothed,
    std,
    total,
)
from features._catalogue import Catalogue, bind_catalogue, dtype_name
from features._codes import codes
from features._column import FeatureColumn
from features._compute import compute_window, compute_windows
from features._declare import Log, aggregate, fitted, per_pair, table
from features._discover import load_catalogue, load_registry
from features._errors import FeatureError
from features._lookback import Lookback, horizon
from features._profile import own_score, quantile_values, rank_correlation, stored_seconds, train_test_psi
from features._reading import StoredPairs, open_features
from features._recipes import column_recipes, feature_keys
from features._registry import Registry
from features._run import compute_features
from features._stored import missing_columns, read_features
from validation import Window

__all__ = [
    "Aggregate",
    "Catalogue",
    "FeatureColumn",
    "FeatureError",
    "Log",
    "Lookback",
    "Registry",
    "StoredPairs",
    "Window",
    "aggregate",
    "bind_catalogue",
    "codes",
    "column_recipes",
    "compute_features",
    "compute_window",
    "compute_windows",
    "count",
    "decayed",
    "dtype_name",
    "feature_keys",
    "first",
    "fitted",
    "horizon",
    "largest",
    "last",
    "load_catalogue",
    "load_registry",
    "mean",
    "missing_columns",
    "open_features",
    "own_score",
    "per_pair",
    "quantile_values",
    "rank_correlation",
    "raw",
    "read_features",
    "smallest",
    "smoothed",
    "std",
    "stored_seconds",
    "table",
    "total",
    "train_test_psi",
]
