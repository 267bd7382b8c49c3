"""Graphs of blends: what Python's blends give for the pairs of one group, ties and equal scores among them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import StoredColumns, graphs
from stacking import FittedBlend, ScoreFrame, Scores, blenders, score_graph
from stacking.level_two import FittedTrees
from tests.stacking.small_stack import CONTEXT, planted, two_kinds_of_users

MODELS = ("a", "b", "c")
TABLES: dict[str, dict[str, Any]] = {
    "score_weights": {"kind": "weights", "of": "scores", "budget": 20},
    "weights": {"kind": "weights", "budget": 20},
    "catboost_oof": {"iterations": 20},
    "level_two": {"iterations": 20},
}


def session_of(blend: FittedBlend, schema: Any) -> tuple[graphs.Inputs, Any]:
    graph = graphs.Graph(schema, "user_id")
    result = score_graph(blend, graph, "The blend")
    inputs = graphs.Inputs.of(graph.columns, schema)
    proto = graph.proto("blend", inputs, result)
    return inputs, onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])


def run_blend(session: Any, inputs: graphs.Inputs, frame: ScoreFrame) -> Scores:
    given = {i.name for i in session.get_inputs()}
    feeds = {f"score_{m}": frame.table[m].to_numpy() for m in frame.models if f"score_{m}" in given}
    for column in inputs.columns:
        assert frame.stored is not None
        feeds[column.kind] = frame.stored.column(column.name).to_numpy()[:, None]
    found: Scores = session.run(["score"], feeds)[0]
    return found


@pytest.fixture(scope="module")
def fitted() -> dict[str, FittedBlend]:
    frame = planted(n_users=20, a=0.3, b=0.6, c=1.5)
    return {name: b.fit(frame, CONTEXT) for name, b in blenders(TABLES).items() if name != "level_two"}


@pytest.mark.parametrize("name", ["mean_rank", "weights", "score_weights", "catboost_oof"])
def test_a_blend_of_one_group_is_what_python_gives(name: str, fitted: dict[str, FittedBlend]) -> None:
    frame = planted(n_users=20, a=0.3, b=0.6, c=1.5).without_labels()
    inputs, session = session_of(fitted[name], frame.table.schema)
    assert inputs.columns == ()

    number = st.sampled_from([0.0, -0.0, 0.25, 1.0, 1.0 + 1e-12, -3.5, 1e9, -1e9, 1e-300]) | st.floats(
        -10, 10
    )

    @settings(max_examples=30, deadline=None, database=None, derandomize=True)
    @given(st.lists(st.tuples(number, number, number), min_size=1, max_size=12))
    def holds(rows: list[tuple[float, float, float]]) -> None:
        table = pl.DataFrame(rows, schema=dict.fromkeys(MODELS, pl.Float64), orient="row")
        keys = frame.table[:1].select("window", "user_id")
        some = replace(frame, table=keys.join(table, how="cross").with_row_index("pair_id"))
        np.testing.assert_allclose(
            run_blend(session, inputs, some), fitted[name].predict(some), rtol=1e-9, atol=1e-9
        )

    holds()


def test_level_two_reads_features_beside_the_scores() -> None:
    frame = two_kinds_of_users()
    blend = blenders(TABLES)["level_two"].fit(frame, CONTEXT)
    assert isinstance(blend, FittedTrees)
    one = frame.take((pl.col("window") == 1) & (pl.col("user_id") == 3)).without_labels()
    assert isinstance(one.stored, StoredColumns)
    inputs, session = session_of(blend, {**one.table.schema, **one.stored.schema})
    assert [c.name for c in inputs.columns] == ["is_odd"]
    np.testing.assert_allclose(run_blend(session, inputs, one), blend.predict(one), rtol=0, atol=1e-12)


def test_models_of_weight_zero_are_not_read() -> None:
    blend = blenders({"weights": {"n_units": 1}})["weights"].fit(planted(n_users=20, a=0.0, b=5.0), CONTEXT)
    graph = graphs.Graph({"user_id": pl.Int64()}, "user_id")
    score_graph(blend, graph, "The blend")
    assert graph.scores == ("a",)
