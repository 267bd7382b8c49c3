"""The one way to values: windows, Python bodies, what is missing in the store, what it takes."""

from features._compute.memory import COPIES, body_gib, rows_before, tell_if_too_large, threads_per_job
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
from features._compute.windows import compute_window, compute_windows

__all__ = [
    "COPIES",
    "bin_edges",
    "binned_shares",
    "body_gib",
    "compute_features",
    "compute_window",
    "compute_windows",
    "has_order",
    "has_values",
    "own_score",
    "quantile_values",
    "rank_correlation",
    "rows_before",
    "stored_seconds",
    "tell_if_too_large",
    "threads_per_job",
    "train_test_psi",
]
