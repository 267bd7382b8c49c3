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
from features._declare.lookback import EVERYTHING, Lookback, horizon
from features._declare.registry import REGISTRY, Declaration, DType, Key, Place, Range, Registry, Scope

__all__ = [
    "EVERYTHING",
    "REGISTRY",
    "Aggregate",
    "DType",
    "Declaration",
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
    "count",
    "decayed",
    "first",
    "fitted",
    "horizon",
    "largest",
    "last",
    "mean",
    "per_pair",
    "raw",
    "smallest",
    "smoothed",
    "std",
    "table",
    "total",
]
