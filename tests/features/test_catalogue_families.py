"""Rates, trends, affinity, audience and cross counters of a feed: against plain queries over its history."""

from __future__ import annotations

import polars as pl
import pytest

from engine import FeatureSettings
from features import Catalogue
from tests.features.feed_world import (
    HORIZON,
    WINDOW,
    World,
    assert_alike,
    inputs_of,
    watched,
    weight,
)

LIKE, DISLIKE = pl.col("like").cast(pl.Float64), pl.col("dislike").cast(pl.Float64)


def smoothed(rows: pl.DataFrame, key: list[str], x: pl.Expr, strength: float) -> pl.DataFrame:
    """Smoothed mean of a value by key."""
    prior = rows.select(x.mean()).item()
    return rows.group_by(key).agg(value=(x.sum() + strength * prior) / (x.count() + strength))


@pytest.mark.parametrize("key", ["user_id", "item_id", "source_id"])
def test_recent_like_rate_sees_the_last_horizon_only(world: World, key: str) -> None:
    rows = world.history.filter(pl.col("clock") >= WINDOW.cutoff - HORIZON)
    world.assert_column(f"recent_like_rate__{key}__h1", [key], smoothed(rows, [key], LIKE, 10))


@pytest.mark.parametrize("n", [10, 20, 100])
def test_recent_relevance_sees_the_last_rows_only(world: World, n: int) -> None:
    prior = world.history.select(pl.col("relevance").mean()).item()
    last = world.history.group_by("user_id", maintain_order=True).tail(n)
    by_hand = last.group_by("user_id").agg(value=(pl.col("relevance").sum() + 5 * prior) / (pl.len() + 5))
    world.assert_column(f"recent_relevance__user_id__last{n}", ["user_id"], by_hand)


@pytest.mark.parametrize("place", ["duration_bucket", "source_id"])
def test_rates_of_a_user_at_a_place(world: World, place: str) -> None:
    key = ["user_id", place]
    by_hand = smoothed(world.history, key, DISLIKE, 10)
    world.assert_column(f"dislike_rate__user_id_x_{place}", key, by_hand)


@pytest.mark.parametrize(
    ("column", "x"),
    [("faded_like_rate", LIKE), ("faded_dislike_rate", DISLIKE), ("faded_watch_share", watched())],
)
@pytest.mark.parametrize("key", ["user_id", "item_id", "source_id"])
def test_faded_rates_weigh_rows_by_age(world: World, column: str, x: pl.Expr, key: str) -> None:
    prior = world.history.select(x.mean()).item()
    own = (x.sum() + 10 * prior) / (x.count() + 10)
    faded, n = (x * weight(HORIZON)).sum(), (x.is_not_null() * weight(HORIZON)).sum()
    by_hand = world.history.group_by(key).agg(value=(faded + 10 * own) / (n + 10))
    world.assert_column(f"{column}__{key}", [key], by_hand)


def test_momentum_is_a_fast_sum_by_a_slow_one(world: World) -> None:
    by_hand = world.history.group_by("source_id").agg(value=weight(HORIZON).sum() / weight(4 * HORIZON).sum())
    world.assert_column("momentum__source_id", ["source_id"], by_hand)
    by_hand = world.history.group_by("item_id").agg(value=weight(HORIZON).sum())
    world.assert_column("faded_exposures__item_id", ["item_id"], by_hand)
    assert world.unseen(["item_id"])["momentum__item_id"].null_count() == world.unseen(["item_id"]).height
    assert set(world.unseen(["item_id"])["faded_exposures__item_id"]) == {0.0}


def test_slope_is_that_of_a_line_through_three_counts(world: World) -> None:
    age = (WINDOW.cutoff - 1 - pl.col("clock")) // HORIZON
    x = 1 - age
    in_three = world.history.filter(age < 3)
    by_hand = in_three.group_by("user_id").agg(value=(x.sum() / 2) / (pl.len() / 3 + 1))
    world.assert_column("slope__n_recent_exposures__user_id__h1", ["user_id"], by_hand)


def test_drift_is_a_difference(world: World) -> None:
    v = world.values
    assert_alike(
        v["drift__faded_like_rate__item_id"], v["faded_like_rate__item_id"] - v["like_rate__item_id"]
    )


@pytest.mark.parametrize(
    ("signal", "x"),
    [("n_exposures", pl.lit(1)), ("n_likes", LIKE), ("seconds_watched", pl.col("timespent"))],
)
@pytest.mark.parametrize("place", ["source_id", "duration_bucket"])
def test_share_of_user_is_of_the_users_total(world: World, signal: str, x: pl.Expr, place: str) -> None:
    x = x * pl.col("row").is_not_null()
    here, total = (world.counted(key, x) for key in (["user_id", place], ["user_id"]))
    share = pl.select(pl.when(total > 0).then(here / total)).to_series()
    assert_alike(world.values[f"share_of_user__{signal}__user_id_x_{place}"], share)


def test_exposure_lift_is_against_chance(world: World) -> None:
    one = pl.col("row").is_not_null()
    both, user, source = (
        world.counted(key, one) for key in (["user_id", "source_id"], ["user_id"], ["source_id"])
    )
    by_chance = user * source / world.history.height
    lift = pl.select(pl.when(by_chance > 0).then((both / by_chance).log1p())).to_series()
    assert_alike(world.values["exposure_lift__n_exposures__user_id_x_source_id"], lift)


def test_lifts_are_against_the_crowd_and_the_users_own_mean(world: World) -> None:
    v = world.values
    own = v["watch_share__user_id_x_source_id"].cast(pl.Float64)
    assert_alike(v["lift_over_crowd__watch_share__user_id_x_source_id"], own / v["watch_share__source_id"])
    assert_alike(v["above_own__watch_share__user_id_x_source_id"], own - v["watch_share__user_id"], 1e-6)


def test_concentration_is_the_chance_of_two_rows_of_one_source(world: World) -> None:
    values: dict[str, list[object]] = {"user_id": [], "all": [], "liked": [], "n": []}
    for (user,), rows in world.history.group_by("user_id"):
        values["user_id"].append(user)
        values["n"].append(rows["source_id"].drop_nulls().n_unique())
        for name, some in (("all", rows), ("liked", rows.filter(pl.col("like")))):
            sources = some["source_id"].drop_nulls().to_list()
            same = sum(a == b for a in sources for b in sources)
            values[name].append(same / len(sources) ** 2 if sources else None)
    table = pl.DataFrame(values, schema_overrides={"user_id": pl.UInt32})
    for column, name in (("concentration", "all"), ("like_concentration", "liked"), ("n_places", "n")):
        world.assert_column(f"{column}__source", ["user_id"], table.select("user_id", value=pl.col(name)))
    by_source = world.history.group_by("source_id").agg(n=pl.col("user_id").n_unique(), rows=pl.len())
    world.assert_column("n_users__source", ["source_id"], by_source.select("source_id", value="n"))
    by_source = by_source.select("source_id", value=pl.col("rows") / pl.col("n"))
    world.assert_column("rows_a_user__source", ["source_id"], by_source)


@pytest.mark.parametrize("segment", [["gender"], ["age_group"], ["gender", "age_group"]])
@pytest.mark.parametrize("entity", ["item_id", "source_id"])
def test_cross_rates_are_pulled_to_the_entitys(world: World, segment: list[str], entity: str) -> None:
    key = [*segment, entity]
    likes, n = world.counted(key, LIKE), world.counted(key, pl.col("row").is_not_null())
    # A null segment is an unseen one: what is left is the entity's rate.
    expected = (likes + 10 * world.values[f"like_rate__{entity}"]) / (n + 10)
    assert_alike(world.values[f"cross_rate__segment_likes__{'_x_'.join(key)}"], expected)


@pytest.mark.parametrize("key", [["gender", "item_id"], ["age_group", "source_id"]])
def test_cross_counters_are_by_how_often_the_entity_is_shown(world: World, key: list[str]) -> None:
    long = world.counted(key, watched() >= 0.8)
    expected = long / (world.counted(key[1:], pl.col("row").is_not_null()) + 10)
    assert_alike(world.values[f"cross_counter__long_watches__{'_x_'.join(key)}"], expected)


def test_ages_of_an_audience(world: World) -> None:
    age = pl.when(watched() >= 0.5).then(pl.col("age").cast(pl.Float64))
    world.assert_column(
        "watcher_age__source_id", ["source_id"], smoothed(world.history, ["source_id"], age, 5)
    )
    liked = pl.col("age").filter(pl.col("like"))
    by_hand = world.history.group_by("source_id").agg(value=liked.std())
    world.assert_column("audience_age_spread__source_id", ["source_id"], by_hand)
    v = world.values
    off = (v["age"].cast(pl.Float64) - v["audience_age__source_id"]).abs()
    expected = off / (v["audience_age_spread__source_id"] + 1)
    assert_alike(v["age_strangeness__audience_age__source_id"], expected)


@pytest.mark.parametrize(
    ("column", "own", "pull"),
    [("own_gender_share", "gender", 2.0), ("own_age_group_share", "age_group", 0.0)],
)
def test_shares_of_an_audience(world: World, column: str, own: str, pull: float) -> None:
    half = watched() >= 0.5
    same = world.counted([own, "source_id"], half)
    share = (same + pull) / (world.counted(["source_id"], half) + 4)
    known = world.values[own].is_not_null()
    expected = pl.select(pl.when(known).then(share)).to_series()
    assert_alike(world.values[f"{column}__n_watchers__{own}_x_source_id"], expected)


def test_what_a_user_without_history_gets(world: World) -> None:
    rows = world.unseen(["user_id"])
    null = ("share_of_user__n_exposures__user_id_x_source_id", "concentration__source", "n_sessions__user_id",
            "horizons_since__last_shown__user_id", "mean_gap__first_shown__user_id")  # fmt: skip
    for name in null:
        assert rows[name].null_count() == rows.height, name
    assert set(rows["n_places__source"]) == {0}
    assert rows["faded_like_rate__user_id"].n_unique() == 1
    assert rows["faded_like_rate__user_id"].null_count() == 0


def test_both_competitions_have_what_applies(world: World, movielens_catalogue: Catalogue) -> None:
    feed, films = inputs_of(world.catalogue), inputs_of(movielens_catalogue)
    both = {
        "counters", "rates", "rhythm", "trends", "affinity", "audience", "cross_counters", "exposure", "backoff",
    }  # fmt: skip
    assert all(feed[family] > 5 and films[family] >= 3 for family in both)
    assert sum(n for family, n in feed.items() if family in {*both, "engagement"}) >= 200
    assert {"als", "factors", "genres", "neighbours"} <= set(films)
    switched = FeatureSettings(transductive=False)
    for catalogue in (world.catalogue, movielens_catalogue):
        kept = {catalogue.columns[name].family for name in catalogue.select(switched)}
        assert "exposure" not in kept
        assert "cross_counters" in kept
