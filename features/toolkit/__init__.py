"""What family files share: codes, signals, co-occurrence, vectors, weightings."""

from features.toolkit.codes import codes
from features.toolkit.cooccurrence import (
    HALF_LIFE,
    Rows,
    Together,
    Values,
    go_together,
    later_rows,
    rows_of_user,
    rows_where,
    signal_rows,
)
from features.toolkit.signals import Residuals, reads_of, residuals
from features.toolkit.vectors import ItemVectors, Vectors, as_vectors, item_vectors, lengths, unit
from features.toolkit.warmth import NEEDS, STRENGTH, WarmRows, warm_rows
from features.toolkit.weightings import K1, SMOOTHING, B, Positions, bm25, cosine, entries, log_lift, meetings

__all__ = [
    "B",
    "HALF_LIFE",
    "K1",
    "NEEDS",
    "SMOOTHING",
    "STRENGTH",
    "ItemVectors",
    "Positions",
    "Residuals",
    "Rows",
    "Together",
    "Values",
    "Vectors",
    "WarmRows",
    "as_vectors",
    "bm25",
    "codes",
    "cosine",
    "entries",
    "go_together",
    "item_vectors",
    "later_rows",
    "lengths",
    "log_lift",
    "meetings",
    "reads_of",
    "residuals",
    "rows_of_user",
    "rows_where",
    "signal_rows",
    "unit",
    "warm_rows",
]
