"""Windows are half-open, folds alike, and no train label is later than the cutoff of what is predicted.

A sample of the pairs holds whole users, and each of its pairs is what it is in full.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from competitions import Dataset, get_competition, open_dataset, random_tables, simulate, take_in
from engine import ConfigError, FoldSettings, SampleSettings, Settings
from validation import Window, is_test, plan_folds, window_pairs, window_relevance

STEPS = 400


def log_of(clocks: list[int], dataset: Dataset, gap: int = 0, horizon: int = 1) -> Dataset:
    """A data set of nothing but clocks, whose test window starts behind them and the gap."""
    log = pl.LazyFrame(
        {"clock": clocks, "row": range(len(clocks))}, schema={"clock": pl.Int64, "row": pl.UInt32}
    )
    competition = replace(dataset.competition, horizon=horizon, gap=gap)
    start = max(clocks) + 1 + gap
    return replace(dataset, competition=competition, log=log, test_start=start, test_until=start + horizon)


@pytest.fixture(scope="module", params=["movielens", "vk2024"])
def dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    competition = get_competition(request.param)
    tables = random_tables(competition, n_users=60, n_items=80, n_rows=2_000, seed=4)
    return take_in(competition, tables, tmp_path_factory.mktemp("windows"), fingerprint="windows")


@given(
    n_folds=st.integers(1, 4), n_train=st.integers(1, 4), gap=st.integers(0, 25), horizon=st.integers(1, 12)
)
def test_no_train_label_is_later_than_the_cutoff_of_what_is_predicted(
    dataset: Dataset, n_folds: int, n_train: int, gap: int, horizon: int
) -> None:
    data = log_of(list(range(STEPS)), dataset, gap, horizon)
    folds = plan_folds(data, FoldSettings(n_folds=n_folds, n_train_windows=n_train))
    every = [*folds.folds, folds.final]
    assert len(every) == n_folds + 1
    assert folds.final.eval == Window(data.test_start - gap, data.test_start, data.test_until)
    for fold in every:
        assert len(fold.train) == n_train
        assert all(window.until <= fold.eval.cutoff for window in fold.train)
        assert all(w.start - w.cutoff == gap and w.horizon == horizon for w in (*fold.train, fold.eval))
        assert all(a.until <= b.start for a, b in zip(fold.train, fold.train[1:], strict=False))
    distances = {fold.eval.start - fold.train[-1].until for fold in every}
    assert len(distances) == 1
    assert all(fold.eval.until <= data.test_start - gap for fold in folds.folds)


def test_folds_without_a_gap_are_the_expected_ones(dataset: Dataset) -> None:
    folds = plan_folds(log_of(list(range(9)), dataset), FoldSettings(n_folds=3, n_train_windows=4))
    starts = {fold.eval.start: [w.start for w in fold.train] for fold in (*folds.folds, folds.final)}
    assert starts == {6: [2, 3, 4, 5], 7: [3, 4, 5, 6], 8: [4, 5, 6, 7], 9: [5, 6, 7, 8]}
    assert [w.start for w in folds.windows] == list(range(2, 10))


@given(st.permutations(range(30)), st.integers(0, 29), st.integers(0, 5), st.integers(1, 10))
def test_every_row_is_history_or_target_or_neither(
    order: list[int], cutoff: int, gap: int, horizon: int
) -> None:
    window = Window(cutoff, cutoff + gap, cutoff + gap + horizon)
    log = pl.LazyFrame({"clock": order}, schema={"clock": pl.Int64})
    history = set(window.history(log).collect(engine="in-memory")["clock"])
    targets = set(window.targets(log).collect(engine="in-memory")["clock"])
    assert history == {c for c in order if c < cutoff}
    assert targets == {c for c in order if cutoff + gap <= c < cutoff + gap + horizon}


def test_a_log_that_is_too_short_says_what_to_lower(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match=r"folds\.n_folds"):
        plan_folds(log_of(list(range(7)), dataset), FoldSettings(n_folds=3, n_train_windows=4))
    empty = replace(dataset, log=dataset.log.filter(pl.lit(value=False)))
    with pytest.raises(ConfigError, match="the log is empty"):
        plan_folds(empty, FoldSettings())


def test_pairs_hold_no_outcome_and_labels_are_apart(dataset: Dataset) -> None:
    window = plan_folds(dataset, FoldSettings()).folds[-1].eval
    pairs, labels = window_pairs(dataset, window), window_relevance(dataset, window)
    outcomes = {n for n, role in dataset.competition.roles.items() if role == "outcome"} | {"relevance"}
    assert not outcomes & set(pairs.columns)
    assert pairs["pair_id"].to_list() == labels["pair_id"].to_list()
    assert pairs["pair_id"].is_sorted()
    assert pairs["pair_id"].is_unique().all()


def test_the_test_window_has_given_pairs_and_no_labels(dataset: Dataset) -> None:
    window = plan_folds(dataset, FoldSettings()).final.eval
    assert is_test(dataset, window)
    given_pairs = dataset.test_pairs.sort("pair_id").collect(engine="in-memory")
    assert window_pairs(dataset, window).equals(given_pairs)
    with pytest.raises(ConfigError, match="test window"):
        window_relevance(dataset, window)


@pytest.fixture(scope="module")
def few(dataset: Dataset) -> Dataset:
    return replace(dataset, sample_pairs=0.4)


def test_whole_users_the_same_in_every_window(dataset: Dataset, few: Dataset) -> None:
    user, taken, left = dataset.competition.user, set[int](), set[int]()
    for window in plan_folds(dataset, FoldSettings()).windows:
        every, some = window_pairs(dataset, window), window_pairs(few, window)
        users = some[user].unique()
        assert some.equals(every.filter(pl.col(user).is_in(users.implode())))
        taken |= set(users)
        left |= set(every[user]) - set(users)
    assert taken
    assert left
    assert not taken & left


def test_windows_stay_and_labels_are_those_of_the_pairs(dataset: Dataset, few: Dataset) -> None:
    folds = plan_folds(dataset, FoldSettings())
    assert plan_folds(few, FoldSettings()) == folds
    for window in folds.windows[:-1]:
        labels, every = window_relevance(few, window), window_relevance(dataset, window)
        assert labels["pair_id"].equals(window_pairs(few, window)["pair_id"])
        assert labels.equals(every.filter(pl.col("pair_id").is_in(labels["pair_id"].implode())))


def test_the_settings_set_it_and_the_files_stay_the_same(tmp_path: Path) -> None:
    simulate("vk2024", tmp_path, n_rows=10_000, seed=1)
    settings = Settings(competition="vk2024", data=tmp_path, store=tmp_path / ".store")
    whole = open_dataset(settings)
    few = open_dataset(settings.model_copy(update={"sample": SampleSettings(pairs=0.25)}))
    assert (whole.sample_pairs, few.sample_pairs) == (1.0, 0.25)
    assert few.fingerprint == whole.fingerprint
