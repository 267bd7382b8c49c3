"""Rates that fall back step by step: against plain queries, step by step."""

from __future__ import annotations

import polars as pl
import pytest

from tests.features.feed_world import HORIZON, World, assert_alike, watched, weight

LIKE, DISLIKE, ONE = pl.col("like").cast(pl.Float64), pl.col("dislike").cast(pl.Float64), pl.lit(1.0)
SEGMENT = ["gender", "age_group", "source_id"]


def pooled(world: World, key: list[str], x: pl.Expr, wider: pl.Series, by: pl.Expr = ONE) -> pl.Series:
    """Sum of a value and of its rows by key, pulled to a wider rate (10 rows)."""
    shown = by * pl.col("row").is_not_null()
    return (world.counted(key, x * by) + 10 * wider.cast(pl.Float64)) / (world.counted(key, shown) + 10)


@pytest.mark.parametrize(
    ("column", "x", "wider"),
    [
        ("n_likes", LIKE, "like_rate"),
        ("n_dislikes", DISLIKE, "dislike_rate"),
        ("clips_watched", watched(), "watch_share"),
    ],
)
def test_an_item_borrows_from_its_source(world: World, column: str, x: pl.Expr, wider: str) -> None:
    expected = pooled(world, ["item_id"], x, world.values[f"{wider}__source_id"])
    assert_alike(world.values[f"backed_rate_of_item__{column}__item_id"], expected)


@pytest.mark.parametrize(
    ("own", "segments", "x", "wider"),
    [
        ("n_likes", "cross_rate__segment_likes", LIKE, "like_rate"),
        ("n_dislikes", "cross_rate__segment_dislikes", DISLIKE, "dislike_rate"),
        ("clips_watched", "backed_rate__clips_watched", watched(), "watch_share"),
        (
            "n_approvals",
            "backed_rate__segment_approvals",
            (pl.col("like") | pl.col("share") | pl.col("bookmarks")).cast(pl.Float64),
            "approval_rate",
        ),
    ],
)
def test_a_user_borrows_from_the_segment_and_that_from_all(
    world: World, own: str, segments: str, x: pl.Expr, wider: str
) -> None:
    of_segment = pooled(world, SEGMENT, x, world.values[f"{wider}__source_id"])
    assert_alike(world.values[f"{segments}__gender_x_age_group_x_source_id"], of_segment)
    expected = pooled(world, ["user_id", "source_id"], x, of_segment)
    assert_alike(world.values[f"backed_rate__{own}__user_id_x_source_id"], expected)


def test_an_item_for_a_segment_borrows_from_the_source_for_it(world: World) -> None:
    key = ["gender", "age_group", "item_id"]
    wider = world.values["cross_rate__segment_likes__gender_x_age_group_x_source_id"]
    name = "backed_rate_of_item__segment_likes__gender_x_age_group_x_item_id"
    assert_alike(world.values[name], pooled(world, key, LIKE, wider))


@pytest.mark.parametrize(
    ("column", "x", "wider"),
    [("faded_likes", LIKE, "n_likes"), ("faded_watched", watched(), "clips_watched")],
)
def test_late_rows_are_pulled_to_all_rows(world: World, column: str, x: pl.Expr, wider: str) -> None:
    ever = world.values[f"backed_rate__{wider}__user_id_x_source_id"]
    expected = pooled(world, ["user_id", "source_id"], x, ever, weight(HORIZON))
    assert_alike(world.values[f"backed_rate__{column}__user_id_x_source_id"], expected)


def test_users_of_unknown_gender_get_the_rate_of_all_at_a_new_source(world: World) -> None:
    strangers = world.values.filter(pl.col("gender").is_null() & pl.col("user_id").is_not_null())
    assert strangers.height
    new = strangers.join(world.history, on=["user_id", "source_id"], how="anti")
    assert_alike(new["backed_rate__n_likes__user_id_x_source_id"], new["like_rate__source_id"], 1e-6)
