"""A streamed learner goes through the log once, and a value is the same whatever else is computed."""

from __future__ import annotations

import polars as pl

from competitions import Dataset
from engine import Settings, Store
from features import (
    bind_catalogue,
    compute_features,
    compute_window,
    compute_windows,
    read_features,
)
from tests.features.streaming import one_streamed
from validation import Folds, window_pairs


def test_windows_together_alone_and_stored_are_the_same(
    timed: Dataset, folds: Folds, store: Store, settings: Settings
) -> None:
    catalogue = bind_catalogue(timed, one_streamed())
    pairs = {w: window_pairs(timed, w) for w in folds.windows}
    together = compute_windows(catalogue, ["decayed"], pairs)
    for w in folds.windows:
        assert compute_window(catalogue, w, ["decayed"], pairs[w]).equals(together[w])
    assert compute_features(catalogue, folds.windows, ["decayed"], store, settings) == len(folds.windows)
    stored = read_features(catalogue, folds.windows, ["decayed"], store)
    for w in folds.windows:
        a = stored.filter(pl.col("window") == w.cutoff).sort("pair_id")["decayed"]
        assert a.equals(together[w].sort("pair_id")["decayed"])
