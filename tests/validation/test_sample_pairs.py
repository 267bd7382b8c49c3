"""A sample of the pairs holds whole users, and each of its pairs is what it is in full."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from competitions import Dataset, get_competition, open_dataset, random_tables, take_in
from engine import FoldSettings, SampleSettings, Settings
from validation import plan_folds, window_pairs, window_relevance


@pytest.fixture(scope="module", params=["movielens", "vk2024"])
def dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    competition = get_competition(request.param)
    tables = random_tables(competition, n_users=60, n_items=80, n_rows=2_000, seed=4)
    return take_in(competition, tables, tmp_path_factory.mktemp("sampled"), fingerprint="sampled")


def test_whole_users_the_same_in_every_window(dataset: Dataset) -> None:
    few, user = replace(dataset, sample_pairs=0.4), dataset.competition.user
    taken, left = set[int](), set[int]()
    for window in plan_folds(dataset, FoldSettings()).windows:
        every, some = window_pairs(dataset, window), window_pairs(few, window)
        users = some[user].unique()
        assert some.equals(every.filter(pl.col(user).is_in(users.implode())))
        taken |= set(users)
        left |= set(every[user]) - set(users)
    assert taken
    assert left
    assert not taken & left


def test_labels_are_those_of_the_pairs(dataset: Dataset) -> None:
    few = replace(dataset, sample_pairs=0.4)
    for window in plan_folds(dataset, FoldSettings()).windows[:-1]:
        labels = window_relevance(few, window)
        assert labels["pair_id"].equals(window_pairs(few, window)["pair_id"])
        assert labels.equals(
            window_relevance(dataset, window).filter(pl.col("pair_id").is_in(labels["pair_id"].implode()))
        )


def test_the_windows_do_not_change(dataset: Dataset) -> None:
    few = replace(dataset, sample_pairs=0.4)
    assert plan_folds(few, FoldSettings()) == plan_folds(dataset, FoldSettings())
    assert (few.fingerprint, few.partitions) == (dataset.fingerprint, dataset.partitions)


def test_the_settings_set_it(tmp_path: Path) -> None:
    (tmp_path / "users.dat").write_text("".join(f"{u}::M::25::17::85711\n" for u in range(1, 9)))
    (tmp_path / "movies.dat").write_text("".join(f"{i}::A film (1980)::Drama\n" for i in range(1, 21)))
    rows = [f"{u}::{i}::{1 + i % 5}::{i}\n" for u in range(1, 9) for i in range(1, 21)]
    (tmp_path / "ratings.dat").write_text("".join(rows))
    settings = Settings(data=tmp_path, store=tmp_path / ".store", sample=SampleSettings(pairs=0.25))
    whole = open_dataset(settings.model_copy(update={"sample": SampleSettings()}))
    few = open_dataset(settings)
    assert (whole.sample_pairs, few.sample_pairs) == (1.0, 0.25)
    assert few.fingerprint == whole.fingerprint
