"""The benchmark of serving: both servers answer alike, and what is wanted is said."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from benchmarks.serving import Answer, at_once, commands, figures, free_port, in_words, one_by_one, started
from models import graphs


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle of one model: twice the value of a column."""
    import hashlib

    import numpy as np
    import onnx
    import polars as pl

    graph = graphs.Graph({"x": pl.Float32()}, "x")
    result = graph.add("Mul", graph.number("x", np.float64), graph.f64(2.0))
    inputs = graphs.Inputs.of(["x"], graph.schema)
    onnx.save(graph.proto("twice", inputs, result), str(tmp_path / "twice.onnx"))
    step = {"name": "twice", "kind": "model", "file": "twice.onnx", "matrices": ["float32"], "reads": []}
    column = {"name": "x", "dtype": "Float32", "kind": "float32", "position": 0, "length": None}
    manifest = {
        "format": 1,
        "run": "r",
        "chosen": "twice",
        "inputs": [column],
        "steps": [{**step, "columns": ["x"]}],
    }
    cases = [{"name": "many", "columns": {"x": [0.5, 2.0]}, "n_pairs": 2, "scores": {"twice": [1.0, 4.0]}}]
    for name, value in (("manifest.json", manifest), ("cases.json", cases)):
        (tmp_path / name).write_text(json.dumps(value))
    sums = [f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.name}\n" for f in sorted(tmp_path.iterdir())]
    (tmp_path / "SHA256SUMS").write_text("".join(sums))
    return tmp_path


def test_the_server_in_python_answers_and_is_timed(bundle: Path) -> None:
    port = free_port()
    command, word = commands(bundle, Path("serve"), port)["python"]
    body = json.dumps({"columns": {"x": [0.5, 2.0]}}).encode()
    with started(command, word):
        alone = asyncio.run(one_by_one(port, body, 2))
        many = asyncio.run(at_once(port, body, 5, settle=0.2))
    assert [answer.scores for answer in alone + many] == [[1.0, 4.0]] * 7
    assert all(answer.seconds > 0 and answer.outside > 0 for answer in alone)
    assert figures(many, alone, [1.0, 4.0])["lost"] == 0
    assert figures(many, alone, [1.0, 5.0])["lost"] == 5
    assert asyncio.run(one_by_one(port, body, 1))[0].scores is None  # nobody listens any more


def test_what_is_wanted_is_said() -> None:
    answers = [Answer(0.001 * i, 0.5, 1.0, [1.0]) for i in range(1, 101)]
    python = {**figures([*answers, Answer(0.1, 0, 0, None)], answers, [1.0]), "cpu": 3.0}
    server = {**python, "p99": python["p99"] * 0.5, "outside": 0.25, "cpu": 1.0}
    found = {"requests": 100, "pairs": 2, "bytes": 10, "server": server, "python": python}
    _, _, first, second, lost, p99, outside = in_words(found)
    assert first.split() == ["server", "1.00", "50.50", "49.51", "50.50", "99.01", "0.50", "0.25", "1.00"]
    assert second.split()[:4] == ["python", "1.00", "50.50", "99.01"]
    assert lost == "lost: 1 (none wanted): MISSED"
    assert p99 == "p99 at once: 0.50 of Python's (at most 1)"
    assert outside == "outside onnxruntime: 0.25 of Python's (at most 0.3)"
