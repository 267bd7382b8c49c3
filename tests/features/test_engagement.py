"""Signals of a feed of clips: against plain queries, and left alone where a log does not have them."""

from __future__ import annotations

import polars as pl
import pytest

from competitions import Dataset, get_competition, random_tables, take_in
from features import Catalogue, Window, compute_window, load_catalogue
from validation import window_pairs

WINDOW = Window(cutoff=1500, start=1500, until=1800)


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    competition = get_competition("vk2024")
    tables = random_tables(competition, n_users=10, n_items=60, n_rows=2000, seed=3)
    return take_in(competition, tables, tmp_path_factory.mktemp("feed"), fingerprint="generated feed")


@pytest.fixture(scope="module")
def catalogue(feed: Dataset) -> Catalogue:
    return load_catalogue(feed)


def family(catalogue: Catalogue) -> list[str]:
    return [name for name, column in catalogue.columns.items() if column.family == "engagement"]


@pytest.fixture(scope="module")
def values(feed: Dataset, catalogue: Catalogue) -> pl.DataFrame:
    pairs = window_pairs(feed, WINDOW)
    found = compute_window(catalogue, WINDOW, family(catalogue), pairs)
    shown = feed.with_attributes(pairs.lazy()).collect(engine="in-memory")
    return shown.join(found, on="pair_id", how="left", validate="1:1")


@pytest.fixture(scope="module")
def history(feed: Dataset) -> pl.DataFrame:
    rows = feed.with_attributes(feed.log.filter(pl.col("clock") < WINDOW.cutoff))
    return rows.sort("clock", "row").collect(engine="in-memory")


def assert_column(values: pl.DataFrame, by_hand: pl.DataFrame, key: list[str], column: str) -> None:
    """Compare a column with one value a key; keys without rows have none by hand."""
    joined = values.join(by_hand.rename({"value": "expected"}), on=key, how="inner", validate="m:1")
    assert joined.height > 10
    assert joined[column].null_count() == joined["expected"].null_count()
    difference = (joined[column].cast(pl.Float64) - joined["expected"].cast(pl.Float64)).abs().max()
    assert isinstance(difference, float)
    assert difference < 1e-4


def test_watch_share_is_a_smoothed_mean_of_seconds_by_duration(
    values: pl.DataFrame, history: pl.DataFrame
) -> None:
    watched = pl.when(pl.col("duration") > 0).then(
        (pl.col("timespent").cast(pl.Float64) / pl.col("duration")).clip(upper_bound=1)
    )
    prior = history.select(watched.mean()).item()
    by_hand = history.group_by("item_id").agg(value=(watched.sum() + 10 * prior) / (watched.count() + 10))
    assert_column(values, by_hand, ["item_id"], "watch_share__item_id")


def test_approval_counts_likes_shares_and_bookmarks(values: pl.DataFrame, history: pl.DataFrame) -> None:
    approved = (pl.col("like") | pl.col("share") | pl.col("bookmarks")).cast(pl.Float64)
    by_hand = history.group_by("user_id").agg(value=approved.sum())
    assert_column(values, by_hand, ["user_id"], "n_approvals__user_id")
    prior = history.select(approved.mean()).item()
    last = history.group_by("user_id", maintain_order=True).tail(20)
    by_hand = last.group_by("user_id").agg(value=(approved.sum() + 10 * prior) / (pl.len() + 10))
    assert_column(values, by_hand, ["user_id"], "recent_approval_rate__user_id__last20")


def test_recency_counts_rows_to_the_cutoff(values: pl.DataFrame, history: pl.DataFrame) -> None:
    watched = history.filter(pl.col("timespent") > 2)
    by_hand = watched.group_by("source_id").agg(value=WINDOW.cutoff - pl.col("clock").max())
    assert_column(values, by_hand, ["source_id"], "clock_since__last_watched__source_id")
    by_hand = watched.group_by("item_id").agg(value=WINDOW.cutoff - pl.col("clock").min())
    assert_column(values, by_hand, ["item_id"], "clock_since__first_watched__item_id")


def test_a_log_without_these_signals_has_none_of_the_features(movielens_catalogue: Catalogue) -> None:
    assert not family(movielens_catalogue)


def test_a_feed_has_them_all(catalogue: Catalogue) -> None:
    columns = [catalogue.columns[name] for name in family(catalogue)]
    assert sum(column.is_model_input for column in columns) >= 70
