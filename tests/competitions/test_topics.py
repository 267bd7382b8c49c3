"""The world of topics: the same files by another process, whose stated laws can be seen in its rows."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from competitions import simulate
from competitions.__main__ import app
from competitions.simulator import TopicWorld, sizes_of
from engine import ConfigError
from tests.processes import python

N_ROWS = 100_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "topics"
    simulate("vk2024", folder, n_rows=N_ROWS, seed=7, world="topics")
    return folder


@pytest.fixture(scope="module")
def world() -> TopicWorld:
    """A world whose users go through a week in several chunks, cut elsewhere in each week."""
    return TopicWorld.of(sizes_of(300_000), 11, chunk_rows=10_000)


@pytest.fixture(scope="module")
def rows(world: TopicWorld) -> pl.DataFrame:
    """Rows of the log by time, with their source and the log-odds of a like beside those of their user's own."""
    log = pl.concat([rows for week in range(6) for rows in world.week(week)]).sort("moment")
    user, item = log["user_id"].to_numpy(), log["item_id"].to_numpy()
    p = log["p_like"].cast(pl.Float64).to_numpy()
    return log.with_columns(
        source=pl.Series(world.clips.source[item]),
        age=pl.Series(log["moment"].to_numpy() - world.clips.born[item]),
        appeal=pl.Series(np.log(p / (1 - p)) - world.users.like[user]),
    )


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_files_are_those_of_the_world_of_tastes(folder: Path, tmp_path: Path) -> None:
    made = simulate("vk2024", tmp_path / "tastes", n_rows=10_000, seed=7)
    assert {path.name for path in folder.iterdir()} == set(made.files)
    for name in made.files:
        if name.endswith("parquet"):
            assert pl.read_parquet_schema(folder / name) == pl.read_parquet_schema(made.folder / name)
    log, solution = (
        pl.read_parquet(folder / name) for name in ("train_interactions.parquet", "solution.parquet")
    )
    assert log.height == N_ROWS
    pairs = pl.concat([frame.select("user_id", "item_id") for frame in (log, solution)])
    assert pairs.is_duplicated().sum() == 0
    assert solution.group_by("user_id").len()["len"].unique().to_list() == [20]
    assert pl.read_csv(folder / "test_pairs.csv").cast(pl.UInt32).equals(pairs.tail(solution.height))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_likes_are_frequent_and_dislikes_are_not_rare(seed: int) -> None:
    world = TopicWorld.of(sizes_of(50_000), seed)
    rates = pl.concat([rows for week in range(6) for rows in world.week(week)]).select(
        pl.col("like", "dislike").mean()
    )
    like, dislike = rates.row(0)
    assert 0.1 < like < 0.2
    assert 0.02 < dislike < 0.04


def test_probabilities_are_those_that_outcomes_were_drawn_from(rows: pl.DataFrame) -> None:
    for name in ("like", "dislike"):
        tenths = (
            rows.select(p=pl.col(f"p_{name}").cast(pl.Float64), y=pl.col(name))
            .with_columns(tenth=pl.col("p").rank("ordinal") * 10 // (pl.len() + 1))
            .group_by("tenth")
            .agg(
                off=pl.col("y").sum() - pl.col("p").sum(),
                error=(pl.col("p") * (1 - pl.col("p"))).sum().sqrt(),
            )
        )
        assert (tenths["off"].abs() < 4 * tenths["error"]).all()


def test_users_and_clips_are_mixtures_of_topics(world: TopicWorld) -> None:
    for mixture in (*world.mixtures, world.clips.vector):
        assert mixture.min() >= 0
        np.testing.assert_allclose(mixture.sum(axis=1), 1, atol=1e-5)


def test_the_appeal_is_that_of_the_stated_formulas(world: TopicWorld, rows: pl.DataFrame) -> None:
    """Row by row, from all earlier rows."""
    user, item, moment, source = (rows[c].to_numpy() for c in ("user_id", "item_id", "moment", "source"))
    is_liked, appeal, age = (rows[c].to_numpy() for c in ("like", "appeal", "age"))
    topic, clips, step = world.clips.vector.argmax(axis=1)[item], world.clips, np.floor(56 * moment)
    usual = 0.25 * 0.15 * 300_000 / 6 / len(clips.born)
    for i in np.random.default_rng(1).choice(len(rows), 200, replace=False):
        (u, c, week), past = (user[i], item[i], int(moment[i])), slice(0, i)
        passed = moment[i] - week
        theta = (1 - passed) * world.mixtures[week][u] + passed * world.mixtures[week + 1][u]
        liking = 1 - np.exp(-(theta @ clips.vector[c]) / 0.2)
        seen = np.exp(-(moment[i] - moment[past]) / 0.3) * (user[past] == u)
        of_source = seen[source[past] == source[i]].sum()
        bored = 2 * of_source / (of_source + 1)
        bored += 2 * seen[topic[past] == topic[i]].sum() / (seen.sum() + 5)
        hot = (item[past] == c) & is_liked[past] & (step[past] < step[i])
        spread = 0.45 * np.log1p(np.exp((step[past][hot] - step[i]) / 56 / 0.25).sum() / usual)
        known = 3.5 * liking + 0.4 * clips.quality[c] + world.users.likes_length[u] * clips.length[c] - 1.35
        fresh = appeal[i] - (known - bored + spread)
        # The age is that of the appointment, up to half a week before the row.
        assert 0.5 * np.exp(-age[i]) - 0.01 < fresh < 0.5 * np.exp(-max(age[i] - 0.5, 0)) + 0.03


def test_a_user_is_bored_by_a_source_that_was_seen_a_moment_ago_and_recovers(rows: pl.DataFrame) -> None:
    """Within rows of one user and source, so that neither taste nor the feed's choice tells them apart."""
    pair = ["user_id", "source"]
    gaps = rows.with_columns(gap=pl.col("moment").diff().over(pair)).drop_nulls("gap")
    kinds = gaps.with_columns(soon=pl.col("gap") < 0.1, late=pl.col("gap") > 0.7)
    both = kinds.filter(pl.col("soon").any().over(pair) & pl.col("late").any().over(pair))
    for value, least in (("appeal", 0.3), ("like", 0.02)):
        soon, late = (
            both.filter(kind).group_by(pair).agg(pl.col(value).mean()).sort(pair)[value]
            for kind in ("soon", "late")
        )
        assert len(soon) > 500
        assert float((late - soon).to_numpy().mean()) > least


def test_a_clip_that_was_liked_by_many_lately_is_liked_more(world: TopicWorld, rows: pl.DataFrame) -> None:
    """Within rows alike in readiness, liking and quality, by the likes of the quarter of a week before."""
    likes = pl.col("like").cast(pl.Int64)
    before = rows.select("item_id", "moment", likes=likes.cum_sum().over("item_id"))
    then = rows.select("item_id", moment=pl.col("moment") - 0.25)
    earlier = then.join_asof(before, on="moment", by="item_id", check_sortedness=False)["likes"].fill_null(0)
    user, item, week = (rows[c].to_numpy() for c in ("user_id", "item_id", "moment"))
    theta = np.stack(world.mixtures)[week.astype(int), user]
    liking = 1 - np.exp(-(theta * world.clips.vector[item]).sum(axis=1) / 0.2)
    alike = pl.Series(world.users.like[user] + 3.5 * liking + 0.4 * world.clips.quality[item])
    lately = before["likes"] - rows["like"].cast(pl.Int64) - earlier
    known = rows.with_columns(lately=lately, alike=(alike.rank("ordinal") * 20) // (len(alike) + 1))
    few, many = (
        known.filter(which).group_by("alike").agg(pl.col("like", "p_like").mean()).sort("alike")
        for which in (pl.col("lately") == 0, pl.col("lately") >= 3)
    )
    more = many["p_like"] - few["p_like"]
    assert float((many["like"] - few["like"]).to_numpy().mean()) > 0.02
    assert more.to_numpy().min() > 0


def test_weeks_are_the_same_in_whatever_order_they_are_asked_for(world: TopicWorld) -> None:
    third, first = (pl.concat(world.week(week)) for week in (2, 0))
    again = TopicWorld.of(sizes_of(300_000), 11, chunk_rows=10_000)
    assert pl.concat(again.week(0)).equals(first)
    assert pl.concat(again.week(2)).equals(third)


def test_chunks_of_a_week_are_ranges_of_users_by_time() -> None:
    world = TopicWorld.of(sizes_of(30_000), 5, chunk_rows=2_000)
    frames = list(world.week(1))
    ends = [(frame["user_id"].min(), frame["user_id"].max()) for frame in frames]
    assert len(frames) > 1
    assert ends == sorted(ends)
    assert all(frame["moment"].is_sorted() for frame in frames)
    assert sum(frame.height for frame in frames) == sum(c.n_rows for c in world.chunks if c.week == 1)


def test_the_same_seed_gives_the_same_bytes_with_one_thread_as_with_many(
    folder: Path, tmp_path: Path
) -> None:
    arguments = ("--rows", N_ROWS, "--seed", 7, "--world", "topics", "--out", tmp_path)
    ran = python("-m", "competitions", "simulate", "vk2024", *arguments, POLARS_MAX_THREADS="1")
    assert ran.returncode == 0, ran.stderr
    assert bytes_of(tmp_path) == bytes_of(folder)


def test_a_world_that_is_none_and_a_ceiling_that_nobody_knows(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'topics'"):
        simulate("vk2024", tmp_path / "new", n_rows=10_000, seed=1, world="topic")
    result = CliRunner().invoke(app, ["ceiling", "vk2024", "--data", str(folder)])
    assert isinstance(result.exception, ConfigError)
    assert "world of topics" in str(result.exception)


def test_the_world_of_tastes_still_gives_the_rows_that_it_always_gave(tmp_path: Path) -> None:
    simulate("vk2024", tmp_path, n_rows=10_000, seed=3)
    log = pl.read_parquet(tmp_path / "train_interactions.parquet").write_csv()
    digest = hashlib.sha256(log.encode() + (tmp_path / "test_pairs.csv").read_bytes()).hexdigest()
    assert digest == "f1251a12e484824b2d0ae3e4051a79a1bf7948b69c3501eea8505e5caa400919"
