from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from competitions import Metric
from engine import ConfigError
from models import FitContext, PairFrame, build_models, fitted_class, start_column
from tests.models.small_log import SmallLog, user_auc, with_columns

CONTEXT = FitContext(seed=4, iterations=5)
QUICK: dict[str, dict[str, Any]] = {
    "catboost": {"learning_rate": 1e-4},
    "catboost_rmse": {"kind": "catboost", "loss": "RMSE", "learning_rate": 1e-4},
    "catboost_yeti": {"kind": "catboost", "loss": "YetiRank", "learning_rate": 1e-4},
    "channel_net": {"learning_rate": 1e-9, "table_learning_rate": 1e-9},
    "net_bce": {"kind": "channel_net", "loss": "bce", "learning_rate": 1e-9, "table_learning_rate": 1e-9},
}


def ranker_of(name: str, start: str = "als_score__like", **parameters: Any) -> Any:
    return build_models({name: {**QUICK[name], "start": start, **parameters}})[name]


@pytest.mark.parametrize("name", QUICK)
def test_one_that_learns_nothing_ranks_as_its_start_does(name: str, small_log: SmallLog) -> None:
    """In steps too small to matter; the values of the start itself are cut at 4 standard deviations."""
    scores = ranker_of(name).fit(small_log.train, CONTEXT).predict(small_log.eval)
    x = small_log.eval.table["als_score__like"]
    assert np.corrcoef(scores, x)[0, 1] > 0.999
    plain = ranker_of(name, start="").fit(small_log.train, CONTEXT).predict(small_log.eval)
    assert abs(np.corrcoef(plain, x)[0, 1]) < 0.98


@pytest.mark.parametrize("name", ["catboost", "catboost_rmse", "channel_net"])
def test_a_start_turns_where_smaller_is_better(name: str, small_log: SmallLog) -> None:
    turned = [
        with_columns(f, als_score__like=-pl.col("als_score__like")) for f in (small_log.train, small_log.eval)
    ]
    scores = ranker_of(name).fit(turned[0], CONTEXT).predict(turned[1])
    assert user_auc(small_log.eval, scores) > 0.7


@pytest.mark.parametrize("name", QUICK)
def test_starts_from_a_column_with_nulls_survive_save_and_load_and_repeat(
    name: str, small_log: SmallLog, tmp_path: Path
) -> None:
    thin = pl.when(pl.col("pair_id") % 3 > 0).then("als_score__like")
    train, test = (with_columns(f, als_score__like=thin) for f in (small_log.train, small_log.eval))
    ranker = ranker_of(name, holdout=0.3)
    fitted = ranker.fit(train, FitContext(seed=4))
    scores = fitted.predict(test)
    assert np.isfinite(scores).all()
    fitted.save(tmp_path)
    loaded = fitted_class(ranker).load(tmp_path)
    np.testing.assert_array_equal(loaded.predict(test), scores)
    np.testing.assert_array_equal(ranker.fit(train, FitContext(seed=4)).predict(test), scores)
    nothing = with_columns(test, als_score__like=pl.lit(None, dtype=pl.Float32))
    assert np.isfinite(fitted.predict(nothing)).all()


@pytest.mark.parametrize("name", ["catboost", "channel_net"])
@pytest.mark.parametrize("start", ["als_score_like", "item_kind"])
def test_a_start_that_is_no_number_of_the_frame_is_named(name: str, start: str, small_log: SmallLog) -> None:
    with pytest.raises(ConfigError, match=rf"(?s){start}.*auto.*features\.include"):
        ranker_of(name, start=start).fit(small_log.train, CONTEXT)


@pytest.mark.parametrize("direction", [1, -1])
def test_auto_takes_the_column_with_the_best_metric_on_train_rows(
    direction: int, small_log: SmallLog
) -> None:
    """In its better direction; noise and what only tells groups apart are not taken."""
    noise = np.random.default_rng(0).normal(size=small_log.train.table.height)
    table = small_log.train.table.with_columns(
        noise=pl.Series(noise),
        good=direction * (pl.col("relevance") + 0.3 * pl.Series(noise)),
        user_alone=pl.col("relevance").mean().over("user_id"),
    )
    frame = PairFrame(table, ("noise", "user_alone", "good", "item_kind"), "user_id", "item_id")
    assert start_column(frame, "auto", Metric("user_auc")) == "good"
    flat = with_columns(frame, relevance=pl.lit(0))
    assert start_column(flat, "auto", Metric("user_auc")) == ""
    bare = PairFrame(table, (), "user_id", "item_id")
    assert start_column(bare, "auto", Metric("user_auc")) == ""


def test_even_groups_look_at_users_alike(small_log: SmallLog) -> None:
    """One loud user, whose labels lie further apart, decides no more than another."""
    ranker = build_models({"x": {"kind": "catboost"}})["x"]
    loud = with_columns(
        small_log.train,
        relevance=pl.when(pl.col("user_id") == 1).then(40 * pl.col("relevance")).otherwise("relevance"),
    )
    np.testing.assert_allclose(
        ranker.fit(loud, CONTEXT).predict(small_log.eval),
        ranker.fit(small_log.train, CONTEXT).predict(small_log.eval),
        atol=1e-6,
    )
