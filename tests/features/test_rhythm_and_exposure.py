"""Sessions and gaps of a feed, and what else is shown in the window: against plain loops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from statistics import stdev

import polars as pl

from competitions import Dataset
from features import Catalogue, Window, compute_window
from tests.features.feed_world import HORIZON, WINDOW, World, assert_alike
from validation import window_pairs


def clocks(world: World) -> dict[int, list[int]]:
    """Clocks of each user's rows, ascending."""
    grouped = world.history.group_by("user_id").agg(pl.col("clock").sort())
    return dict(grouped.iter_rows())


def by_user(found: Mapping[int, float | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {"user_id": list(found), "value": list(found.values())},
        schema={"user_id": pl.UInt32, "value": pl.Float64},
    )


def runs(times: list[int], pause: int = HORIZON // 168) -> list[list[int]]:
    """Cut clocks where a pause is longer; unless said otherwise, than a 168th of a horizon."""
    found: list[list[int]] = []
    for at in times:
        if found and at - found[-1][-1] <= pause:
            found[-1].append(at)
        else:
            found.append([at])
    return found


def spread(times: list[int]) -> float | None:
    gaps = [b - a for a, b in pairwise(times)]
    return stdev(gaps) / (sum(gaps) / len(gaps)) if len(gaps) > 1 else None


def test_sessions_end_with_a_pause(world: World) -> None:
    own = clocks(world)
    world.assert_column(
        "n_sessions__user_id", ["user_id"], by_user({u: len(runs(t)) for u, t in own.items()})
    )
    rows = {u: len(t) / len(runs(t)) for u, t in own.items()}
    world.assert_column("session_rows__user_id", ["user_id"], by_user(rows))
    last = {u: float(len(runs(t)[-1])) for u, t in own.items()}
    world.assert_column("last_session_rows__user_id", ["user_id"], by_user(last))
    days = {u: len({(WINDOW.cutoff - 1 - at) // (HORIZON // 7) for at in t}) for u, t in own.items()}
    world.assert_column("n_days_active__user_id", ["user_id"], by_user(days))
    world.assert_column("gap_spread__user_id", ["user_id"], by_user({u: spread(t) for u, t in own.items()}))


def test_visits_end_with_an_hour_of_pause(movielens: Dataset, movielens_catalogue: Catalogue) -> None:
    window = Window(cutoff=6, start=6, until=7)
    pairs = window_pairs(movielens, window).head(300)
    names = ["n_visits__user_id", "visit_rows__user_id", "last_visit_rows__user_id"]
    found = compute_window(movielens_catalogue, window, names, pairs)
    before = movielens.log.filter(pl.col("clock") < window.cutoff).sort("timestamp")
    seconds = before.group_by("user_id", maintain_order=True).agg(pl.col("timestamp").dt.epoch("s"))
    own = dict(seconds.collect(engine="in-memory").iter_rows())
    cut = [runs(own[user], 3600) for user in pairs["user_id"]]
    assert_alike(found[names[0]], pl.Series([len(some) for some in cut]))
    assert_alike(found[names[1]], pl.Series([sum(map(len, some)) / len(some) for some in cut]))
    assert_alike(found[names[2]], pl.Series([len(some[-1]) for some in cut]))


def test_recency_and_gaps_are_in_horizons(world: World) -> None:
    own = clocks(world)
    since = {u: (WINDOW.cutoff - t[-1]) / HORIZON for u, t in own.items()}
    world.assert_column("horizons_since__last_shown__user_id", ["user_id"], by_user(since))
    gap = {u: (t[-1] - t[0]) / (len(t) - 1) / HORIZON if len(t) > 1 else None for u, t in own.items()}
    world.assert_column("mean_gap__first_shown__user_id", ["user_id"], by_user(gap))
    disliked = world.history.filter(pl.col("dislike")).group_by("source_id").agg(pl.col("clock").max())
    by_hand = disliked.select("source_id", value=(WINDOW.cutoff - pl.col("clock")) / HORIZON)
    world.assert_column("horizons_since__last_disliked__source_id", ["source_id"], by_hand)


def test_overdue_counts_in_the_users_own_gaps(world: World) -> None:
    clock, n = pl.col("clock"), pl.len()
    overdue = (WINDOW.cutoff - clock.max()) * (n - 1) / (clock.max() - clock.min())
    key = ["user_id", "source_id"]
    by_hand = world.history.group_by(key).agg(value=pl.when(n > 1).then(overdue.log1p()))
    world.assert_column("overdue__last_shown__user_id_x_source_id", key, by_hand)


def test_counts_of_the_windows_pairs(world: World) -> None:
    v = world.values
    items, sources = Counter(v["item_id"]), Counter(v["source_id"])
    assert_alike(v["n_pairs_of_item"], pl.Series([items[i] for i in v["item_id"]]))
    assert_alike(v["n_pairs_in_window__source_id"], pl.Series([sources[s] for s in v["source_id"]]))
    before = Counter(world.history["item_id"])
    ratio = pl.Series([(items[i] + 1) / (before[i] + 1) for i in v["item_id"]]).log()
    assert_alike(v["growth__n_exposures__item_id"], ratio)


def test_what_the_user_is_shown_more_than_others(world: World) -> None:
    v = world.values
    own, rows = Counter(zip(v["user_id"], v["duration"], strict=True)), Counter(v["user_id"])
    everyone = Counter(v["duration"])
    excess = [
        own[u, d] / rows[u] - everyone[d] / v.height for u, d in zip(v["user_id"], v["duration"], strict=True)
    ]
    assert_alike(v["excess_of_user__duration"], pl.Series(excess))
    different = {u: len(set(g["source_id"])) for (u,), g in v.group_by("user_id")}
    assert_alike(v["n_different__source_id"], pl.Series([different[u] for u in v["user_id"]]))
    met = v["n_exposures__user_id_x_source_id"] > 0
    known = {u: g["met"].mean() for (u,), g in v.with_columns(met=met).group_by("user_id")}
    expected = pl.Series([known[u] for u in v["user_id"]], dtype=pl.Float64)
    assert_alike(v["familiarity_shown__n_exposures__user_id_x_source_id"], expected)


def test_values_within_what_the_user_is_shown(world: World) -> None:
    v, name = world.values, "approval_rate__item_id"
    own = {u: g[name].cast(pl.Float64).to_list() for (u,), g in v.group_by("user_id")}
    pairs = list(zip(v["user_id"], v[name].cast(pl.Float64), strict=True))
    mean = {u: sum(x) / len(x) for u, x in own.items()}
    assert_alike(v[f"shown_share__{name}"], pl.Series([x / mean[u] for u, x in pairs]))
    deviation = {u: stdev(x) if len(set(x)) > 1 else None for u, x in own.items()}
    scores = [None if (s := deviation[u]) is None else (x - mean[u]) / s for u, x in pairs]
    assert_alike(v[f"shown_zscore__{name}"], pl.Series(scores, dtype=pl.Float64), 1e-3)


def test_exposure_says_what_it_looks_at(world: World) -> None:
    scopes = {n: c.scope for n, c in world.catalogue.columns.items() if c.family == "exposure"}
    assert set(scopes.values()) == {"user", "window"}
    assert scopes["growth__n_exposures__item_id"] == "window"
    assert scopes["shown_zscore__duration"] == "user"


def test_rows_of_unknown_seconds_are_no_exposures(world: World) -> None:
    """Of a competition whose ``timespent`` may be null."""
    unknown = pl.when(pl.col("row") % 2 == 0).then("timespent").alias("timespent")
    log = world.dataset.log.with_columns(unknown).collect(engine="in-memory")
    catalogue = replace(world.catalogue, dataset=replace(world.dataset, log=log.lazy()))
    pairs = window_pairs(catalogue.dataset, WINDOW)
    found = compute_window(catalogue, WINDOW, ["last_disliked__user_id", "last_shown__user_id"], pairs)
    known = world.history.filter(pl.col("row") % 2 == 0)
    for name, rows in (("last_shown", known), ("last_disliked", known.filter("dislike"))):
        by_hand = rows.group_by("user_id").agg(value=pl.col("clock").max())
        expected = pairs.join(by_hand, on="user_id", how="left", maintain_order="left")["value"]
        assert_alike(found[f"{name}__user_id"], expected)
