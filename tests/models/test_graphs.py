"""Graphs give what Python's predict gives, of every kind of model and of every awkward value."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from models import FitContext, FitReport, PairFrame, Scores, build_models, graphs, ranking
from tests.models.graph_runs import run_graph
from tests.models.small_log import KINDS, SmallLog, with_columns
from tests.models.test_sequence_net import followers, with_contents
from tests.models.test_transitions import led_frame

CONTEXT = FitContext(seed=5)
QUICK: dict[str, dict[str, Any]] = {
    "column": {"kind": "column", "column": "relevance_rate__item_id"},
    "columns": {"kind": "column", "column": ["relevance_rate__item_id", "n_exposures__item_id"]},
    "trees": {"kind": "catboost", "iterations": 25},
    "trees from nothing": {"kind": "catboost", "iterations": 25, "start": "", "holdout": 0.0},
    "pairwise trees": {"kind": "catboost", "loss": "YetiRank", "iterations": 10},
    "classes": {"kind": "catboost", "loss": "MultiClass", "iterations": 10},
    "net": {"kind": "channel_net", "epochs": 1},
    "net without ids": {
        "kind": "channel_net",
        "epochs": 1,
        "user_dim": 0,
        "item_dim": 0,
        "source_dim": 0,
        "category_dim": 0,
    },
    "net from nothing": {"kind": "channel_net", "epochs": 1, "start": "", "loss": "mse"},
    "net of seeds": {"kind": "channel_net", "epochs": 1, "seeds": 2},
}


def fitted(table: dict[str, Any], train: PairFrame) -> Any:
    return build_models({"model": table})["model"].fit(train, CONTEXT)


def assert_same(model: Any, frame: PairFrame) -> None:
    found = run_graph(model, frame)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, model.predict(frame), rtol=0, atol=1e-12)


def with_nulls(frame: PairFrame) -> PairFrame:
    """Leave a third of every column's values unknown, each in other rows."""
    rng = np.random.default_rng(2)
    return with_columns(
        frame,
        **{
            name: pl.when(pl.Series(rng.random(frame.height) < 0.3))
            .then(None)
            .otherwise(pl.col(name))
            .alias(name)
            for name in (*frame.features, "source", "item_id")
        },
    )


@pytest.fixture(scope="module")
def models(small_log: SmallLog) -> dict[str, Any]:
    """Each model, fitted on a log some of whose values are unknown."""
    train = with_nulls(small_log.train)
    return {name: fitted(table, train) for name, table in QUICK.items()}


@pytest.mark.parametrize("name", QUICK)
def test_a_graph_gives_what_predict_gives(name: str, models: dict[str, Any], small_log: SmallLog) -> None:
    assert_same(models[name], small_log.eval)
    assert_same(models[name], with_nulls(small_log.eval))
    assert_same(models[name], small_log.eval.take(pl.col("pair_id") == small_log.eval.table["pair_id"][3]))


@pytest.mark.parametrize("name", QUICK)
def test_a_graph_knows_what_the_train_rows_did_not(
    name: str, models: dict[str, Any], small_log: SmallLog
) -> None:
    strange = with_columns(
        small_log.eval,
        user_id=pl.lit(2**32 - 1, dtype=pl.UInt32),
        item_id=pl.col("item_id") + 5000,
        source=pl.lit(7, dtype=pl.UInt16),
        relevance_rate__item_id=pl.lit(-3e38, dtype=pl.Float32),
        n_exposures__item_id=pl.lit(2**32 - 1, dtype=pl.UInt32),
    )
    assert_same(models[name], strange)
    nothing = {
        c: pl.lit(None, dtype=small_log.eval.schema[c])
        for c in (*small_log.eval.features, "user_id", "item_id", "source")
    }
    assert_same(models[name], with_columns(small_log.eval, **nothing))


def test_constants_have_graphs(small_log: SmallLog) -> None:
    flat = with_columns(small_log.train, relevance=pl.lit(1))
    for name in ("trees", "net", "classes"):
        assert_same(fitted(QUICK[name], flat), small_log.eval)


def test_categories_split_one_against_the_others(small_log: SmallLog) -> None:
    """Trees that split on a category, on null as one of its own, and on texts that are none."""
    plain = replace(small_log.train, features=("user_kind", "item_kind"))
    train = with_columns(plain, user_kind=pl.when(pl.col("item_id") < 8).then(None).otherwise("user_kind"))
    model = fitted({"kind": "catboost", "iterations": 20, "start": "", "depth": 3}, train)
    assert len(np.unique(model.predict(with_nulls(small_log.eval)))) > 4
    assert_same(model, with_nulls(small_log.eval))


def test_statistics_of_categories_are_refused_by_name(small_log: SmallLog) -> None:
    many = pl.Enum([f"c{i}" for i in range(40)])
    category = ("c" + (pl.col("item_id") % 40).cast(pl.String)).cast(many)
    table = small_log.train.table.with_columns(kind=category)
    train = replace(small_log.train, table=table, features=("kind", "relevance_rate__item_id"))
    model = fitted({"kind": "catboost", "iterations": 5, "one_hot_max_size": 2}, train)
    with pytest.raises(graphs.ExportError, match="statistics of a category") as told:
        run_graph(model, train)
    assert "one_hot_max_size" in told.value.todo


@pytest.mark.parametrize(("block", "has_all"), [("hstu", False), ("hstu", True), ("softmax", True)])
def test_a_sequence_net_reads_the_history_of_the_request(block: str, has_all: bool) -> None:
    """With all that it may read of a history, and with as little as it may."""
    frame = with_contents(with_gaps(followers(n_users=60)))
    sizes = {"epochs": 1, "cross_layers": 1, "width": 8, "batch_rows": 128}
    options = {"block": block, "time_bias": has_all, "content": has_all}
    model = fitted({"kind": "sequence_net", **options, **sizes}, frame)
    if has_all:
        assert all(net.past.vectors and net.content for net in model.trained.nets)
    if has_all and block == "hstu":
        moved(model)
    one = frame.take((pl.col("window") == 2) & (pl.col("user_id") == 7))
    tolerance = {"hstu": 1e-6, "softmax": 1e-5}[block]
    nobody = {name: pl.lit(None, dtype=one.schema[name]) for name in one.features}
    some = pl.Series([[None, None, None, 3, 900]] * one.height, dtype=pl.Array(pl.UInt32, 5))
    # Powers of two, and what is just below them.
    edges = pl.Series([[None, 2.0**22, 1.0, 63.0, 64.0]] * one.height, dtype=pl.Array(pl.Float32, 5))
    for pairs in (
        one,
        with_columns(one, **nobody),
        with_columns(one, last_items__user_id=pl.lit(some)),
        with_columns(one, last_items__user_id=pl.lit(some), last_gaps__user_id=pl.lit(edges)),
    ):
        np.testing.assert_allclose(run_graph(model, pairs), model.predict(pairs), rtol=0, atol=tolerance)


def test_a_sequence_net_tells_what_follows_the_last_like() -> None:
    """With likes and without; items and sources known and not; arrays that are null."""
    frame, _ = led_frame()
    options = {"epochs": 1, "width": 8, "batch_rows": 128, "seeds": 2, "transitions": "vectors"}
    names = [f"{name}__u" for name in ranking.TRANSITION_ARRAYS]
    longer = {name: name.replace("__u", "_200__u") for name in names}
    table = frame.table.with_columns(pl.col(name).alias(other) for name, other in longer.items())
    frame = replace(frame, table=table, features=(*names, *longer.values(), "vectors"))
    model = fitted({"kind": "sequence_net", **options}, frame)
    trained = model.trained.nets[0]
    assert trained.led is not None
    assert ranking.FOLLOWS_LIKED in trained.encoder.numeric
    one = frame.take(pl.col("u") == 7)
    nobody = frame.take(pl.col("u") == 0)
    none = {name: pl.lit(None, dtype=one.schema[name]) for name in longer.values()}
    new = {
        "i": pl.lit(pl.Series([70, 71], dtype=pl.UInt32)),
        "s": pl.lit(pl.Series([3, 99], dtype=pl.UInt32)),
    }
    unnamed = {"i": pl.lit(None, dtype=pl.UInt32)}
    for pairs in (one, nobody, *(with_columns(one, **other) for other in (none, new, unnamed))):
        np.testing.assert_allclose(run_graph(model, pairs), model.predict(pairs), rtol=0, atol=1e-6)
    assert np.ptp([model.predict(p)[0] for p in (one, with_columns(one, **none))]) > 1e-4


def with_gaps(frame: PairFrame) -> PairFrame:
    """The frame with gaps of each user's newest rows."""
    rng = np.random.default_rng(0)
    gaps = pl.Series(rng.exponential(1000, (frame.height, 5)), dtype=pl.Array(pl.Float32, 5))
    table = frame.table.with_columns(last_gaps__user_id=gaps)
    table = table.with_columns(pl.col("last_gaps__user_id").first().over("window", "user_id"))
    return replace(frame, table=table, features=(*frame.features, "last_gaps__user_id"))


def moved(model: Any) -> None:
    """Move the biases of time far from zero, where one epoch leaves them: each bucket shows in the score."""
    for net in model.trained.nets:
        for block in net.net.blocks:
            block.time.data = torch.linspace(-3, 3, block.time.numel()).double().reshape(block.time.shape)


TOWERS: dict[str, dict[str, Any]] = {
    "two_towers": {"user_features": ("user_kind",), "item_features": ("item_kind", "is_new")},
    "interact_rank": {
        "user_features": ("user_kind",),
        "item_features": ("n_exposures__item_id",),
        "counters": ("als*", "relevance*"),
        "start": "relevance_rate__item_id",
    },
}


def test_towers_with_histories_give_what_they_give_in_python() -> None:
    """Of one user's pairs, unseen ids, and a user without a row."""
    train = followers()
    bare = {"user_features": (), "item_features": (), "start": "", "epochs": 1, "batch_rows": 128}
    model = fitted({"kind": "interact_rank", **bare}, train)
    one = train.take((pl.col("window") == 2) & (pl.col("user_id") == 7))
    nobody = {n: pl.lit(None, dtype=one.schema[n]) for n in one.features}
    strange = {"item_id": pl.col("item_id") + 5000, "user_id": pl.lit(2**31, dtype=one.schema["user_id"])}
    for pairs in (one, with_columns(one, **nobody), with_columns(one, **strange)):
        np.testing.assert_allclose(run_graph(model, pairs), model.predict(pairs), rtol=0, atol=1e-6)


def with_content(frame: PairFrame) -> PairFrame:
    """The frame with a vector of each item, which some lack."""
    numbers = [(pl.col("item_id") * 7 % k).cast(pl.Float32) for k in (5, 3)]
    vector = pl.concat_list(numbers).list.to_array(2)
    table = frame.table.with_columns(item_content=pl.when(pl.col("item_id") % 4 > 0).then(vector))
    return replace(frame, table=table, features=(*frame.features, "item_content"))


@pytest.mark.parametrize("name", ["two_towers", "interact_rank"])
def test_towers_over_columns_of_all_kinds(name: str, small_log: SmallLog) -> None:
    """Categories, flags, counters, vectors of items, some null, and a start column, without histories."""
    options = {"epochs": 1, "batch_rows": 128, "seeds": 2}
    train, asked = (with_content(frame) for frame in (small_log.train, with_nulls(small_log.eval)))
    model = fitted({"kind": name, **TOWERS[name], **options}, train)
    assert any("item_content[1]" in net.encoder.right.numeric for net in model.trained.nets)
    for user in asked.table["user_id"].unique().sort()[:3]:
        one = asked.take(pl.col("user_id") == user)
        one = one.take(pl.col("window") == one.table["window"][0])
        same = with_columns(one, user_kind=pl.col("user_kind").first())
        np.testing.assert_allclose(run_graph(model, same), model.predict(same), rtol=0, atol=1e-6)


@dataclass(frozen=True)
class Unknown:
    """A fitted model that nobody wrote a graph for."""

    @property
    def report(self) -> FitReport:
        return FitReport()

    def predict(self, frame: PairFrame) -> Scores:
        return np.zeros(frame.height)


def test_a_model_without_a_graph_is_refused_by_name(small_log: SmallLog) -> None:
    graph = graphs.Graph(small_log.eval.schema, "item_id")
    with pytest.raises(graphs.ExportError, match=r"The model 'mine' cannot be exported.*Unknown") as told:
        graphs.add_graph(Unknown(), graph, "The model 'mine'")
    assert "--without" in told.value.todo


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    graphs.require("onnxruntime")
    with pytest.raises(graphs.ExportError, match="needs onnx, which is not installed") as told:
        graphs.require("onnx", "onnxruntime")
    assert "pip install onnx onnxruntime" in told.value.todo


def test_a_user_s_own_model_brings_its_graph(small_log: SmallLog) -> None:
    @dataclass(frozen=True)
    class Twice(Unknown):
        def predict(self, frame: PairFrame) -> Scores:
            return 2 * frame.column("n_exposures__item_id").cast(pl.Float64).fill_null(0).to_numpy()

    @graphs.graph_of(Twice)
    def twice(fitted: Twice, g: graphs.Graph) -> graphs.Tensor:
        x = g.number("n_exposures__item_id", np.float64)
        return g.add("Mul", g.f64(2.0), g.add("Where", g.add("IsNaN", x), g.f64(0.0), x))

    assert_same(Twice(), with_nulls(small_log.eval))


def test_values_that_no_request_carries_are_refused() -> None:
    graph = graphs.Graph({"id": pl.UInt64(), "text": pl.String()}, "id")
    graph.coded("id", pl.Series([1, 2**63 - 1], dtype=pl.UInt64))
    for name, values in (("id", pl.Series([2**63], dtype=pl.UInt64)), ("text", pl.Series([graphs.NO_TEXT]))):
        with pytest.raises(graphs.ExportError, match="a value that a request cannot carry"):
            graph.coded(name, values)


def test_dtypes_that_no_request_carries_are_refused() -> None:
    assert graphs.kind_of_dtype("x", pl.Boolean()) == "int64"
    assert graphs.kind_of_dtype("x", KINDS) == "text"
    with pytest.raises(graphs.ExportError, match="'when' is Date"):
        graphs.kind_of_dtype("when", pl.Date())


def test_arrays_take_as_many_columns_as_they_have_values() -> None:
    schema = {"a": pl.Array(pl.UInt32, 3), "b": pl.UInt8(), "c": pl.Float32()}
    inputs = graphs.Inputs.of(["c", "b", "a"], schema)
    assert inputs.width("int64") == 4
    assert inputs.positions(["b", "a"]) == [3, 0, 1, 2]
