from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from models import FitContext, PairFrame, model_kinds
from tests.models.small_log import SmallLog, user_auc

QUICK: dict[str, Any] = {"batch_rows": 64, "learning_rate": 0.01, "table_learning_rate": 0.01}
CONTEXT = FitContext(seed=5, iterations=6)
ChannelNet: Any = model_kinds()["channel_net"]


def test_widths_are_those_of_the_published_design(small_log: SmallLog) -> None:
    frame = PairFrame(small_log.train.table, ("als_score__like",), "user_id", "item_id", "source")
    net = ChannelNet(start="").fit(frame, FitContext(seed=1, iterations=1)).trained.net
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
