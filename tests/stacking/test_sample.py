"""The sample of train pairs: whole groups, weights that keep every level's share, and keys that stay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from competitions import Dataset, opened
from engine import DataError
from stacking import Plan, TrainingSample, make_plan, run_cv
from tests.stacking.small_stack import TREES, planted, settings_in


def pairs_of(n_users: int = 400, n_pairs: int = 10) -> pl.DataFrame:
    """Pairs of two windows, three of five of them ignored."""
    pairs = planted(n_users, n_pairs, n_windows=2).table
    relevance = np.random.default_rng(0).choice([-1, 0, 0, 0, 1], pairs.height)
    return pairs.with_columns(relevance=pl.Series(relevance, dtype=pl.Int8))


def test_users_are_kept_whole_and_in_every_window() -> None:
    pairs = pairs_of()
    kept = TrainingSample(users=0.3, seed=5).draw(pairs, "user_id")
    sizes = kept.group_by("user_id", "window").len()
    assert set(sizes["len"]) == {10}
    assert set(sizes.group_by("user_id").len()["len"]) == {2}
    assert 0.2 < kept["user_id"].n_unique() / 400 < 0.4
    assert "weight" not in kept.columns
    assert not kept.equals(TrainingSample(users=0.3, seed=6).draw(pairs, "user_id"))


@given(st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 2**32 - 1))
def test_a_larger_share_keeps_what_a_smaller_one_keeps(a: float, b: float, seed: int) -> None:
    pairs, (low, high) = pairs_of(50, 4), sorted((a, b))
    for few, many in (
        (TrainingSample(users=low, seed=seed), TrainingSample(users=high, seed=seed)),
        (TrainingSample(ignored=low, seed=seed), TrainingSample(ignored=high, seed=seed)),
    ):
        try:
            kept = few.draw(pairs, "user_id")
        except DataError:
            continue
        assert set(kept["pair_id"]) <= set(many.draw(pairs, "user_id")["pair_id"])
        assert kept["pair_id"].is_sorted()


@given(st.sets(st.integers(0, 49), min_size=1), st.integers(0, 99))
def test_the_draw_of_a_pair_does_not_depend_on_the_others(users: set[int], seed: int) -> None:
    pairs = pairs_of(50, 4)
    sample = TrainingSample(users=0.7, ignored=0.5, seed=seed)
    among_all = sample.draw(pairs, "user_id").filter(pl.col("user_id").is_in(list(users)))
    alone = pairs.filter(pl.col("user_id").is_in(list(users)))
    if among_all.is_empty():
        with pytest.raises(DataError, match=r"sample of .* is empty"):
            sample.draw(alone, "user_id")
    else:
        assert sample.draw(alone, "user_id").equals(among_all)
        as_text = alone.with_columns(pl.col("user_id").cast(pl.String))
        assert sample.draw(as_text, "user_id")["pair_id"].equals(among_all["pair_id"])


def test_weights_keep_the_total_of_every_level() -> None:
    pairs = pairs_of(4000)
    kept = TrainingSample(ignored=0.25, seed=3).draw(pairs, "user_id")
    weighed = dict(kept.group_by("relevance").agg(pl.col("weight").sum()).iter_rows())
    counts = dict(pairs.group_by("relevance").len().iter_rows())
    assert (weighed[1], weighed[-1]) == (counts[1], counts[-1])
    assert weighed[0] == pytest.approx(counts[0], rel=0.02)
    assert set(kept.filter(pl.col("relevance") == 0)["weight"]) == {4.0}
    assert not kept.equals(TrainingSample(ignored=0.25, seed=4).draw(pairs, "user_id"))


def plan_in(folder: Path, **training: float) -> Plan:
    """Plan of a stack of trees only, whose train pairs are sampled so."""
    return make_plan(settings_in(folder, models=TREES, training=training))


@pytest.fixture(scope="module")
def folder(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store in which the features are, the data set being opened."""
    folder = tmp_path_factory.mktemp("store")
    with opened(dataset):
        run_cv(plan_in(folder))
        yield folder


def test_fits_on_a_sample_are_others_and_every_pair_is_scored_all_the_same(folder: Path) -> None:
    shares: list[dict[str, float]] = [{}, {"users": 0.5, "ignored": 0.5}]
    whole, sampled = (run_cv(plan_in(folder, **training)) for training in shares)
    keys = ["fold", "window", "pair_id", "user_id", "item_id", "relevance"]
    assert sampled.oof.select(keys).equals(whole.oof.select(keys))
    assert not sampled.oof["trees"].equals(whole.oof["trees"])
    assert sampled.about["settings"]["training"] == {"users": 0.5, "ignored": 0.5}
    assert "training" not in whole.about["settings"]


def test_a_share_of_one_is_no_part_of_what_a_fit_is_made_of(folder: Path) -> None:
    def n_fits(**training: float) -> int:
        run_cv(plan_in(folder, **training))
        return len(list((folder / "artifacts" / "fit").iterdir()))

    n_whole = n_fits()
    assert n_fits(users=1.0, ignored=1.0) == n_whole
    assert n_fits(ignored=0.6) == n_whole + 3


def test_the_sample_is_drawn_before_features_are_read(folder: Path) -> None:
    plan = plan_in(folder)
    windows, columns = plan.folds.folds[0].train, plan.all_columns
    whole = plan.reader.read(windows, columns, labels=True)
    some = plan.reader.read(windows, columns, labels=True, sample=TrainingSample(0.5, 0.5, seed=1))
    assert some.stored is not None
    assert len(some.stored.rows) == some.table.height < whole.table.height
    kept = whole.take(pl.col("pair_id").is_in(some.table["pair_id"].implode()))
    assert some.columns(columns).equals(kept.columns(columns))
    assert some.table.drop("weight").equals(kept.table)
    assert some.weight[some.relevance == 0].tolist() == [2.0] * int((some.relevance == 0).sum())
    assert whole.weight.tolist() == [1.0] * whole.table.height
