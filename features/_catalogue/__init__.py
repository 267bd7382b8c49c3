"""The registry bound to a data set: which columns exist here, what they are made of, what is not available."""

from features._catalogue.catalogue import (
    Catalogue,
    bind_catalogue,
    dtype_name,
    load_catalogue,
    load_registry,
)
from features._catalogue.column import (
    WINDOW_COLUMNS,
    AggregateBody,
    FeatureColumn,
    PairBody,
    PythonBody,
    as_dtype,
)

__all__ = [
    "WINDOW_COLUMNS",
    "AggregateBody",
    "Catalogue",
    "FeatureColumn",
    "PairBody",
    "PythonBody",
    "as_dtype",
    "bind_catalogue",
    "dtype_name",
    "load_catalogue",
    "load_registry",
]
