"""Logs and competitions that cannot be cross-validated are refused before anything is computed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from competitions import Competition, Dataset, RawTables, get_competition, opened, random_tables, take_in
from engine import DataError, Settings
from stacking import run_cv

MODELS = {"popularity": {}, "trees": {"kind": "catboost", "iterations": 3}}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_validate(
        {
            "store": tmp_path / "store",
            "backend": "inline",
            "models": MODELS,
            "features": {"include": ["n_likes__item_id"]},
            "folds": {"n_train_windows": 1},
        }
    )


@pytest.fixture
def competition() -> Competition:
    return get_competition("movielens")


def intake(competition: Competition, tables: RawTables, folder: Path) -> Dataset:
    (folder / "data").mkdir()
    return take_in(competition, tables, folder / "data", fingerprint="generated")


def test_a_log_of_equal_ratings_is_refused_before_any_fit(
    settings: Settings, competition: Competition, tmp_path: Path
) -> None:
    tables = random_tables(competition, n_users=20, n_items=20, n_rows=600, seed=2)
    all_five = tables.interactions.with_columns(rating=pl.lit(5).cast(pl.UInt8))
    dataset = intake(competition, replace(tables, interactions=all_five), tmp_path)
    with (
        opened(dataset),
        pytest.raises(
            DataError, match=r"user_auc counts no group in fold1 \(.* pairs\), fold2 .*, fold3"
        ) as caught,
    ):
        run_cv(settings)
    assert "folds.n_folds" in str(caught.value)
    assert list((settings.store / "artifacts").glob("*")) == []


def test_one_fold_without_a_value_is_named(
    settings: Settings, competition: Competition, tmp_path: Path
) -> None:
    tables = random_tables(competition, n_users=20, n_items=20, n_rows=1000, seed=2)
    dataset = intake(competition, tables, tmp_path)
    is_second = pl.col("clock") == dataset.test_start - 2
    log = dataset.log.with_columns(relevance=pl.when(is_second).then(1).otherwise("relevance").cast(pl.Int8))
    with (
        opened(replace(dataset, log=log, fingerprint="one class")),
        pytest.raises(DataError, match=r"counts no group in fold2 \([^,]*, \d+ pairs\)\."),
    ):
        run_cv(settings)
