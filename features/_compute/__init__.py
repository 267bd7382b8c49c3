"""The one way to values: windows, Python bodies, what is missing in the store, what it takes."""

from features._compute.bodies import as_frame, checked
from features._compute.drift import PAIRS, Drift, Rows, adversarial_auc, drift_of, ranked, stored_rows
from features._compute.memory import (
    BASE_GIB,
    COPIES,
    STATE_BYTES,
    body_gib,
    rows_before,
    tell_if_too_large,
    threads_per_job,
)
from features._compute.missing import compute_features
from features._compute.profile import (
    bin_edges,
    binned_shares,
    has_order,
    has_values,
    own_score,
    quantile_values,
    rank_correlation,
    stored_seconds,
)
from features._compute.streams import columns_read
from features._compute.windows import compute_window, compute_windows, shown

__all__ = [
    "BASE_GIB",
    "COPIES",
    "PAIRS",
    "STATE_BYTES",
    "Drift",
    "Rows",
    "adversarial_auc",
    "as_frame",
    "bin_edges",
    "binned_shares",
    "body_gib",
    "checked",
    "columns_read",
    "compute_features",
    "compute_window",
    "compute_windows",
    "drift_of",
    "has_order",
    "has_values",
    "own_score",
    "quantile_values",
    "rank_correlation",
    "ranked",
    "rows_before",
    "shown",
    "stored_rows",
    "stored_seconds",
    "tell_if_too_large",
    "threads_per_job",
]
