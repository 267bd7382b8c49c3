"""The laws of the simulated world, and that its truth is the truth."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from competitions import Metric, simulate
from competitions.simulator import SOURCE_SHARE, Floats, World, affinity, draw_clips, sizes_of
from tests.competitions.simulated import N_ROWS, Files
from validation import evaluate


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("simulated") / "vk"
    return Files.of(simulate("vk2024", folder, n_rows=N_ROWS, seed=7))


@pytest.fixture(scope="module")
def world() -> World:
    return World.of(sizes_of(N_ROWS), 11)


@pytest.fixture(scope="module")
def third_week(world: World) -> pl.DataFrame:
    return pl.concat(world.week(2))


def test_rates_are_plausible_and_rows_with_both_reactions_are_few(files: Files) -> None:
    rate = files.log.select(pl.col("like", "dislike", "share", "bookmarks").mean()).row(0, named=True)
    assert 0.02 < rate["like"] < 0.08
    assert 0.002 < rate["dislike"] < 0.012
    assert rate["share"] < rate["bookmarks"] < rate["like"]
    assert 0 < (files.log["like"] & files.log["dislike"]).sum() < 0.001 * N_ROWS


def test_users_differ_in_activity_and_in_readiness_to_react(files: Files) -> None:
    users = files.log.group_by("user_id").agg(n=pl.len(), rate=pl.col("like").mean())
    counts = users["n"].to_numpy()
    assert np.quantile(counts, 0.95) > 8 * np.quantile(counts, 0.25)
    active = users.filter(pl.col("n") >= 100)["rate"].to_numpy()
    assert np.quantile(active, 0.95) > 8 * np.median(active)
    assert np.mean(active == 0) > 0.05


def test_popularity_is_heavy_tailed(files: Files) -> None:
    counts = files.log.group_by("item_id").len()["len"].sort(descending=True)
    assert counts.head(len(counts) // 10).sum() > 0.3 * N_ROWS


def test_clips_are_born_peak_and_fade(files: Files) -> None:
    rows = files.rows.with_row_index("row")
    item = rows.group_by("item_id").agg(n=pl.len(), first=pl.col("row").min(), mean=pl.col("row").mean())
    born_inside = item.filter((pl.col("n") >= 50) & pl.col("first").is_between(N_ROWS // 10, N_ROWS // 2))
    # A clip without birth and fading that is seen n times is first seen at about 1 / n of the log.
    assert born_inside.height > 0.05 * item.height
    late = rows.filter(pl.col("week") == 5)
    old = item.filter(pl.col("mean") < N_ROWS / 6)
    ratio = late.join(old, on="item_id", how="semi").height / late.height
    assert ratio < 0.2 * int(old["n"].to_numpy().sum()) / N_ROWS


def test_users_come_in_sessions_and_interleave(files: Files) -> None:
    gaps = (
        files.log.with_row_index("row")
        .with_columns(gap=pl.col("row").cast(pl.Int64).diff().over("user_id"))
        .filter(pl.len().over("user_id") >= 200)["gap"]
        .drop_nulls()
        .to_numpy()
    )
    # Evenly spread rows would have gaps with a median of .7 of the mean.
    assert np.median(gaps) < 0.4 * np.mean(gaps)
    assert np.mean(gaps == 1) < 0.05


def test_p_of_the_solution_is_calibrated(files: Files) -> None:
    for name in ("like", "dislike"):
        p = files.solution[f"p_{name}"].to_numpy()
        assert 0 < p.min() < p.max() < 1
        # Users were chosen for a reaction in the week, so the rate is a little above the mean probability.
        assert 0.9 * p.mean() < files.solution[name].to_numpy().mean() < 2 * p.mean()


def test_p_is_calibrated_within_sampling_error_where_nobody_was_chosen_for_reacting(
    third_week: pl.DataFrame,
) -> None:
    """On all rows of a week, by tenths of the probability: observed rate within 4 standard errors."""
    for name in ("like", "dislike"):
        tenths = (
            third_week.select(p=pl.col(f"p_{name}").cast(pl.Float64), y=pl.col(name))
            .with_columns(tenth=pl.col("p").rank("ordinal") * 10 // (pl.len() + 1))
            .group_by("tenth")
            .agg(
                off=pl.col("y").sum() - pl.col("p").sum(),
                error=(pl.col("p") * (1 - pl.col("p"))).sum().sqrt(),
            )
        )
        assert (tenths["off"].abs() < 4 * tenths["error"] + 1).all()


def test_a_clip_is_mostly_its_source() -> None:
    clips = draw_clips(np.random.default_rng(5), 20_000, 500)
    counts = np.bincount(clips.source, minlength=500)
    means = np.stack([np.bincount(clips.source, column, 500) / counts for column in clips.vector.T], axis=1)
    residual = ((clips.vector - means[clips.source]) ** 2).sum() / (len(clips.source) - 500)
    total = clips.vector.var(axis=0).sum()
    assert 1 - residual / total == pytest.approx(SOURCE_SHARE, abs=0.03)


def test_the_feed_prefers_what_it_believes_the_user_likes(world: World, third_week: pl.DataFrame) -> None:
    user, item = third_week["user_id"].to_numpy(), third_week["item_id"].to_numpy()
    shown = affinity(world.tastes[2][user], world.clips.vector[item])
    other = affinity(world.tastes[2][user], world.clips.vector[np.roll(item, 1)])
    assert shown.mean() - other.mean() > 0.15
    # A feed that showed nothing but favourites would leave nothing to learn of the rest.
    assert shown.mean() - other.mean() < 0.8


def test_tastes_drift_and_segments_share_them(world: World) -> None:
    def likeness(a: Floats, b: Floats) -> float:
        return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])

    first, second, last = (world.tastes[week] for week in (0, 1, 6))
    assert likeness(first, second) == pytest.approx(0.9, abs=0.02)
    assert likeness(first, last) == pytest.approx(0.6 + 0.4 * 0.75**6, abs=0.03)
    users = pl.DataFrame({"gender": world.users.gender, "young": world.users.age < 18}).with_row_index()
    alike = users.group_by("gender", "young").agg("index")["index"].to_list()
    halves = [np.array_split(np.array(group), 2) for group in alike]
    same = [first[a].mean(axis=0) @ first[b].mean(axis=0) for a, b in halves]
    assert np.mean(same) > 0.05 * first.shape[1]


def auc(files: Files, score: pl.Series) -> float:
    relevance = pl.col("like").cast(pl.Int8) - pl.col("dislike").cast(pl.Int8)
    frame = files.solution.with_columns(relevance=relevance, score=score)
    return evaluate(Metric("user_auc"), frame, group=["user_id"])


def rate(files: Files, keys: list[str], value: pl.Expr, strength: float) -> pl.Series:
    """Smoothed mean of a value by key in the log, for each test pair."""
    rows = files.rows.with_columns(value=value)
    prior = strength * float(rows["value"].to_numpy().mean())
    by_key = rows.group_by(keys).agg(mean=(pl.col("value").sum() + prior) / (pl.len() + strength))
    pairs = files.solution.join(files.items.drop("embeddings"), on="item_id", how="left", validate="m:1")
    joined = pairs.join(by_key, on=keys, how="left", validate="m:1", maintain_order="left")
    return joined["mean"].fill_null(prior / strength)


def test_the_oracle_is_well_above_popularity_and_structure_lies_between(files: Files) -> None:
    relevance = pl.col("like").cast(pl.Int8) - pl.col("dislike").cast(pl.Int8)
    watched = pl.col("timespent") / pl.col("duration")
    oracle = auc(files, files.solution["p_like"] - files.solution["p_dislike"])
    popularity = auc(files, rate(files, ["item_id"], relevance, 50))
    affinity = auc(files, rate(files, ["user_id", "source_id"], watched, 3))
    assert 0.74 < oracle < 0.86
    assert 0.53 < popularity < 0.65
    assert affinity > 0.55
    assert oracle > popularity + 0.1


def test_content_tells_of_the_clip(files: Files) -> None:
    """Clips of one source are alike, also by what their content vectors show."""
    vectors = files.items["embeddings"].to_numpy()
    source = files.items["source_id"].to_numpy()
    order = np.argsort(source, kind="stable")
    same = source[order][1:] == source[order][:-1]
    centred = vectors - vectors.mean(axis=0)
    unit = (centred / np.linalg.norm(centred, axis=1, keepdims=True))[order]
    cosine = (unit[1:] * unit[:-1]).sum(axis=1)
    assert cosine[same].mean() > 0.4 > 0.1 > abs(cosine[~same].mean())
