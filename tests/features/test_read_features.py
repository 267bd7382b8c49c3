"""Stored columns come back in order, aligned, and under keys that tell what they are made of."""

from __future__ import annotations

import polars as pl
import pytest

from competitions import Dataset
from engine import Settings, Store, StoreError
from features import (
    Catalogue,
    bind_catalogue,
    compute_features,
    compute_window,
    feature_keys,
    read_features,
)
from tests.features.storing import ALL, registry
from validation import Folds, window_pairs, window_relevance


@pytest.fixture
def catalogue(timed: Dataset) -> Catalogue:
    return bind_catalogue(timed, registry())


def test_columns_are_read_in_order_and_aligned(
    timed: Dataset, catalogue: Catalogue, folds: Folds, store: Store, settings: Settings
) -> None:
    windows = (folds.final.eval, *folds.final.train)  # not in the order of the clock
    compute_features(catalogue, windows, ALL, store, settings)
    names = ["twice", "rate__user_id", "c__a", "twice"]
    frame = read_features(catalogue, windows, names, store)
    assert frame.columns == [
        "pair_id",
        "user_id",
        "item_id",
        "kind",
        "window",
        "twice",
        "rate__user_id",
        "c__a",
        "relevance",
    ]
    assert frame.equals(frame.sort("window", "user_id", "pair_id"))
    assert frame.schema["relevance"] == pl.Int8
    for window in windows:
        part = frame.filter(pl.col("window") == window.cutoff).sort("pair_id")
        pairs = window_pairs(timed, window)
        fresh = compute_window(catalogue, window, list(catalogue.columns), pairs)
        assert part.select("pair_id", "twice", "rate__user_id").equals(
            fresh.select("pair_id", "twice", "rate__user_id")
        )
        assert part.select("pair_id", "user_id", "item_id").equals(
            pairs.select("pair_id", "user_id", "item_id")
        )
        if window == folds.final.eval:
            assert part["relevance"].null_count() == part.height
        else:
            assert part.select("pair_id", "relevance").equals(window_relevance(timed, window))


def test_reading_what_was_not_computed_says_what_to_do(
    catalogue: Catalogue, folds: Folds, store: Store
) -> None:
    with pytest.raises(StoreError, match=r": gap @ w[0-9-]+' is not in the store") as refused:
        read_features(catalogue, [folds.final.eval], ["gap"], store)
    assert "run the command again" in str(refused.value)


def test_the_keys_of_a_frame_change_with_what_it_is_made_of(timed: Dataset, folds: Folds) -> None:
    windows = folds.final.train
    keys = feature_keys(bind_catalogue(timed, registry()), windows, ["gap", "c__a"])
    assert len(keys) == 3 * len(windows)
    edited = feature_keys(bind_catalogue(timed, registry(strength=11)), windows, ["gap", "c__a"])
    assert {name.split(" @ ")[0] for name in keys if keys[name] != edited[name]} == {"gap"}
