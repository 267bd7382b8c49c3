"""The simulator: the form of its files, the same bytes again, the laws of its world, and the truth beside them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from competitions import Metric
from competitions.__main__ import app
from competitions.simulator import (
    MAX_DENSITY,
    SOURCE_SHARE,
    Floats,
    Simulated,
    World,
    affinity,
    draw_clips,
    log_frames,
    simulate,
    sizes_of,
)
from engine import ConfigError, DataError
from tests.processes import python
from validation import evaluate

N_ROWS = 200_000
RELEVANCE = pl.col("like").cast(pl.Int8) - pl.col("dislike").cast(pl.Int8)


@dataclass(frozen=True)
class Files:
    """The files of a simulation, read."""

    made: Simulated
    log: pl.DataFrame
    users: pl.DataFrame
    items: pl.DataFrame
    test: pl.DataFrame
    solution: pl.DataFrame

    @classmethod
    def of(cls, made: Simulated) -> Files:
        folder = made.folder
        return cls(
            made,
            pl.read_parquet([folder / name for name in made.files if name.startswith("train")]),
            pl.read_parquet(folder / "users_meta.parquet"),
            pl.read_parquet(folder / "items_meta.parquet"),
            pl.read_csv(folder / "test_pairs.csv"),
            pl.read_parquet(folder / "solution.parquet"),
        )

    @property
    def clips(self) -> pl.DataFrame:
        """Attributes of the items without their vectors."""
        return self.items.drop("embeddings")

    @property
    def rows(self) -> pl.DataFrame:
        """Rows of the log with ``row``, ``week`` and their item's attributes."""
        week = pl.col("row") * 6 // pl.len()
        numbered = self.log.with_row_index("row").with_columns(week=week)
        return numbered.join(self.clips, on="item_id", how="left", validate="m:1")

    def check(self, n_rows: int) -> None:
        """Rows as many as asked for, no pair twice in log and test, ids that have attributes."""
        n = self.made.sizes
        assert self.log.height == n.rows == n_rows
        assert (self.users.height, self.items.height) == (n.users, n.items)
        assert self.test.height == self.made.n_pairs
        assert self.test.cast(pl.UInt32).equals(self.solution.select("user_id", "item_id"))
        pairs = pl.concat([frame.select("user_id", "item_id") for frame in (self.log, self.solution)])
        assert pairs.is_duplicated().sum() == 0
        assert pairs.join(self.users, on="user_id", how="anti").is_empty()
        assert pairs.join(self.items, on="item_id", how="anti").is_empty()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("simulated") / "vk"
    return Files.of(simulate("vk2024", folder, n_rows=N_ROWS, seed=7))


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_files_have_the_schema_of_the_challenge(files: Files) -> None:
    outcomes = dict.fromkeys(("like", "dislike", "share", "bookmarks"), pl.Boolean)
    ids = {"user_id": pl.UInt32, "item_id": pl.UInt32}
    assert files.log.schema == {**ids, "timespent": pl.UInt8, **outcomes}
    assert files.users.schema == {"user_id": pl.UInt32, "gender": pl.UInt8, "age": pl.UInt8}
    assert files.items.schema == {
        "item_id": pl.UInt32,
        "source_id": pl.UInt32,
        "duration": pl.UInt8,
        "embeddings": pl.Array(pl.Float32, 32),
    }
    truth = {"p_like": pl.Float32, "p_dislike": pl.Float32}
    assert files.solution.schema == {**files.log.schema, **truth}
    assert files.test.columns == ["user_id", "item_id"]
    assert all(frame.null_count().sum_horizontal().item() == 0 for frame in (files.log, files.solution))
    names = {path.name for path in files.made.folder.iterdir()}
    assert names == set(files.made.files)


def test_the_files_agree_and_the_test_has_the_first_20_rows_of_users_who_react(files: Files) -> None:
    files.check(N_ROWS)
    assert files.items["source_id"].n_unique() == files.made.sizes.sources
    per_user = files.solution.group_by("user_id").len()["len"]
    assert per_user.unique().to_list() == [20]
    assert 0 < len(per_user) <= files.made.sizes.test_users


@given(st.integers(10_000, 200_000_000))
def test_sizes_per_row_are_those_of_the_challenge_unless_the_pairs_would_run_out(n_rows: int) -> None:
    n = sizes_of(n_rows)
    assert n_rows <= MAX_DENSITY * 1.01 * n.users * n.items
    # The proportions hold at any size, the sizes per row where that many pairs are there.
    assert n.items / n.users == pytest.approx(337_727 / 183_404, rel=0.01)
    if n_rows >= 9_000_000:
        assert n.users == pytest.approx(183_404 * n_rows / 145_670_000, abs=1)
        assert n.test_users == pytest.approx(82_756 * n_rows / 145_670_000, abs=1)


@settings(max_examples=6)
@given(n_rows=st.integers(10_000, 30_000), seed=st.integers(0, 2**40), n_parts=st.integers(1, 4))
def test_the_files_agree_at_any_size_and_seed(n_rows: int, seed: int, n_parts: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = Files.of(simulate("vk2024", Path(folder), n_rows=n_rows, seed=seed, n_parts=n_parts))
    files.check(n_rows)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        simulate("vk2024", tmp_path / name, n_rows=20_000, seed=seed)
    first, again, other = (bytes_of(tmp_path / name) for name in "abc")
    assert first == again
    assert all(first[name] != other[name] for name in first)


def test_the_number_of_threads_changes_no_byte(files: Files, tmp_path: Path) -> None:
    arguments = ("--rows", N_ROWS, "--seed", 7, "--out", tmp_path)
    command = ("-m", "competitions", "simulate", "vk2024", *arguments)
    assert python(*command, POLARS_MAX_THREADS="1", OPENBLAS_NUM_THREADS="1").returncode == 0
    assert bytes_of(tmp_path) == bytes_of(files.made.folder)


def test_parts_are_the_same_log_cut_in_time(files: Files, tmp_path: Path) -> None:
    made = simulate("vk2024", tmp_path / "parts", n_rows=N_ROWS, seed=7, n_parts=3)
    assert made.files[:3] == tuple(f"train_interactions_{part}.parquet" for part in range(3))
    sizes = [pl.read_parquet(made.folder / name).height for name in made.files[:3]]
    assert max(sizes) - min(sizes) <= 1
    parts = Files.of(made)
    assert parts.log.equals(files.log)
    assert parts.solution.equals(files.solution)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_rows": 9_999}, "9,999 rows is too small"),
        ({"seed": -1}, "seed is -1"),
        ({"n_parts": 0}, "0 parts"),
        ({"competition": "vk2042"}, "Did you mean 'vk2024'"),
    ],
)
def test_arguments_that_make_no_sense(tmp_path: Path, arguments: dict[str, object], message: str) -> None:
    given = {"competition": "vk2024", "n_rows": 10_000, "seed": 1, **arguments}
    with pytest.raises(ConfigError, match=message):
        simulate(folder=tmp_path / "new", **given)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match=r"not empty: notes\.txt"):
        simulate("vk2024", tmp_path, n_rows=10_000, seed=1)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(DataError, match="is a file"):
        simulate("vk2024", tmp_path / "notes.txt", n_rows=10_000, seed=1)


def test_a_simulation_that_breaks_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_csv", full_disk)
    with pytest.raises(OSError, match="No space"):
        simulate("vk2024", tmp_path / "new", n_rows=10_000, seed=1)
    assert list((tmp_path / "new").iterdir()) == []


def test_command(tmp_path: Path) -> None:
    folder = tmp_path / "some where"
    arguments = ["simulate", "vk2024", "--rows", "10_000", "--seed", "5", "--out", str(folder)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "10,000 rows of 368 users, 678 clips of 39 sources" in result.stdout
    assert f"data='{folder}'" in result.stdout
    assert (folder / "solution.parquet").is_file()


def test_command_with_a_number_that_is_none(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["simulate", "vk2024", "--rows", "1e6", "--out", str(tmp_path / "x")])
    assert result.exit_code == 2
    assert not (tmp_path / "x").exists()


def test_chunks_are_merged_in_time_however_many_rows_at_once(tmp_path: Path) -> None:
    world = World.of(sizes_of(50_000), seed=9, chunk_rows=2_000)
    few, all_at_once = (
        pl.concat(log_frames(world, tmp_path, lambda: None, n_rows)) for n_rows in (1_000, 10**9)
    )
    assert few.equals(all_at_once)
    assert few.select("user_id", "item_id").is_duplicated().sum() == 0
    # Chunks are ranges of users: if they were not merged, the users of a week would come in order.
    rises = few["user_id"].cast(pl.Int64).diff().drop_nulls().to_numpy() > 0
    assert np.mean(rises) == pytest.approx(0.5, abs=0.05)


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
    rows = files.rows
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


def test_p_is_calibrated(files: Files, third_week: pl.DataFrame) -> None:
    for name in ("like", "dislike"):
        p = files.solution[f"p_{name}"].to_numpy()
        assert 0 < p.min() < p.max() < 1
        # Users were chosen for a reaction in the week, so the rate is a little above the mean probability.
        assert 0.9 * p.mean() < files.solution[name].to_numpy().mean() < 2 * p.mean()
        # Nobody was chosen here: by tenths of the probability, the rate is within 4 standard errors.
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
    frame = files.solution.with_columns(relevance=RELEVANCE, score=score)
    return evaluate(Metric("user_auc"), frame, group=["user_id"])


def rate(files: Files, keys: list[str], value: pl.Expr, strength: float) -> pl.Series:
    """Smoothed mean of a value by key in the log, for each test pair."""
    rows = files.rows.with_columns(value=value)
    prior = strength * float(rows["value"].to_numpy().mean())
    by_key = rows.group_by(keys).agg(mean=(pl.col("value").sum() + prior) / (pl.len() + strength))
    pairs = files.solution.join(files.clips, on="item_id", how="left", validate="m:1")
    joined = pairs.join(by_key, on=keys, how="left", validate="m:1", maintain_order="left")
    return joined["mean"].fill_null(prior / strength)


def test_the_oracle_is_well_above_popularity_and_structure_lies_between(files: Files) -> None:
    watched = pl.col("timespent") / pl.col("duration")
    oracle = auc(files, files.solution["p_like"] - files.solution["p_dislike"])
    popularity = auc(files, rate(files, ["item_id"], RELEVANCE, 50))
    by_source = auc(files, rate(files, ["user_id", "source_id"], watched, 3))
    assert 0.74 < oracle < 0.86
    assert 0.53 < popularity < 0.65
    assert by_source > 0.55
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
