"""What family files share: expressions, signals, lists of users, vectors, regressions, codes of keys, words, search."""

from features.toolkit.beliefs import FACTORS, Beliefs, found_items
from features.toolkit.designs import Design, Regression
from features.toolkit.expressions import is_positive, rank_within, share_watched, zscore_within
from features.toolkit.factorisation import Factorisation, bins_of
from features.toolkit.filtering import Filter, arrays_of, restore
from features.toolkit.gaussian import Floats, Packing, inverse, likelier_memory, smoothed_path
from features.toolkit.lists import Lists, Rows, entries, lists_of, rows_of, rows_where
from features.toolkit.meetings import met_vectors
from features.toolkit.positions import Codes, Positions, Sparse, Values, Vectors, chunks, codes
from features.toolkit.regression import ridge
from features.toolkit.search import hidden_scores, highest_scores
from features.toolkit.signals import (
    certainty_weighted,
    opinions,
    preferences,
    residuals,
    signal_columns,
    signal_matrix,
)
from features.toolkit.texts import hashed_words
from features.toolkit.usual import usual
from features.toolkit.vectors import (
    Embeddings,
    ItemVectors,
    as_vectors,
    cosines,
    dots,
    embeddings,
    item_vectors,
    lengths,
    multiplied,
    unit,
    vector_column,
)
from features.toolkit.warmth import WARMTH_COLUMNS, WarmRows, warm_rows

__all__ = [
    "FACTORS",
    "WARMTH_COLUMNS",
    "Beliefs",
    "Codes",
    "Design",
    "Embeddings",
    "Factorisation",
    "Filter",
    "Floats",
    "ItemVectors",
    "Lists",
    "Packing",
    "Positions",
    "Regression",
    "Rows",
    "Sparse",
    "Values",
    "Vectors",
    "WarmRows",
    "arrays_of",
    "as_vectors",
    "bins_of",
    "certainty_weighted",
    "chunks",
    "codes",
    "cosines",
    "dots",
    "embeddings",
    "entries",
    "found_items",
    "hashed_words",
    "hidden_scores",
    "highest_scores",
    "inverse",
    "is_positive",
    "item_vectors",
    "lengths",
    "likelier_memory",
    "lists_of",
    "met_vectors",
    "multiplied",
    "opinions",
    "preferences",
    "rank_within",
    "residuals",
    "restore",
    "ridge",
    "rows_of",
    "rows_where",
    "share_watched",
    "signal_columns",
    "signal_matrix",
    "smoothed_path",
    "unit",
    "usual",
    "vector_column",
    "warm_rows",
    "zscore_within",
]
