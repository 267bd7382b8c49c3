"""Pooling of seeds, windows and logs, against loops over users; and the command, on a small simulated log."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks import compare
from benchmarks._cached import Log
from benchmarks._paired import PARTS, TEST, compared, joined, pooled
from competitions import Metric
from engine import ConfigError, DataError
from tests.benchmarks.small_stack import SMALL

METRIC = Metric("user_auc", policy={"one_class": "skip"})
A, B = ["A 1", "A 2"], ["B 1", "B 2"]


def trial(seed: int, n_users: int = 30, n_windows: int = 3, n_pairs: int = 6) -> pl.DataFrame:
    """Two seeds of two sides; the last window is the test. Some users are in some windows only."""
    rng = np.random.default_rng(seed)
    n = n_users * n_windows * n_pairs
    truth = rng.normal(size=n)
    noise = {**dict.fromkeys(A, 1.0), **dict.fromkeys(B, 1.5)}
    rows = pl.DataFrame(
        {
            "window": np.repeat(np.arange(n_windows), n_users * n_pairs),
            "pair_id": np.arange(n, dtype=np.uint32),
            "user": np.tile(np.repeat(np.arange(n_users), n_pairs), n_windows),
            "relevance": (truth > 0).astype(np.int8),
            **{name: truth + rng.normal(size=n) * size for name, size in noise.items()},
        }
    )
    fold = pl.when(pl.col("window") == n_windows - 1).then(pl.lit(TEST)).otherwise(pl.lit("fold"))
    return rows.with_columns(fold=fold).filter((pl.col("user") + pl.col("window")) % 5 != 0)


def auc(relevance: np.ndarray, score: np.ndarray) -> float:
    good, bad = score[relevance == 1], score[relevance == 0]
    if not len(good) or not len(bad):
        return float("nan")
    return float(np.mean([(g > b) + 0.5 * (g == b) for g in good for b in bad]))


def by_hand(logs: list[pl.DataFrame], parts: set[bool]) -> list[tuple[list[float], list[float]]]:
    """Each user's values of A and B, one a window, averaged over seeds; without those who count in no window."""
    found: dict[tuple[int, int], tuple[list[float], list[float]]] = {}
    for number, log in enumerate(logs):
        for (user, _), rows in log.group_by("user", "window", maintain_order=True):
            of_side = [
                [auc(rows["relevance"].to_numpy(), rows[n].to_numpy()) for n in side] for side in (A, B)
            ]
            if (rows["fold"][0] == TEST) in parts and not np.isnan(of_side[0][0]):
                mine = found.setdefault((number, user), ([], []))
                for values, of_seeds in zip(mine, of_side, strict=True):
                    values.append(float(np.mean(of_seeds)))
    return list(found.values())


def mean_lead(users: list[tuple[list[float], list[float]]]) -> float:
    a, b = (np.concatenate([user[side] for user in users]) for side in (0, 1))
    return float(a.mean() - b.mean())


@pytest.mark.parametrize("n_logs", [1, 2])
def test_pooled_values_and_intervals_are_those_of_loops_over_users(n_logs: int) -> None:
    logs = [trial(seed) for seed in range(n_logs)]
    rows = pooled(logs) if n_logs > 1 else logs[0]
    found = {row.part: row for row in compared(rows, METRIC, "user", A, B, seed=1)}
    assert list(found) == list(PARTS)
    for part, windows in zip(PARTS, ({False}, {True}, {False, True}), strict=True):
        users, row = by_hand(logs, windows), found[part]
        a, b = (float(np.mean(np.concatenate([user[side] for user in users]))) for side in (0, 1))
        assert (row.a, row.b, row.lead.mean) == pytest.approx((a, b, a - b))
        assert row.lead.n_users == len(users)
        rng = np.random.default_rng(7)
        drawn = [mean_lead([users[i] for i in rng.integers(0, len(users), len(users))]) for _ in range(2000)]
        assert row.lead.error == pytest.approx(np.std(drawn), rel=0.1)
        assert (row.lead.low, row.lead.high) == pytest.approx(
            np.quantile(drawn, [0.025, 0.975]), abs=row.lead.error * 0.4
        )


def test_seeds_are_averaged_by_the_metric_and_not_by_the_scores() -> None:
    """One seed's scores on a scale a thousand times as large would outweigh the others'."""
    rows = trial(0)
    larger = rows.with_columns(pl.col("A 1") * 1000)
    first, second = (compared(table, METRIC, "user", A, B, seed=1) for table in (rows, larger))
    assert first == second


def test_the_same_log_twice_has_twice_the_users_and_a_narrower_interval() -> None:
    rows = trial(0)
    once, twice = (
        compared(table, METRIC, "user", A, B, seed=1)[-1].lead for table in (rows, pooled([rows, rows]))
    )
    assert twice.mean == pytest.approx(once.mean)
    assert twice.n_users == 2 * once.n_users
    assert twice.error == pytest.approx(once.error / 2**0.5, rel=0.15)


def test_the_better_side_is_ahead_also_where_less_is_better() -> None:
    rows = trial(0, n_users=60)
    loss = Metric("rmse", greater_is_better=False)
    assert [row.surely_ahead for row in compared(rows, METRIC, "user", A, B, seed=1)][-1] == "A"
    assert [row.surely_ahead for row in compared(rows, METRIC, "user", B, A, seed=1)][-1] == "B"
    assert [row.surely_ahead for row in compared(rows, METRIC, "user", A, A, seed=1)] == ["", "", ""]
    scores = {name: pl.col("relevance") + pl.lit(off) for name, off in (("near", 0.1), ("far", 0.9))}
    known = rows.with_columns(**{n: s + 0.01 * pl.col("A 1") for n, s in scores.items()})
    assert compared(known, loss, "user", ["near"], ["far"], seed=1)[-1].surely_ahead == "A"


@pytest.mark.parametrize("change", [pl.col("window") > 0, pl.col("relevance").cast(pl.Boolean)])
def test_sides_of_other_pairs_are_refused(change: pl.Expr) -> None:
    rows = trial(0)
    a, b = rows.drop(B), rows.drop(A)
    assert joined(a, b).equals(rows.select(*a.columns, *B))
    with pytest.raises(DataError, match=r"(?s)pairs.*both sides"):
        joined(a, b.filter(change))
    with pytest.raises(DataError, match=f"{rows.height} pairs, the other of {rows.height}"):
        joined(
            a, b.with_columns(relevance=pl.when(change).then(1 - pl.col("relevance")).otherwise("relevance"))
        )


def test_a_log_is_a_competition_a_folder_of_it_or_simulated(tmp_path: Path) -> None:
    assert Log.of("movielens", tmp_path).data == tmp_path / "movielens"
    here = Log.of(f"movielens@{tmp_path}/a", tmp_path)
    assert (here.competition, here.data) == ("movielens", tmp_path / "a")
    other = Log.of(f"movielens@{tmp_path}/b/a", tmp_path)
    assert here.name != other.name  # stores and scores are kept by it
    assert "/" not in other.name


@pytest.mark.parametrize(
    "text", ["vk2024:", "vk2024:1000", "vk2024:x:1", "movielens:1000:1", "vk2024:9:1:topics:2"]
)
def test_what_is_no_log_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"(?s)is no log.*vk2024:ROWS:SEED"):
        Log.of(text, tmp_path)


def test_chosen_scores_and_one_model_of_the_same_run(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "models.source={kind='column', column='like_rate__source_id'}"
    file = tmp_path / "figures.json"
    words = [
        f"vk2024@{data}",
        "--folder",
        str(tmp_path),
        "--seeds",
        "1",
        "2",
        "--out",
        str(file),
        "--both",
        source,
        'blender="source"',
        *SMALL,
    ]
    compare.main([*words, "--scores", "chosen", "source"])
    assert [row["mean"] for row in json.loads(file.read_text())["rows"]] == [0.0] * 3
    told = capsys.readouterr().err
    assert " ".join(told.split()).count("A: chosen source") == 2
    assert "B: chosen" not in told  # one run is both sides
    compare.main([*words, "--scores", "chosen", "popularity"])
    pooled = json.loads(file.read_text())["rows"][-1]
    assert pooled["mean"] == pytest.approx(pooled["a"] - pooled["b"])
    assert pooled["mean"] != 0
    with pytest.raises(SystemExit, match=r"(?s)No model or blend is called 'sauce'.*source"):
        compare.main([*words, "--scores", "chosen", "sauce"])
