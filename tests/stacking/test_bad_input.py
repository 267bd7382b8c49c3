"""Logs and competitions that cannot be cross-validated are refused before anything is computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from competitions import Dataset, Metric, get_competition, opened, random_tables
from engine import ConfigError, DataError, Settings
from stacking import make_plan, run_cv

Take = Callable[..., Dataset]
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


def test_a_log_of_equal_ratings_is_refused_before_any_fit(settings: Settings, take: Take) -> None:
    tables = random_tables(get_competition("movielens"), n_users=20, n_items=20, n_rows=600, seed=2)
    all_five = tables.interactions.with_columns(rating=pl.lit(5).cast(pl.UInt8))
    with (
        opened(take(replace(tables, interactions=all_five))),
        pytest.raises(
            DataError, match=r"user_auc counts no group in fold1 \(.* pairs\), fold2 .*, fold3"
        ) as caught,
    ):
        run_cv(make_plan(settings))
    assert "folds.n_folds" in str(caught.value)
    assert list((settings.store / "artifacts").glob("*")) == []


def test_one_fold_without_a_value_is_named(settings: Settings, take: Take) -> None:
    dataset = take(n_users=20, n_items=20, n_rows=1000, seed=2)
    is_second = pl.col("clock") == dataset.test_start - 2
    log = dataset.log.with_columns(relevance=pl.when(is_second).then(1).otherwise("relevance").cast(pl.Int8))
    with (
        opened(replace(dataset, log=log, fingerprint="one class")),
        pytest.raises(DataError, match=r"counts no group in fold2 \([^,]*, \d+ pairs\)\."),
    ):
        run_cv(make_plan(settings))


def judged_by(dataset: Dataset, metric: Metric) -> Dataset:
    return replace(dataset, competition=replace(dataset.competition, metric=metric))


@pytest.mark.parametrize("name", ["log_loss", "rmse"])
def test_a_metric_of_the_values_is_refused_with_those_of_the_order(
    name: str, settings: Settings, dataset: Dataset
) -> None:
    loss = judged_by(dataset, Metric(name, greater_is_better=False))
    with opened(loss), pytest.raises(ConfigError, match=f"The metric {name} judges the values") as caught:
        make_plan(settings)
    assert "user_auc" in caught.value.expected
    assert "log_loss" not in caught.value.expected
    assert "calibrate" in caught.value.todo
    assert not (settings.store / "artifacts").exists()


def test_a_metric_over_all_rows_is_not_refused(settings: Settings, dataset: Dataset) -> None:
    with opened(judged_by(dataset, Metric("roc_auc"))):
        bundle = run_cv(make_plan(settings.model_copy(update={"models": POPULARITY})))
    assert bundle.chosen == "mean_rank"
