"""Logs and competitions that cannot be cross-validated are refused before anything is computed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from competitions import Dataset, Metric, opened
from engine import ConfigError, DataError
from features import compute_features
from models import FitContext
from stacking import make_plan, run_cv
from tests.stacking.small_stack import POPULARITY, settings_in


@pytest.mark.parametrize(
    ("n_before_test", "words"),
    [
        ([1, 2, 3], r"user_auc counts no group in fold1 \(.* pairs\), fold2 .*, fold3"),
        ([2], r"user_auc counts no group in fold2 \([^,]*, \d+ pairs\)\."),
    ],
)
def test_folds_of_equal_ratings_are_named_before_any_fit(
    n_before_test: list[int], words: str, dataset: Dataset, tmp_path: Path
) -> None:
    is_flat = (dataset.test_start - pl.col("clock")).is_in(n_before_test)
    log = dataset.log.with_columns(relevance=pl.when(is_flat).then(1).otherwise("relevance").cast(pl.Int8))
    with (
        opened(replace(dataset, log=log, fingerprint=f"flat {n_before_test}")),
        pytest.raises(DataError, match=words) as caught,
    ):
        make_plan(settings_in(tmp_path), with_keys=False)
    assert "folds.n_folds" in str(caught.value)
    assert list(tmp_path.glob("artifacts/*")) == []


@pytest.mark.parametrize(
    ("without", "words"),
    [
        ([1], r"no pairs in the eval window of fold3 \(\d+ to \d+\)\.\n"),
        ([4, 5], r"no pairs in the train windows of fold1 \(\d+ to \d+, \d+ to \d+\)\.\n"),
    ],
)
def test_windows_without_pairs_are_named_before_any_feature(
    without: list[int], words: str, dataset: Dataset, tmp_path: Path
) -> None:
    log = dataset.log.filter(~(dataset.test_start - pl.col("clock")).is_in(without))
    with (
        opened(replace(dataset, log=log, fingerprint=f"without {without}")),
        pytest.raises(DataError, match=words),
    ):
        make_plan(settings_in(tmp_path), with_keys=False)


def test_a_train_window_without_pairs_beside_another_is_none_of_these(
    dataset: Dataset, tmp_path: Path
) -> None:
    log = dataset.log.filter(pl.col("clock") != dataset.test_start - 5)
    with opened(replace(dataset, log=log, fingerprint="without one")):
        assert len(make_plan(settings_in(tmp_path), with_keys=False).folds.folds) == 3


def judged_by(dataset: Dataset, metric: Metric) -> Dataset:
    return replace(dataset, competition=replace(dataset.competition, metric=metric))


def test_a_metric_over_all_rows_is_not_refused(dataset: Dataset, tmp_path: Path) -> None:
    with opened(judged_by(dataset, Metric("roc_auc"))):
        bundle = run_cv(make_plan(settings_in(tmp_path, models=POPULARITY)))
    assert {bundle.about["best"], *bundle.about["differences_to_best"]} == {*bundle.models, *bundle.blends}


def net_from(column: str) -> dict[str, object]:
    return {"net": {"kind": "channel_net", "user_start": column}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"blender": "weight"}, "Did you mean 'weights'"),
        ({"blender": "weights", "folds": {"n_folds": 2}}, "only 2 eval windows"),
        ({"models": {"weights": {"kind": "catboost"}}}, "'weights', which is the name of a blender"),
        ({"blenders": {"level_two": {"include": ["n_liks__*"]}}}, r"'n_liks__\*' matches no feature"),
        (
            {"models": net_from("doc2vec_user_vectr")},
            "no feature 'doc2vec_user_vectr'.*Did you mean 'doc2vec_user_vector'",
        ),
        ({"models": net_from("doc2vec_score")}, "cannot start at 'doc2vec_score': it is Float32"),
        (
            {"models": net_from("last_items__user_id")},
            r"cannot start at 'last_items__user_id': it is Array\(UInt32",
        ),
    ],
)
def test_settings_of_no_stack_are_refused(
    changes: dict[str, object], words: str, dataset: Dataset, tmp_path: Path
) -> None:
    with opened(dataset), pytest.raises(ConfigError, match=words):
        make_plan(settings_in(tmp_path, **changes))


def test_a_net_gets_the_vectors_that_it_starts_from_and_a_model_beside_it_does_not(
    dataset: Dataset, tmp_path: Path
) -> None:
    net = {"kind": "channel_net", "epochs": 1, "start": ""}
    models = {"net": net, "started": {**net, "item_start": "doc2vec_item_vector"}}
    with opened(dataset):
        plan = make_plan(settings_in(tmp_path, models=models), with_keys=False)
        fold = plan.folds.folds[0]
        compute_features(
            plan.catalogue, [*fold.train, fold.eval], plan.all_columns, plan.store, plan.settings
        )
        scores = []
        for name, model in plan.models.items():
            fitted = model.fit(plan.reader.read(fold.train, plan.columns[name], labels=True), FitContext(1))
            scores.append(fitted.predict(plan.reader.read([fold.eval], plan.columns[name], labels=False)))
    assert set(plan.columns["started"]) - set(plan.columns["net"]) == {"doc2vec_item_vector"}
    assert (scores[0] != scores[1]).any()
