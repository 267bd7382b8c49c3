"""Signals of a feed of clips: against plain queries, and left alone where a log does not have them."""

from __future__ import annotations

import polars as pl

from features import Catalogue
from tests.features.feed_world import WINDOW, World, inputs_of, watched


def test_watch_share_is_a_smoothed_mean_of_seconds_by_duration(world: World) -> None:
    share = watched()
    prior = world.history.select(share.mean()).item()
    by_hand = world.history.group_by("item_id").agg(value=(share.sum() + 10 * prior) / (share.count() + 10))
    world.assert_column("watch_share__item_id", ["item_id"], by_hand)


def test_approval_counts_likes_shares_and_bookmarks(world: World) -> None:
    approved = (pl.col("like") | pl.col("share") | pl.col("bookmarks")).cast(pl.Float64)
    by_hand = world.history.group_by("user_id").agg(value=approved.sum())
    world.assert_column("n_approvals__user_id", ["user_id"], by_hand)
    prior = world.history.select(approved.mean()).item()
    last = world.history.group_by("user_id", maintain_order=True).tail(20)
    by_hand = last.group_by("user_id").agg(value=(approved.sum() + 10 * prior) / (pl.len() + 10))
    world.assert_column("recent_approval_rate__user_id__last20", ["user_id"], by_hand)


def test_recency_counts_rows_to_the_cutoff(world: World) -> None:
    seen = world.history.filter(pl.col("timespent") > 2)
    by_hand = seen.group_by("source_id").agg(value=WINDOW.cutoff - pl.col("clock").max())
    world.assert_column("clock_since__last_watched__source_id", ["source_id"], by_hand)
    by_hand = seen.group_by("item_id").agg(value=WINDOW.cutoff - pl.col("clock").min())
    world.assert_column("clock_since__first_watched__item_id", ["item_id"], by_hand)


def test_a_log_without_these_signals_has_none_of_the_features(movielens_catalogue: Catalogue) -> None:
    assert "engagement" not in inputs_of(movielens_catalogue)


def test_a_feed_has_them_all(world: World) -> None:
    assert inputs_of(world.catalogue)["engagement"] >= 70
