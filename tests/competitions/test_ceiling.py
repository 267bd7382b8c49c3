"""The statistician: right by another way to compute it, between popularity and the oracle, written beside the files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from typer.testing import CliRunner

from competitions import Ceiling, Metric, ceiling, simulate
from competitions.__main__ import app
from competitions.simulator import World, origin_of, sizes_of, statistician_scores
from engine import ConfigError, DataError
from validation import evaluate

Doubles = npt.NDArray[np.float64]
N_ROWS, SEED = 100_000, 21


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "some where"
    simulate("vk2024", folder, n_rows=N_ROWS, seed=SEED, n_parts=2)
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> Ceiling:
    return ceiling("vk2024", n_rows=N_ROWS, seed=SEED, folder=folder)


def test_the_statistician_lies_between_popularity_and_the_oracle(found: Ceiling) -> None:
    assert (found.n_pairs, found.n_users) == (2880, 144)
    assert 0.5 < found.popularity < found.statistician - 0.1
    assert found.statistician < found.oracle < 0.85


def test_the_file_has_the_scores_of_the_pairs_in_their_order(folder: Path, found: Ceiling) -> None:
    scores = pl.read_parquet(folder / "statistician.parquet")
    solution = pl.read_parquet(folder / "solution.parquet")
    keys = ["user_id", "item_id"]
    assert scores.schema == {"user_id": pl.UInt32, "item_id": pl.UInt32, "score": pl.Float64}
    assert scores.select(keys).equals(solution.select(keys))
    relevance = pl.col("like").cast(pl.Int8) - pl.col("dislike").cast(pl.Int8)
    for score, value in (
        (scores["score"], found.statistician),
        (solution["p_like"].cast(pl.Float64) - solution["p_dislike"].cast(pl.Float64), found.oracle),
    ):
        table = solution.with_columns(score=score, relevance=relevance)
        assert evaluate(Metric("user_auc"), table, group=["user_id"]) == pytest.approx(value, abs=1e-12)


def test_the_same_rows_and_seed_give_the_same_file_and_no_other_file_changes(
    folder: Path, found: Ceiling
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "statistician.parquet").unlink()
    result = CliRunner().invoke(app, ["ceiling", "vk2024", "--data", str(folder)])
    assert result.exit_code == 0, result.output
    assert f"{found.statistician:.4f}" in result.stdout
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_rows_and_seed_are_read_or_counted_and_a_wrong_seed_is_refused(tmp_path: Path) -> None:
    simulate("vk2024", tmp_path, n_rows=10_000, seed=4, n_parts=2)
    assert (origin_of(tmp_path).rows, origin_of(tmp_path).seed) == (10_000, 4)
    with pytest.raises(ConfigError, match="seed is 5"):
        origin_of(tmp_path, 5)
    (tmp_path / "simulated.json").unlink()
    with pytest.raises(ConfigError, match="its seed is not known"):
        origin_of(tmp_path)
    assert origin_of(tmp_path, 5).rows == 10_000
    with pytest.raises(DataError, match="other pairs than the simulation"):
        ceiling("vk2024", n_rows=10_000, seed=5, folder=tmp_path)
    assert not (tmp_path / "statistician.parquet").exists()
    with pytest.raises(DataError, match="no simulated files"):
        origin_of(tmp_path / "elsewhere")


@pytest.mark.parametrize("options", [["--rows", "10_000"], ["--seed", "1"], ["--rows", "1", "--data", "x"]])
def test_a_command_that_says_too_little_or_too_much(options: list[str]) -> None:
    result = CliRunner().invoke(app, ["ceiling", "vk2024", *options])
    assert isinstance(result.exception, ConfigError)


def test_scores_are_those_of_a_gaussian_process_over_the_appeals_of_a_user_s_rows() -> None:
    """The same posterior from the rows' side: no unknown but the appeals, whose covariance is that of the tastes."""
    world = World.of(sizes_of(20_000), 5)
    log = pl.concat([rows for week in range(6) for rows in world.week(week)])
    likes = log.group_by("user_id").agg(n=pl.len(), likes=pl.col("like").sum()).filter(pl.col("n") < 300)
    users = likes.sort("likes", "user_id").tail(3)["user_id"]
    history = log.filter(pl.col("user_id").is_in(users.implode()))
    test = pl.concat(world.week(6)).filter(pl.col("user_id").is_in(users.implode()))
    pairs = test.filter(pl.int_range(pl.len()).over("user_id") < 5).sort("moment")
    scores = pairs.with_columns(score=pl.Series(statistician_scores(world, history, pairs)))
    for user in users:
        own = pl.col("user_id") == user
        expected = by_gaussian_process(world, user, history.filter(own), pairs.filter(own))
        np.testing.assert_allclose(scores.filter(own)["score"].to_numpy(), expected, atol=2e-6)


def by_gaussian_process(world: World, user: int, history: pl.DataFrame, pairs: pl.DataFrame) -> Doubles:
    rows = pl.concat([history, pairs])
    users, clips, n = world.users, world.clips, history.height
    item, moment = rows["item_id"].to_numpy(), rows["moment"].to_numpy()
    v = 1.35 / np.sqrt(12) * clips.vector[item].astype(float)
    tent = np.maximum(0, 1 - np.abs(moment[:, None] - np.arange(8)))
    drift = tent @ 0.75 ** np.abs(np.subtract.outer(np.arange(8), np.arange(8))) @ tent.T
    k = (v @ v.T) * (0.4 + 0.4 * drift)
    age = np.maximum(moment - clips.born[item], 0)
    rest = 0.5 * clips.quality[item] + 0.7 * np.exp(-age) + users.likes_length[user] * clips.length[item]
    rest = rest + np.sqrt(0.2) * v @ users.taste_of_segment[user].astype(float)
    like, dislike, share, saved = (
        history[c].to_numpy().astype(float) for c in ("like", "dislike", "share", "bookmarks")
    )
    seen = np.clip(history["timespent"].to_numpy() / clips.duration[item[:n]], 0.01, 1.29) / 1.3
    y = np.log(seen / (1 - seen)) - users.watch[user] + 0.6 * clips.length[item[:n]] + 0.5
    y = y / 0.8 - (like - dislike) - rest[:n]
    bad = users.dislike[user] + 0.5 * clips.polarity[item].astype(float)
    kinds = ((like, float(users.like[user]), 1.0), (dislike, bad[:n], -0.8),
             (share, users.share[user] + 0.8 * like, 0.8), (saved, users.bookmark[user] + 0.9 * like, 0.9))  # fmt: skip
    f = np.zeros(n)
    for _ in range(50):
        slope, curve = (y - f) / 1.5**2, np.full(n, 1 / 1.5**2)
        for outcome, base, c in kinds:
            p = 1 / (1 + np.exp(-(base + c * (rest[:n] + f))))
            slope, curve = slope + c * (outcome - p), curve + c**2 * p * (1 - p)
        f = np.linalg.solve(np.eye(n) + k[:n, :n] * curve, k[:n, :n] @ (curve * f + slope))
    mean = rest[n:] + k[n:, :n] @ slope
    spread = k[n:, n:] - k[n:, :n] @ np.linalg.solve(k[:n, :n] + np.diag(1 / curve), k[:n, n:])
    z = np.linspace(-8, 8, 2001)
    appeal = mean[:, None] + np.sqrt(np.diag(spread))[:, None] * z
    relevance = 1 / (1 + np.exp(-users.like[user] - appeal)) - 1 / (1 + np.exp(0.8 * appeal - bad[n:, None]))
    weight = np.exp(-(z**2) / 2)
    return np.asarray(relevance @ (weight / weight.sum()))
