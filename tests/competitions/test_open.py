"""The data set of the settings: taken in once, kept in the store, taken in anew when its files change."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from competitions import (
    Dataset,
    Metric,
    SubmissionFormat,
    every_file,
    get_competition,
    open_dataset,
    opened,
    solution,
)
from engine import ConfigError, DataError, Settings, StoreError

ROOT = Path(__file__).parents[2]
ITEMS = "\n".join(f"{i}::A film (19{i + 50})::Drama" for i in range(1, 21)) + "\n"
OLD = time.time() - 3600


def ratings(stars: int) -> str:
    return "".join(f"{user}::{item}::{stars}::{item}\n" for user in (1, 2) for item in range(1, 21))


@pytest.fixture
def small(settings: Settings) -> Settings:
    """Settings whose data folder holds twenty ratings of two users, in the ml-1m layout."""
    settings.data.mkdir()
    (settings.data / "users.dat").write_text("1::M::25::17::85711\n2::F::56::0::94043\n")
    (settings.data / "movies.dat").write_text(ITEMS)
    write_old(settings.data / "ratings.dat", ratings(5))
    return settings


def write_old(path: Path, text: str) -> None:
    """Write a file that looks as if it had been there for long."""
    path.write_text(text)
    os.utime(path, (OLD, OLD))


def stars(dataset: Dataset) -> list[int]:
    return dataset.log.collect(engine="streaming")["rating"].unique().to_list()


def test_licence_and_notes_are_printed_when_the_data_are_taken_in_and_not_again(
    small: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    write_old(small.data / "movies.dat", "".join(ITEMS.splitlines(keepends=True)[:19]))
    open_dataset(small)
    printed = " ".join(capsys.readouterr().err.split())
    assert "GroupLens" in printed
    assert "Note: 2 rows of the test pairs have an item without attributes (1 of them)" in printed
    open_dataset(small)
    assert capsys.readouterr().err == ""


def test_an_empty_file_of_films(small: Settings) -> None:
    write_old(small.data / "movies.dat", "")
    with pytest.raises(DataError, match=r"Table 'items' .* has no rows, .* 18 items \(1, 2, 3, \.\.\.\)"):
        open_dataset(small)


def test_a_second_time_reads_no_input_file(small: Settings) -> None:
    first = open_dataset(small)
    content = (small.data / "ratings.dat").stat()
    write_old(
        small.data / "ratings.dat", ratings(4)
    )  # same size, time stamp and inode: believed to be the same
    assert (small.data / "ratings.dat").stat().st_size == content.st_size
    assert open_dataset(small).fingerprint == first.fingerprint


def test_rehash_looks_into_the_files(small: Settings) -> None:
    first = open_dataset(small)
    write_old(small.data / "ratings.dat", ratings(4))
    second = open_dataset(small, rehash=True)
    assert second.fingerprint != first.fingerprint
    assert (stars(first), stars(second)) == ([5], [4])


def test_a_file_that_was_just_written_is_not_believed(small: Settings) -> None:
    (small.data / "ratings.dat").write_text(ratings(5))
    first = open_dataset(small)
    stat = (small.data / "ratings.dat").stat()
    (small.data / "ratings.dat").write_text(ratings(4))
    os.utime(small.data / "ratings.dat", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert open_dataset(small).fingerprint != first.fingerprint


def test_a_touched_file_with_the_same_contents_is_the_same_data(small: Settings) -> None:
    first = open_dataset(small)
    os.utime(small.data / "ratings.dat")
    assert open_dataset(small).fingerprint == first.fingerprint


def test_a_damaged_cache_is_not_believed(small: Settings) -> None:
    first = open_dataset(small)
    for entry in (small.store / "digests").iterdir():
        entry.write_text('{"digest": 3')
    assert open_dataset(small).fingerprint == first.fingerprint


def test_a_store_that_cannot_be_written(small: Settings) -> None:
    small.store.write_text("a file in the place of the folder")
    with pytest.raises(StoreError, match="digests cannot be written"):
        open_dataset(small)


def test_a_failed_intake_leaves_nothing_and_the_next_one_works(small: Settings) -> None:
    write_old(small.data / "ratings.dat", ratings(9))
    for _ in range(2):
        with pytest.raises(DataError, match="'rating' must keep the rule 'max'"):
            open_dataset(small)
    write_old(small.data / "ratings.dat", ratings(3))
    assert stars(open_dataset(small)) == [3]


def test_the_solution_has_the_pairs_of_the_test_window(small: Settings) -> None:
    pairs = open_dataset(small).test_pairs.collect(engine="streaming")
    labels = solution(small)
    assert labels["pair_id"].to_list() == pairs["pair_id"].to_list()
    assert labels["relevance"].to_list() == [1] * 4


def test_an_opened_data_set_is_the_answer(small: Settings, movielens: Dataset) -> None:
    with opened(movielens):
        assert open_dataset(small) is movielens
    assert open_dataset(small) is not movielens


MOVIELENS = get_competition("movielens")


@pytest.mark.parametrize(
    "changes",
    [
        {"licence": "Ask them."},
        {"metric": Metric("user_auc", policy={"one_class": "half"})},
        {"submission": replace(MOVIELENS.submission, separator=";")},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_comes_after_the_data_does_not_change_them(
    small: Settings, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    before = open_dataset(small).fingerprint
    monkeypatch.setattr("competitions.movielens.MOVIELENS", replace(MOVIELENS, **changes))
    again = open_dataset(small)
    assert again.fingerprint == before
    assert [getattr(again.competition, name) for name in changes] == list(changes.values())


@pytest.mark.parametrize(
    "changes",
    [
        {"horizon": 2},
        {"source": "release_year"},
        {"relevance": pl.col("rating")},
        {"select_pairs": lambda targets: targets.filter(pl.col("user_id") == 1)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_the_data_are_made_by_does(
    small: Settings, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    before = open_dataset(small).fingerprint
    monkeypatch.setattr("competitions.movielens.MOVIELENS", replace(MOVIELENS, **changes))
    assert open_dataset(small).fingerprint != before


def test_another_submission_must_still_tell_the_pairs_apart(
    small: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_dataset(small)
    by_user = SubmissionFormat({"user": "user_id", "score": "score"})
    monkeypatch.setattr("competitions.movielens.MOVIELENS", replace(MOVIELENS, submission=by_user))
    with pytest.raises(DataError, match="4 of 4 test pairs of competition 'movielens' are duplicates"):
        open_dataset(small)


def test_an_unknown_competition(small: Settings) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'movielens'"):
        open_dataset(small.model_copy(update={"competition": "movielen"}))


def test_every_file_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("b.csv", "a/b.csv", ".hidden"):
        (tmp_path / name).touch()
    assert every_file(tmp_path) == [tmp_path / "a/b.csv", tmp_path / "b.csv"]
    with pytest.raises(DataError, match="holds no files"):
        every_file(tmp_path / "nowhere")


def test_two_processes_at_once_and_other_hash_seeds_agree(small: Settings) -> None:
    code = (
        "from engine import load_settings; from competitions import open_dataset;"
        f"print(open_dataset(load_settings(overrides=['data={small.data}', 'store={small.store}'])).fingerprint)"
    )
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    outputs = [run.communicate(timeout=60)[0].strip() for run in runs]
    assert outputs == [open_dataset(small).fingerprint] * 2
