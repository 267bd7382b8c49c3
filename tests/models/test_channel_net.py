from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from models import FitContext, PairFrame, model_kinds
from tests.models.small_log import SmallLog, user_auc

QUICK: dict[str, Any] = {"batch_rows": 64, "learning_rate": 0.01, "table_learning_rate": 0.01}
CONTEXT = FitContext(seed=5, iterations=6)
ChannelNet: Any = model_kinds()["channel_net"]


def test_widths_are_those_of_the_published_design(small_log: SmallLog) -> None:
    frame = PairFrame(small_log.train.table, ("als_score__like",), "user_id", "item_id", "source")
    net = ChannelNet().fit(frame, FitContext(seed=1, iterations=1)).trained.net
    tables, layers = [(37, 100), (41, 20), (7, 80)], [(70, 100 + 20 + 80 + 1), (70,), (1, 70), (1,)]
    assert [tuple(p.shape) for p in net.parameters()] == tables + layers


def test_learns_from_ids_alone(small_log: SmallLog) -> None:
    """Without a feature the net has to find the parity of each user and item by itself."""
    train = PairFrame(small_log.train.table, (), "user_id", "item_id", "source")
    ranker = ChannelNet(**QUICK, id_dropout=0.05, dropout=0.0, source_dim=0)
    fitted = ranker.fit(train, FitContext(seed=5, iterations=40))
    assert user_auc(small_log.eval, fitted.predict(small_log.eval)) > 0.85


def test_the_unknown_row_is_trained(small_log: SmallLog) -> None:
    """Unseen users get the scores that are right for most: what all like comes first."""
    train = PairFrame(small_log.train.table, (), "user_id", "item_id", "source")
    fitted = ChannelNet(**QUICK).fit(train, FitContext(seed=5, iterations=15))
    strangers = small_log.eval.table.with_columns(pl.col("user_id") + 1000)
    liked = PairFrame(strangers, (), "user_id", "item_id", "source")
    assert user_auc(liked, fitted.predict(liked)) > 0.65


@pytest.fixture(scope="module")
def early(small_log: SmallLog) -> PairFrame:
    """Train rows of the first half of the users and items."""
    return small_log.train.take((pl.col("user_id") < 18) & (pl.col("item_id") < 20))


def test_grown_tables_change_no_score_until_they_are_trained(small_log: SmallLog, early: PairFrame) -> None:
    fitted = ChannelNet(**QUICK).fit(early, CONTEXT)
    assert fitted.trained is not None
    grown = fitted.trained.grown(small_log.eval)
    n_rows = dict(zip(grown.encoder.channels, grown.net.shape.n_rows, strict=True))
    assert n_rows["user_id"] == 36 + 1
    assert n_rows["item_id"] == 40 + 1
    np.testing.assert_array_equal(grown.scores(small_log.eval), fitted.predict(small_log.eval))


def test_resume_learns_the_new_users_and_leaves_the_old_net_alone(
    small_log: SmallLog, early: PairFrame
) -> None:
    ids, log = ("user_id", "item_id"), small_log
    ranker = ChannelNet(**QUICK, id_dropout=0.05, dropout=0.0)
    fitted = ranker.fit(PairFrame(early.table, (), *ids), replace(CONTEXT, iterations=40))
    before = fitted.predict(log.eval)
    rows = PairFrame(log.train.table, (), *ids)
    resumed, again = (ranker.resume(fitted, rows, replace(CONTEXT, iterations=40)) for _ in range(2))
    np.testing.assert_array_equal(fitted.predict(log.eval), before)
    np.testing.assert_array_equal(resumed.predict(log.eval), again.predict(log.eval))
    assert user_auc(log.eval, resumed.predict(log.eval)) > max(0.85, user_auc(log.eval, before) + 0.1)


def test_resume_on_one_class_changes_nothing(small_log: SmallLog, early: PairFrame) -> None:
    ranker = ChannelNet(**QUICK)
    fitted = ranker.fit(early, CONTEXT)
    liked = small_log.train.take(pl.col("relevance") == 1)
    resumed = ranker.resume(fitted, liked, CONTEXT)
    np.testing.assert_array_equal(resumed.predict(small_log.eval), fitted.predict(small_log.eval))


def test_new_null_and_text_values_of_ids_are_the_unknown(small_log: SmallLog) -> None:
    fitted = ChannelNet(**QUICK).fit(small_log.train, CONTEXT)
    table = small_log.eval.table
    variants = [
        table.with_columns(user_id=pl.lit(None, dtype=pl.UInt32)),
        table.with_columns(user_id=pl.lit(2**40, dtype=pl.Int64)),
        table.with_columns(user_id=pl.lit("somebody")),
    ]
    scores = [
        fitted.predict(PairFrame(v, small_log.eval.features, "user_id", "item_id", "source"))
        for v in variants
    ]
    np.testing.assert_array_equal(scores[0], scores[1])
    np.testing.assert_array_equal(scores[0], scores[2])


def test_a_net_of_numbers_only_has_no_tables(small_log: SmallLog) -> None:
    frame = PairFrame(small_log.train.table, ("als_score__like", "is_new"), "user_id", "item_id", "source")
    ranker = ChannelNet(user_dim=0, source_dim=0, item_dim=0, epochs=3)
    fitted = ranker.fit(frame, FitContext(seed=1))
    scores = fitted.predict(small_log.eval)
    assert np.corrcoef(scores, small_log.eval.relevance)[0, 1] > 0.3
