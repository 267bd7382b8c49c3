"""How features are written: decorators, aggregates, lookbacks, the registry, errors."""

from features._declare.aggregates import (
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
from features._declare.decorators import Log, aggregate, aggregate_of, fitted, per_pair, table
from features._declare.errors import FeatureError, MissingColumnError
from features._declare.handle import Feature, column_of
from features._declare.lookback import EVERYTHING, Lookback, horizon, last_n
from features._declare.registry import (
    REGISTRY,
    Column,
    Declaration,
    DType,
    Key,
    Place,
    Range,
    Registry,
    Scope,
)

__all__ = [
    "EVERYTHING",
    "REGISTRY",
    "Aggregate",
    "Column",
    "DType",
    "Declaration",
    "Feature",
    "FeatureError",
    "Key",
    "Log",
    "Lookback",
    "MissingColumnError",
    "Place",
    "Range",
    "Registry",
    "Scope",
    "aggregate",
    "aggregate_of",
    "column_of",
    "count",
    "decayed",
    "first",
    "fitted",
    "horizon",
    "largest",
    "last",
    "last_n",
    "mean",
    "per_pair",
    "raw",
    "smallest",
    "smoothed",
    "std",
    "table",
    "total",
]
