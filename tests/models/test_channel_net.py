from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from engine import ConfigError
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


def vectors(frame: PairFrame, rng: np.random.Generator) -> PairFrame:
    """The frame with vectors of users, of which the parity is the first number, and of items, some without one."""
    drawn = {n: rng.normal(scale=0.3, size=(60, 5)).astype(np.float32) for n in ("user_id", "item_id")}
    for of in drawn.values():
        of[:, 2] += 4 * (np.arange(60) % 2)
    # Those of later windows are others: they must not count.
    later = frame.table["window"].to_numpy() - frame.table["window"].min()
    columns = [
        pl.Series(f"{n}_vector", drawn[n][(frame.table[n] + 7 * later) % 60], dtype=pl.Array(pl.Float32, 5))
        for n in drawn
    ]
    table = frame.table.with_columns(columns).with_columns(
        pl.when(pl.col("item_id") % 5 > 0).then("item_id_vector").alias("item_id_vector")
    )
    features = (*frame.features, *(column.name for column in columns))
    return PairFrame(table, features, "user_id", "item_id", "source")


STARTS = {"user_start": "user_id_vector", "item_start": "item_id_vector"}
ONE = FitContext(seed=5, iterations=1)
STILL: dict[str, Any] = {"table_learning_rate": 1e-12, "start": ""}  # tables stay where they start


def tables_of(fitted: Any) -> dict[str, tuple[list[int], np.ndarray[Any, Any]]]:
    """Ids and rows of each channel's table; row 0 is that of the unknown."""
    channels, tables = fitted.trained.encoder.channels, fitted.trained.net.tables.parameters()
    return {
        name: (known.values.to_list(), table.detach().numpy())
        for (name, known), table in zip(channels.items(), tables, strict=True)
    }


def test_tables_start_at_the_earliest_vectors(small_log: SmallLog) -> None:
    """By their principal components, cut to the table's width or beside numbers drawn; at one spread; means at zero."""
    train = vectors(small_log.train, np.random.default_rng(1))
    first = train.table.filter(pl.col("window") == pl.col("window").min())
    begun, drawn = (
        tables_of(ChannelNet(user_dim=3, item_dim=8, **STILL, **starts).fit(train, ONE))
        for starts in (STARTS, {})
    )
    for key, width in (("user_id", 3), ("item_id", 5)):
        ids, rows = begun[key]
        own = first.select(key, f"{key}_vector").drop_nulls().unique(key, keep="first").sort(key)
        has = np.isin(ids, own[key])
        x = own[f"{key}_vector"].to_numpy().astype(np.float64)
        x -= x.mean(axis=0)
        u, s, _ = np.linalg.svd(x, full_matrices=False)
        expected = (u * s)[:, :width]
        found = rows[1:][has, :width]
        np.testing.assert_allclose(abs(found), abs(expected) * (0.1 / expected.std()), atol=1e-5)
        np.testing.assert_allclose(rows[0, :width], 0, atol=1e-9)
        np.testing.assert_allclose(rows[:, width:], drawn[key][1][:, width:], atol=1e-9)


def test_an_item_without_a_vector_starts_at_the_mean_of_its_source(small_log: SmallLog) -> None:
    train = vectors(small_log.train, np.random.default_rng(1))
    ids, rows = tables_of(ChannelNet(**STILL, **STARTS).fit(train, ONE))["item_id"]
    first = train.table.filter(pl.col("window") == pl.col("window").min()).drop_nulls("item_id_vector")
    source = dict(train.table.select("item_id", "source").unique().rows())
    known = set(first["item_id"])
    for at, item in enumerate(ids, start=1):
        if item not in known:
            alike = [
                k for k, other in enumerate(ids, start=1) if other in known and source[other] == source[item]
            ]
            expected = rows[alike, :5].mean(axis=0) if alike else np.zeros(5)
            np.testing.assert_allclose(rows[at, :5], expected, atol=1e-6)
    assert any(item % 5 == 0 for item in ids)


def test_vectors_help_a_net_that_has_little_time(small_log: SmallLog) -> None:
    """One epoch finds the parity of users and items in their vectors, and not by itself."""
    train = vectors(small_log.train, np.random.default_rng(1))
    train = PairFrame(train.table, ("user_id_vector", "item_id_vector"), "user_id", "item_id", "source")
    scores = [
        user_auc(
            small_log.eval,
            ChannelNet(**{**QUICK, "epochs": 3}, id_dropout=0.0, dropout=0.0, source_dim=0, **starts)
            .fit(train, FitContext(seed=5, iterations=8))
            .predict(PairFrame(small_log.eval.table, (), "user_id", "item_id", "source")),
        )
        for starts in (STARTS, {})
    ]
    assert scores[0] > scores[1] + 0.05


def test_what_is_no_vector_or_not_finite(small_log: SmallLog) -> None:
    """A column of numbers is refused; vectors that are null or not finite are none; without any, all is as without."""
    with pytest.raises(ConfigError, match=r"cannot start at 'als_score__like'.*Float") as error:
        ChannelNet(user_start="als_score__like").fit(small_log.train, ONE)
    assert "arrays of floats" in str(error.value)
    train = vectors(small_log.train, np.random.default_rng(1))
    width = pl.Array(pl.Float32, 5)
    plain = ChannelNet(**STILL).fit(small_log.train, ONE).predict(small_log.eval)
    for wrong in (pl.lit(None, width), pl.lit(pl.Series([[np.nan, 1, 2, np.inf, 0]], dtype=width)).first()):
        table = train.table.with_columns(wrong.alias("user_id_vector"))
        frame = PairFrame(table, train.features, "user_id", "item_id", "source")
        found = ChannelNet(**STILL, user_start="user_id_vector").fit(frame, ONE).predict(small_log.eval)
        np.testing.assert_array_equal(found, plain)
