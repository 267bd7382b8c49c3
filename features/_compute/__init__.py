"""The one way to values: windows, Python bodies, what is missing in the store, what it takes."""

from features._compute.bodies import as_frame, checked
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
    train_test_psi,
)
from features._compute.streams import columns_read
from features._compute.windows import compute_window, compute_windows, shown

__all__ = [
    "BASE_GIB",
    "COPIES",
    "STATE_BYTES",
    "as_frame",
    "bin_edges",
    "binned_shares",
    "body_gib",
    "checked",
    "columns_read",
    "compute_features",
    "compute_window",
    "compute_windows",
    "has_order",
    "has_values",
    "own_score",
    "quantile_values",
    "rank_correlation",
    "rows_before",
    "shown",
    "stored_seconds",
    "tell_if_too_large",
    "threads_per_job",
    "train_test_psi",
]
