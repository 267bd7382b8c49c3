"""Effects of order in the world of tastes: each is there by its formula where it is switched on, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from competitions import Metric, simulate
from competitions.__main__ import app
from competitions.simulator import EFFECTS, OrderWorld, World, sizes_of
from engine import ConfigError
from tests.processes import python
from validation import evaluate

N_ROWS = 200_000


@pytest.fixture(scope="module")
def world() -> OrderWorld:
    """A world with all effects, whose users go through a week in several chunks, cut elsewhere in each week."""
    return OrderWorld.of(sizes_of(N_ROWS), 11, EFFECTS, chunk_rows=10_000)


@pytest.fixture(scope="module")
def rows(world: OrderWorld) -> pl.DataFrame:
    """Rows of the log by time, with their source, and what the effects add to the log-odds of a like."""
    return by_time(world)


def by_time(world: OrderWorld) -> pl.DataFrame:
    """As ``rows``."""
    log = pl.concat([rows for week in range(6) for rows in world.week(week)]).sort(
        "moment", maintain_order=True
    )
    item = log["item_id"].to_numpy()
    p, blind = (log[name].cast(pl.Float64).to_numpy() for name in ("p_like", "p_like_blind"))
    return log.with_columns(
        source=pl.Series(world.clips.source[item]),
        effect=pl.Series(np.log(p / (1 - p)) - np.log(blind / (1 - blind))),
    )


def by_hand(world: OrderWorld, rows: pl.DataFrame, i: int) -> dict[str, float]:
    """What each effect adds to the appeal of a row, from all rows before it."""
    user, item, moment, source = (rows[c].to_numpy() for c in ("user_id", "item_id", "moment", "source"))
    session, liked, step = rows["session"].to_numpy(), rows["like"].to_numpy(), np.floor(56 * moment)
    past, vector = slice(0, i), world.clips.vector
    mine = user[past] == user[i]
    seen = np.exp(-(moment[i] - moment[past]) / 0.3)[mine & (source[past] == source[i])].sum()
    of_session = np.flatnonzero(mine & (session[past] == session[i]))
    mood = float(vector[item[of_session[0]]] @ vector[item[i]]) / 12**0.5 if len(of_session) else 0.0
    hot = (item[past] == item[i]) & liked[past] & (step[past] < step[i])
    heat = np.exp((step[past][hot] - step[i]) / 56 / 0.25).sum()
    mine_liked = np.flatnonzero(mine & liked[past] & (step[past] < step[i]))
    led_on = float(vector[item[mine_liked[-1]]] @ np.roll(vector[item[i]], -1)) if len(mine_liked) else 0.0
    usual = 0.25 * 0.05 * sum(chunk.n_rows for chunk in world.chunks) / 7 / len(world.clips.born)
    return {
        "boredom": -0.8 * seen / (seen + 1),
        "mood": 0.2 * mood,
        "contagion": 0.1 * float(np.log1p(heat / usual)) + 0.36 * led_on / 12**0.5,
        "position": -0.1 * float(np.log(len(of_session) + 1)),
    }


@pytest.mark.parametrize("effects", [EFFECTS, *((effect,) for effect in EFFECTS)])
def test_effects_are_those_of_the_stated_formulas(
    effects: tuple[str, ...], world: OrderWorld, rows: pl.DataFrame
) -> None:
    """Row by row, from all earlier rows, but for their mean over a week, which the order-blind oracle takes."""
    if effects != EFFECTS:
        world = OrderWorld.of(sizes_of(30_000), 3, effects, chunk_rows=2_000)
        rows = by_time(world)
    week = rows["moment"].to_numpy().astype(int)
    for number in (0, 1, 5):
        here = np.flatnonzero(week == number)
        draw = np.random.default_rng(number).choice(here, 60, replace=False)
        expected = [sum(by_hand(world, rows, int(i))[effect] for effect in effects) for i in draw]
        off = np.array(expected) - rows["effect"].to_numpy()[draw]
        # Probabilities are Float32, and after a week a source is forgotten that was seen long ago.
        assert np.ptp(off) < (0.04 if number and "boredom" in effects else 2e-3)
        assert abs(rows["effect"].to_numpy()[here].mean()) < 1e-3
        assert np.std(expected) > 0.05


def test_who_is_shown_what_does_not_depend_on_effects(world: OrderWorld, rows: pl.DataFrame) -> None:
    keys = ["moment", "user_id", "item_id"]
    plain = World.of(sizes_of(N_ROWS), 11, chunk_rows=10_000)
    shown = pl.concat([rows for week in range(6) for rows in plain.week(week)]).select(keys)
    assert shown.sort(keys).equals(rows.select(keys).sort(keys))


def test_sessions_follow_each_other_and_positions_count_their_rows(rows: pl.DataFrame) -> None:
    assert rows.select((pl.col("session").diff() >= 0).over("user_id").all()).item()
    counted = rows.select(pl.col("position") == pl.int_range(1, pl.len() + 1).over("user_id", "session"))
    assert counted.to_series().all()
    assert rows["position"].max() > 5  # type: ignore[operator]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_blind_oracle_is_a_little_behind(seed: int) -> None:
    world = OrderWorld.of(sizes_of(500_000), seed)
    pairs = pl.concat(world.week(6)).with_columns(
        relevance=pl.col("like").cast(pl.Int8) - pl.col("dislike").cast(pl.Int8),
        oracle=pl.col("p_like") - pl.col("p_dislike"),
        blind=pl.col("p_like_blind") - pl.col("p_dislike_blind"),
    )
    oracle, blind = (
        evaluate(Metric("user_auc"), pairs, group=["user_id"], score=name) for name in ("oracle", "blind")
    )
    assert 0.01 < oracle - blind < 0.02


def test_files_have_sessions_and_the_order_blind_scores(tmp_path: Path) -> None:
    made = simulate("vk2024", tmp_path / "one", n_rows=20_000, seed=7, effects=["position"])
    log, solution, blind = (
        pl.read_parquet(made.folder / name)
        for name in ("train_interactions.parquet", "solution.parquet", "order_blind.parquet")
    )
    pairs = pl.read_csv(made.folder / "test_pairs.csv")
    assert pairs.columns == ["user_id", "item_id", "session", "position"]
    assert {"session", "position"} <= set(log.columns) & set(solution.columns)
    assert blind.select("user_id", "item_id").equals(solution.select("user_id", "item_id"))
    arguments = ("--rows", 20_000, "--seed", 7, "--effects", "position", "--out", tmp_path / "two")
    ran = python("-m", "competitions", "simulate", "vk2024", *arguments, POLARS_MAX_THREADS="1")
    assert ran.returncode == 0, ran.stderr
    assert "competition=vk2024_order" in ran.stdout
    assert {p.name: p.read_bytes() for p in (tmp_path / "one").iterdir()} == {
        p.name: p.read_bytes() for p in (tmp_path / "two").iterdir()
    }
    result = CliRunner().invoke(app, ["ceiling", "vk2024", "--data", str(made.folder)])
    assert isinstance(result.exception, ConfigError)
    assert "has position" in str(result.exception)


@pytest.mark.parametrize(
    ("world", "effects", "message"),
    [("tastes", ["bordom"], "Did you mean 'boredom'"), ("topics", ["boredom"], "in the world of topics")],
)
def test_effects_that_are_none(world: str, effects: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        simulate("vk2024", tmp_path / "new", n_rows=10_000, seed=1, world=world, effects=effects)
