from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import polars as pl
import pytest

from engine import TaskError
from models import FitContext, PairFrame, inner_holdout, model_kinds
from tests.models.small_log import SmallLog, with_columns

CONTEXT = FitContext(seed=2, iterations=20)
_kind: Any = model_kinds()["catboost"]
# Steps so large that twenty trees go far.
CatBoost: Any = partial(_kind, learning_rate=0.1, depth=5, l2_leaf_reg=10.0)


def test_multiclass_takes_levels_for_what_they_are(small_log: SmallLog) -> None:
    """The expectation is over the levels, not over their numbers: from 1 to 5 it moves four times as far."""
    five = with_columns(small_log.train, relevance=pl.when(pl.col("relevance") > 0).then(5).otherwise(1))
    scores = CatBoost(loss="MultiClass").fit(five, CONTEXT).predict(small_log.eval)
    assert 1 <= scores.min() < 2
    assert 4 < scores.max() <= 5


def test_without_anything_to_learn_it_says_the_mean(small_log: SmallLog) -> None:
    flat = with_columns(small_log.train, relevance=pl.lit(1))
    fitted = CatBoost().fit(flat, CONTEXT)
    assert set(fitted.predict(small_log.eval)) == {1.0}
    assert fitted.report.iterations == 0
    bare = PairFrame(small_log.train.table, (), "user_id", "item_id")
    assert set(CatBoost().fit(bare, CONTEXT).predict(small_log.eval)) == {small_log.train.relevance.mean()}


@pytest.mark.parametrize("loss", ["YetiRank", "QueryRMSE"])
def test_ranking_losses_look_within_groups(loss: Any, small_log: SmallLog) -> None:
    """A feature that only tells groups apart explains all of the labels and none of the ranking."""
    base = pl.col("user_id") % 2
    labels = pl.when(pl.col("item_id") % 7 == 0).then(base + 1).otherwise(base)
    told = {"tells_group": base.cast(pl.Float32), "tells_pair": (pl.col("item_id") % 7).cast(pl.Float32)}
    train = with_columns(small_log.train, relevance=labels, **told)
    frame = PairFrame(train.table, ("item_kind", "tells_group", "tells_pair"), "user_id", "item_id")
    importance = CatBoost(loss=loss).fit(frame, CONTEXT).report.importance
    assert importance["tells_pair"] > 0.9
    assert CatBoost(loss="RMSE").fit(frame, CONTEXT).report.importance["tells_group"] > 0.3


def test_null_is_a_category_of_its_own(small_log: SmallLog) -> None:
    """Where the category is unknown exactly for the liked pairs, the trees learn that."""
    kind = pl.when(pl.col("relevance") < 1).then(pl.col("item_kind"))
    frames = [
        PairFrame(f.table.with_columns(item_kind=kind), ("item_kind",), "user_id", "item_id")
        for f in (small_log.train, small_log.eval)
    ]
    scores = CatBoost().fit(frames[0], CONTEXT).predict(frames[1])
    is_liked = frames[1].relevance > 0
    assert scores[is_liked].min() > scores[~is_liked].max()


def test_what_catboost_refuses_is_said_in_words(small_log: SmallLog) -> None:
    nonsense = CatBoost(border_count=10**6)
    with pytest.raises(TaskError, match=r"(?s)CatBoost did not train.*config\.toml"):
        nonsense.fit(small_log.train, CONTEXT)


@pytest.mark.parametrize("iterations", [20, None])
def test_the_training_loss_is_that_of_its_predictions_on_the_train_rows(
    small_log: SmallLog, iterations: int | None
) -> None:
    """With a hold-out, of the rows that are left."""
    ranker = CatBoost(loss="RMSE", iterations=30, patience=5)
    fitted = ranker.fit(small_log.train, replace(CONTEXT, iterations=iterations))
    rows = small_log.train
    if iterations is None:
        split = inner_holdout(rows.in_order(), ranker.holdout, CONTEXT.seed)
        assert split is not None
        rows = split[0]
    error = fitted.predict(rows) - rows.relevance
    assert fitted.report.training_loss == pytest.approx(float(np.sqrt(np.mean(error**2))), rel=1e-5)
    assert fitted.report.loss == "RMSE"


def test_large_matrices_are_quantized_and_rank_as_well(small_log: SmallLog) -> None:
    """Features without categories above one_hot_max_size: the very same trees."""
    plain, quantized = (
        ranker.fit(small_log.train, CONTEXT) for ranker in (CatBoost(), CatBoost(quantize_from_mib=0))
    )
    np.testing.assert_array_equal(quantized.predict(small_log.eval), plain.predict(small_log.eval))
