"""The data set of the settings: taken in once, kept in the store, taken in anew when its files change."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from competitions import (
    Dataset,
    Metric,
    RawTables,
    SubmissionFormat,
    every_file,
    get_competition,
    open_dataset,
    opened,
)
from engine import Settings, StoreError
from tests.competitions.shop import collected, raises_with, shop_tables

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
    return collected(dataset.log)["rating"].unique().to_list()


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
    with raises_with("Table 'items' ... has no rows, ... 18 items (1, 2, 3, ...)"):
        open_dataset(small)


def test_a_second_time_reads_no_input_file_unless_told_to_rehash(small: Settings) -> None:
    first = open_dataset(small)
    for entry in (small.store / "digests").iterdir():  # a wrong one shows whether the cache is believed
        entry.write_text(json.dumps({**json.loads(entry.read_text()), "digest": "0" * 32}))
    assert open_dataset(small).fingerprint != first.fingerprint
    assert open_dataset(small, rehash=True).fingerprint == first.fingerprint


def test_an_edit_of_the_same_size_whose_time_stamp_was_set_back_is_noticed(small: Settings) -> None:
    first = open_dataset(small)
    write_old(small.data / "ratings.dat", ratings(4))
    second = open_dataset(small)
    assert second.fingerprint != first.fingerprint
    assert (stars(first), stars(second)) == ([5], [4])


def test_a_file_that_was_just_written_is_not_believed(small: Settings) -> None:
    (small.data / "ratings.dat").write_text(ratings(5))
    first = open_dataset(small)
    stat = (small.data / "ratings.dat").stat()
    (small.data / "ratings.dat").write_text(ratings(4))
    os.utime(small.data / "ratings.dat", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert open_dataset(small).fingerprint != first.fingerprint


def test_a_touched_file_or_a_damaged_cache_of_the_same_contents_is_the_same_data(small: Settings) -> None:
    first = open_dataset(small)
    os.utime(small.data / "ratings.dat")
    assert open_dataset(small).fingerprint == first.fingerprint
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
        with raises_with("'rating' must keep the rule 'max'"):
            open_dataset(small)
    write_old(small.data / "ratings.dat", ratings(3))
    assert stars(open_dataset(small)) == [3]


def test_an_opened_data_set_is_the_answer(small: Settings, movielens: Dataset) -> None:
    with opened(movielens):
        assert open_dataset(small) is movielens
    assert open_dataset(small) is not movielens


MOVIELENS = get_competition("movielens")


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({"licence": "Ask them."}, True),
        ({"metric": Metric("user_auc", policy={"one_class": "half"})}, True),
        ({"submission": replace(MOVIELENS.submission, separator=";")}, True),
        ({"horizon": 2}, False),
        ({"source": "release_year"}, False),
        ({"relevance": pl.col("rating")}, False),
        ({"select_pairs": lambda targets: targets.filter(pl.col("user_id") == 1)}, False),
    ],
)
def test_only_what_the_data_are_made_by_changes_them(
    small: Settings, redeclared: Callable[..., None], changes: dict[str, Any], is_same: bool
) -> None:
    before = open_dataset(small).fingerprint
    redeclared("movielens", **changes)
    again = open_dataset(small)
    assert (again.fingerprint == before) == is_same
    assert [getattr(again.competition, name) for name in changes] == list(changes.values())


def test_another_submission_must_still_tell_the_pairs_apart(
    small: Settings, redeclared: Callable[..., None]
) -> None:
    open_dataset(small)
    redeclared("movielens", submission=SubmissionFormat({"user": "user_id", "score": "score"}))
    with raises_with("4 of 4 test pairs of competition 'movielens' are duplicates"):
        open_dataset(small)


def replaced(**changes: Any) -> RawTables:
    return replace(shop_tables(), **changes)


def raising(error: Exception) -> Callable[[Path], RawTables]:
    def read(folder: Path) -> RawTables:
        raise error

    return read


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"read": raising(KeyError("clicks"))}, "read() ... failed (movielens.py): KeyError: 'clicks'"),
        ({"files": lambda folder: None}, "files() of competition 'movielens' failed ... TypeError"),
        ({"read": lambda folder: {}}, "read() of ... returned a dict"),
        ({"read": lambda _: replaced(users=pl.DataFrame())}, "returned a DataFrame as users"),
        ({"read": lambda _: replaced(log_files=("clicks.csv",))}, "returned a str in log_files"),
    ],
)
def test_code_of_an_author_that_fails(
    small: Settings, redeclared: Callable[..., None], changes: dict[str, Any], message: str
) -> None:
    redeclared("movielens", **changes)
    with raises_with(message):
        open_dataset(small)


def test_an_error_that_says_what_to_do_passes(small: Settings, redeclared: Callable[..., None]) -> None:
    redeclared("movielens", read=raising(StoreError("The disk is full.", todo="make room")))
    with pytest.raises(StoreError, match="The disk is full"):
        open_dataset(small)


def test_every_file_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("b.csv", "a/b.csv", ".hidden"):
        (tmp_path / name).touch()
    assert every_file(tmp_path) == [tmp_path / "a/b.csv", tmp_path / "b.csv"]
    with raises_with("holds no files"):
        every_file(tmp_path / "nowhere")
