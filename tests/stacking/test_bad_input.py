"""Logs and competitions that cannot be cross-validated are refused before anything is computed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from competitions import (
    Competition,
    Dataset,
    Metric,
    RawTables,
    get_competition,
    opened,
    random_tables,
    take_in,
)
from engine import ConfigError, DataError, Settings
from stacking import make_plan, run_cv

POPULARITY = {"popularity": {"kind": "column", "column": "relevance_rate__item_id"}}
MODELS = {**POPULARITY, "trees": {"kind": "catboost", "iterations": 3}}


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
        run_cv(make_plan(settings))
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
        run_cv(make_plan(settings))


@pytest.mark.parametrize("name", ["log_loss", "rmse"])
def test_a_metric_of_the_values_is_refused_with_those_of_the_order(
    name: str, settings: Settings, competition: Competition, tmp_path: Path
) -> None:
    loss = replace(competition, metric=Metric(name, greater_is_better=False))
    dataset = intake(loss, random_tables(loss, n_users=20, n_items=20, n_rows=600, seed=2), tmp_path)
    with opened(dataset), pytest.raises(ConfigError, match=f"The metric {name} judges the values") as caught:
        run_cv(make_plan(settings))
    assert "user_auc" in caught.value.expected
    assert "log_loss" not in caught.value.expected
    assert "calibrate" in caught.value.todo
    assert not (settings.store / "artifacts").exists()


def test_a_metric_over_all_rows_is_not_refused(
    settings: Settings, competition: Competition, tmp_path: Path
) -> None:
    whole = replace(competition, metric=Metric("roc_auc"))
    dataset = intake(whole, random_tables(whole, n_users=20, n_items=20, n_rows=1000, seed=2), tmp_path)
    with opened(dataset):
        bundle = run_cv(make_plan(settings.model_copy(update={"models": POPULARITY})))
    assert bundle.chosen == "mean_rank"
