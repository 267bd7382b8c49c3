"""The simulator's files: their form, their sizes, the same bytes again, and folders that are left alone."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from competitions.__main__ import app
from competitions.simulator import MAX_DENSITY, World, log_frames, simulate, sizes_of
from engine import ConfigError, DataError
from tests.competitions.simulated import N_ROWS, Files

ROOT = Path(__file__).parents[2]


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


def test_sizes_are_what_was_asked_for(files: Files) -> None:
    n = files.made.sizes
    assert files.log.height == n.rows == N_ROWS
    assert (files.users.height, files.items.height) == (n.users, n.items)
    assert files.items["source_id"].n_unique() == n.sources
    assert files.test.height == files.made.n_pairs


@given(st.integers(10_000, 200_000_000))
def test_sizes_per_row_are_those_of_the_challenge_unless_the_pairs_would_run_out(n_rows: int) -> None:
    n = sizes_of(n_rows)
    assert n_rows <= MAX_DENSITY * 1.01 * n.users * n.items
    # The proportions hold at any size, the sizes per row where that many pairs are there.
    assert n.items / n.users == pytest.approx(337_727 / 183_404, rel=0.01)
    if n_rows >= 9_000_000:
        assert n.users == pytest.approx(183_404 * n_rows / 145_670_000, abs=1)
        assert n.test_users == pytest.approx(82_756 * n_rows / 145_670_000, abs=1)


def test_nobody_sees_a_clip_twice_in_log_and_test(files: Files) -> None:
    pairs = pl.concat([frame.select("user_id", "item_id") for frame in (files.log, files.solution)])
    assert pairs.is_duplicated().sum() == 0


@settings(max_examples=6, deadline=None)
@given(n_rows=st.integers(10_000, 30_000), seed=st.integers(0, 2**40), n_parts=st.integers(1, 4))
def test_of_any_size_and_seed_the_rows_are_as_many_as_asked_for_and_no_pair_comes_twice(
    n_rows: int, seed: int, n_parts: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = Files.of(simulate("vk2024", Path(folder), n_rows=n_rows, seed=seed, n_parts=n_parts))
    assert files.log.height == n_rows
    pairs = pl.concat([frame.select("user_id", "item_id") for frame in (files.log, files.solution)])
    assert pairs.is_duplicated().sum() == 0


def test_ids_are_those_of_the_attributes(files: Files) -> None:
    for frame in (files.log, files.solution):
        assert frame.join(files.users, on="user_id", how="anti").is_empty()
        assert frame.join(files.items, on="item_id", how="anti").is_empty()


def test_the_test_has_the_first_20_rows_of_users_who_react(files: Files) -> None:
    assert files.test.cast(pl.UInt32).equals(files.solution.select("user_id", "item_id"))
    per_user = files.solution.group_by("user_id").len()["len"]
    assert per_user.unique().to_list() == [20]
    assert 0 < len(per_user) <= files.made.sizes.test_users


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        simulate("vk2024", tmp_path / name, n_rows=20_000, seed=seed)
    first, again, other = (bytes_of(tmp_path / name) for name in "abc")
    assert first == again
    assert all(first[name] != other[name] for name in first)


def test_the_number_of_threads_changes_no_byte(files: Files, tmp_path: Path) -> None:
    code = f"from competitions import simulate; from pathlib import Path; simulate('vk2024', Path({str(tmp_path)!r}), "
    code += f"n_rows={N_ROWS}, seed=7)"
    environment = {**os.environ, "POLARS_MAX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, capture_output=True)
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
