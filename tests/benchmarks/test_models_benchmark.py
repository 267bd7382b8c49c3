"""What models are worth, on a small simulated log: against the metric of their scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import models
from tests.benchmarks.small_stack import SMALL


def test_each_model_alone_and_what_is_lost_without_it(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"
    source = 'source={kind="column",column="like_rate__source_id"}'
    words = [
        f"vk2024@{data}",
        "--folder",
        str(tmp_path),
        "--model",
        source,
        "--out",
        str(file),
        "--both",
        *SMALL,
    ]
    models.main([*words, "--against", "popularity"])
    rows = {row["model"]: row for row in json.loads(file.read_text())["rows"]}
    assert rows["popularity"]["lead"] == [0, 0, 0]
    assert "blend" not in rows["popularity"]
    own, other = rows["source"], rows["popularity"]
    assert own["lead"][0] == pytest.approx(own["pooled"] - other["pooled"])
    assert own["lead"][1] <= own["lead"][0] <= own["lead"][2]
    chosen = list(rows)[-1]
    assert own["blend"][0] == pytest.approx(
        rows[chosen]["pooled"] - other["pooled"]
    )  # without it there is one
    assert "source" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"(?s)No model is called 'popularitee'.*popularity"):
        models.main([*words, "--against", "popularitee"])
