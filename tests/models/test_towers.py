"""Two towers: what they read, what they start at, and what the blocks of InteractRank are for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from engine import ConfigError
from models import FitContext, PairFrame, build_models, inner_holdout, model_kinds, selected_columns
from tests.models.small_log import SmallLog, user_auc, with_columns
from tests.models.test_channel_net import vectors
from tests.models.test_sequence_net import followers, split

CONTEXT = FitContext(seed=5)
QUICK: dict[str, Any] = {"batch_rows": 128, "learning_rate": 0.01, "table_learning_rate": 0.05}
STARTS = {"user_start": "user_id_vector", "item_start": "item_id_vector"}
ONE = FitContext(seed=5, iterations=1)
STILL: dict[str, Any] = {"table_learning_rate": 1e-12, "table_rule": "row adagrad", "batch_rows": 5_000}
TwoTowers: Any = model_kinds()["two_towers"]
InteractRank: Any = model_kinds()["interact_rank"]


def test_learns_from_ids_alone(small_log: SmallLog) -> None:
    train = PairFrame(small_log.train.table, (), "user_id", "item_id", "source")
    fitted = TwoTowers(**QUICK, epochs=12).fit(train, CONTEXT)
    assert user_auc(small_log.eval, fitted.predict(small_log.eval)) > 0.85


def tables_of(fitted: Any) -> dict[str, tuple[list[int], Any]]:
    """Ids and rows of the tables of users and of items, without the number for the offset."""
    trained = fitted.trained
    return {
        name: (
            next(iter(encoder.channels.values())).values.to_list(),
            tables[0].weight.detach().numpy()[:, :-1],
        )
        for name, encoder, tables in (
            ("user_id", trained.encoder.left, trained.net.left_tables),
            ("item_id", trained.encoder.right, trained.net.right_tables),
        )
    }


@pytest.mark.parametrize("width", [5, 8])
def test_products_of_the_vectors_are_those_of_the_tables(small_log: SmallLog, width: int) -> None:
    """Those of the earliest window, up to a factor, whatever later ones say; absent items at their source's mean."""
    train = vectors(small_log.train, np.random.default_rng(1))
    found = tables_of(TwoTowers(width=width, **STILL, **STARTS).fit(train, ONE))
    first = train.table.filter(pl.col("window") == pl.col("window").min())
    own = {}
    for key in ("user_id", "item_id"):
        rows = first.select(key, f"{key}_vector").drop_nulls().unique(key, keep="first").sort(key)
        own[key] = rows[key].to_list(), rows[f"{key}_vector"].to_numpy().astype(np.float64)
    users, items = (
        np.array([found[key][1][1 + found[key][0].index(i)][:5] for i in own[key][0]]) for key in own
    )
    products, expected = users @ items.T, own["user_id"][1] @ own["item_id"][1].T
    np.testing.assert_allclose(products / products.std(), expected / expected.std(), atol=2e-3)
    ids, rows = found["item_id"]
    source = dict(train.table.select("item_id", "source").unique().rows())
    known = set(own["item_id"][0])
    absent = [i for i in ids if i not in known and any(source[k] == source[i] for k in known)]
    for item in absent:
        alike = [1 + ids.index(k) for k in known if source[k] == source[item]]
        np.testing.assert_allclose(rows[1 + ids.index(item), :5], rows[alike, :5].mean(axis=0), atol=1e-5)
    assert absent


def test_wide_vectors_are_cut_where_both_sides_lose_least(small_log: SmallLog) -> None:
    """Vectors of a joint rank of two fit into two numbers without a loss."""
    rng, table = np.random.default_rng(2), small_log.train.table
    basis = np.linalg.qr(rng.normal(size=(6, 2)))[0].T
    drawn = {key: (rng.normal(size=(60, 2)) @ basis).astype(np.float32) for key in ("user_id", "item_id")}
    columns = [
        pl.Series(f"{key}_vector", drawn[key][table[key]], dtype=pl.Array(pl.Float32, 6)) for key in drawn
    ]
    features = (*small_log.train.features, *(c.name for c in columns))
    train = PairFrame(table.with_columns(columns), features, "user_id", "item_id", "source")
    found = tables_of(TwoTowers(width=2, **STILL, **STARTS).fit(train, ONE))
    first = table.filter(pl.col("window") == pl.col("window").min())
    ids = {key: first[key].unique().sort().to_list() for key in drawn}
    users, items = (np.array([found[k][1][1 + found[k][0].index(i)] for i in ids[k]]) for k in drawn)
    products, expected = (
        users @ items.T,
        drawn["user_id"][ids["user_id"]] @ drawn["item_id"][ids["item_id"]].T,
    )
    np.testing.assert_allclose(products / products.std(), expected / expected.std(), atol=2e-3)


def test_a_good_start_is_told_from_the_first_epoch_on(small_log: SmallLog) -> None:
    """Vectors whose product is what is liked, and tables that stay where they are."""
    table = small_log.train.table
    parity = {
        key: np.stack([np.where(np.arange(60) % 2, 1, -1), np.ones(60)], axis=1)
        for key in ("user_id", "item_id")
    }
    columns = [
        pl.Series(f"{key}_vector", of[table[key]].astype(np.float32), dtype=pl.Array(pl.Float32, 2))
        for key, of in parity.items()
    ]
    train = PairFrame(
        table.with_columns(columns), tuple(c.name for c in columns), "user_id", "item_id", "source"
    )
    fitted = TwoTowers(**STILL, **STARTS, hidden=1, source_dim=0).fit(train, ONE)
    plain = PairFrame(small_log.eval.table, (), "user_id", "item_id", "source")
    assert user_auc(small_log.eval, fitted.predict(plain)) > 0.7


def test_what_differs_within_a_users_pairs_is_no_feature_of_users(small_log: SmallLog) -> None:
    with pytest.raises(ConfigError, match=r"'item_kind' has several values.*one user") as error:
        TwoTowers(user_features=("item_kind",)).fit(small_log.train, CONTEXT)
    assert "user_features" in str(error.value)


def test_two_towers_read_attributes_only() -> None:
    names = ["item_year", "like_rate__item_id", "taste_score", "user_age", "user_rank__like_rate__item_id"]
    keys = ["user_id", "item_id", "source_id"]
    assert selected_columns(TwoTowers(), names, keys) == ("item_year", "user_age")
    assert selected_columns(TwoTowers(start="taste_score"), names, keys)[1:] == ("taste_score", "user_age")
    assert "user_rank__like_rate__item_id" not in selected_columns(InteractRank(start=""), names, keys)
    assert "like_rate__item_id" in selected_columns(InteractRank(start=""), names, keys)
    cross = [*names, "cross_rate__segment_likes__gender_x_item_id"]
    assert cross[-1] in selected_columns(InteractRank(start=""), cross, keys)
    assert cross[-1] not in selected_columns(InteractRank(start="", counters=()), cross, keys)


def test_powers_and_vectors_are_numbers_of_a_tower(small_log: SmallLog) -> None:
    """What is liked is what lies in the middle: a line over the number says nothing, its square does."""
    rng = np.random.default_rng(3)
    place = rng.permutation(np.linspace(-1, 1, 60))
    content = np.stack([rng.normal(size=60), place**2], axis=1).astype(np.float32)

    def frame(of: PairFrame) -> PairFrame:
        at = of.table["item_id"].to_numpy()
        table = of.table.with_columns(relevance=pl.Series((abs(place[at]) < 0.5).astype(np.int8)))
        table = table.with_columns(
            item_year=pl.Series(place[at].astype(np.float32)),
            item_content=pl.Series(content[at], dtype=pl.Array(pl.Float32, 2)),
        )
        return PairFrame(table, ("item_year", "item_content"), "user_id", "item_id")

    few, rest = frame(small_log.train), frame(small_log.eval)
    strangers = replace(rest, table=rest.table.with_columns(pl.col("item_id") + 1000))
    options: dict[str, Any] = {**QUICK, "holdout": 0.0, "hidden": 8, "table_learning_rate": 1e-9}
    by_power = TwoTowers(**options, item_vectors=()).fit(few, FitContext(seed=5, iterations=8))
    assert user_auc(strangers, by_power.predict(strangers)) > 0.9
    numbers = by_power.trained.encoder.right.numeric
    assert numbers == ("item_year", "item_year^2", "item_year^0.5")
    by_content = TwoTowers(**options, item_features=()).fit(few, FitContext(seed=5, iterations=8))
    assert by_content.trained.encoder.right.numeric == ("item_content[0]", "item_content[1]")
    assert user_auc(strangers, by_content.predict(strangers)) > 0.9


def test_context_tells_what_is_liked_now() -> None:
    """What is liked is of the kind of the newest row: towers find it with histories, and cannot without."""
    train, test = split(followers(200))
    options: dict[str, Any] = {
        **QUICK,
        "holdout": 0.0,
        "id_dropout": 0.0,
        "dropout": 0.0,
        "softmax_weight": 0.0,
        "start": "",
    }
    within, without = (
        InteractRank(**options, context=context).fit(train, FitContext(seed=5, iterations=12)).predict(test)
        for context in (True, False)
    )
    assert user_auc(test, within) > 0.8
    assert user_auc(test, without) < 0.65


def test_counters_count_beside_the_product(small_log: SmallLog) -> None:
    """Towers that are shown neither ids nor attributes have only the counter to tell by."""
    liked = (pl.col("relevance") + pl.col("pair_id") % 3).cast(pl.Float32)
    train, test = (
        replace(with_columns(f, cross_rate__likes=liked), features=("cross_rate__likes",))
        for f in (small_log.train, small_log.eval)
    )
    options: dict[str, Any] = {**QUICK, "id_dropout": 0.99, "table_learning_rate": 1e-9, "start": ""}
    found, without = (
        InteractRank(**options, counters=counters).fit(train, FitContext(seed=5, iterations=6)).predict(test)
        for counters in (("cross_rate__*",), ())
    )
    assert user_auc(test, found) > user_auc(test, without) + 0.1


def test_hits_are_those_of_the_inner_holdout(small_log: SmallLog) -> None:
    """HITS@k: groups with a positive pair among their first k, of the groups that have one."""
    ranker = InteractRank(**QUICK, epochs=3, hits=(1, 2, 4), start="")
    fitted = ranker.fit(small_log.train, CONTEXT)
    parts = inner_holdout(small_log.train.in_order(), ranker.holdout, CONTEXT.seed)
    assert parts is not None
    held = parts[1]
    table = held.table.with_columns(score=pl.Series(fitted.predict(held)))
    groups = [g for _, g in table.group_by("window", "user_id") if (g["relevance"] > 0).any()]
    for k in (1, 2, 4):
        firsts = [g.sort("score", descending=True)["relevance"].head(k) for g in groups]
        assert fitted.report.notes[f"hits@{k}"] == pytest.approx(np.mean([(f > 0).any() for f in firsts]))


def test_a_net_from_a_column_begins_with_it(small_log: SmallLog) -> None:
    table = {"kind": "two_towers", "start": "als_score__like", "epochs": 1, "learning_rate": 1e-9,
             "table_learning_rate": 1e-9}  # fmt: skip
    fitted = build_models({"m": table})["m"].fit(small_log.train, ONE)
    scores = fitted.predict(small_log.eval)
    own = small_log.eval.table["als_score__like"].to_numpy()
    rank = np.corrcoef(np.argsort(np.argsort(scores)), np.argsort(np.argsort(own)))[0, 1]
    assert rank > 0.95
