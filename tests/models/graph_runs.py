"""Graphs of fitted models run by onnxruntime, on the pairs of a frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import polars as pl

from models import FittedRanker, PairFrame, Scores, graphs


def run_graph(fitted: FittedRanker, frame: PairFrame) -> Scores:
    """Scores of a frame, all of whose pairs are of one group, by the graph of what was fitted."""
    schema = graphs.with_places(frame.schema)
    graph = graphs.Graph(schema, frame.item)
    result = graphs.add_graph(fitted, graph, "The model")
    inputs = graphs.Inputs.of(graph.columns, schema)
    proto = graph.proto("model", inputs, result)
    onnx.checker.check_model(proto)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    found: Scores = session.run(["score"], feeds(frame, inputs, [i.name for i in session.get_inputs()]))[0]
    return found


def feeds(frame: PairFrame, inputs: graphs.Inputs, kinds: list[str]) -> dict[str, Any]:
    """Lay the columns of a frame into matrices, one value after the other: slow, and plain to read."""
    nulls = {"int64": graphs.NO_WHOLE_NUMBER, "text": graphs.NO_TEXT}
    made: dict[str, Any] = {}
    for kind in kinds:
        columns = [c for c in inputs.columns if c.kind == kind]
        width = sum(c.width for c in columns)
        matrix = np.full((frame.height, width), None, dtype=object)
        for column in columns:
            values = graphs.values_of(frame.table, column.name)
            if isinstance(values.dtype, pl.Enum):
                values = values.cast(pl.String)
            for row, value in enumerate(values.to_list()):
                some = [value] if column.length is None else (value or [None] * column.length)
                matrix[row, column.position : column.position + column.width] = some
        null = nulls.get(kind, np.nan)
        matrix[matrix == None] = null  # noqa: E711
        made[kind] = matrix if kind == "text" else matrix.astype(kind)
    return made
