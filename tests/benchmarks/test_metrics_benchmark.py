"""The metrics benchmark at a tiny size: ours, the scikit-learn loop and a stand-in for RecTools agree."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl
import pytest

from benchmarks._metrics_rectools import N_IRRELEVANT, against_rectools, ranked_pairs
from benchmarks.metrics import random_pairs, scikit_learn_loop, time_slice
from competitions import Metric
from validation import evaluate

# Answers as _rectools_child.py does; pAUC@k by its definition, k being the irrelevant rows of every user.
STAND_IN = """
import json, sys
from pathlib import Path
import polars as pl
folder, k = Path(sys.argv[-2]), int(sys.argv[-1])
reco = pl.read_parquet(folder / "reco.parquet")
relevant = pl.read_parquet(folder / "interactions.parquet").with_columns(hit=pl.lit(1))
table = reco.join(relevant, on=["user_id", "item_id"], how="left", validate="1:1").sort("user_id", "rank")
hit = pl.col("hit").fill_null(0)
passed = ((1 - hit).cum_sum().over("user_id") * hit).sum().over("user_id")
users = table.group_by("user_id").agg(auc=1 - passed.first() / (k * hit.sum()))
for _ in sys.stdin:
    print(json.dumps({"seconds": 1.0, "value": users["auc"].mean() + OFF}), flush=True)
"""


def stand_in(off: float) -> list[str]:
    return [sys.executable, "-c", STAND_IN.replace("OFF", str(off))]


def test_ours_equals_the_loop() -> None:
    frame = random_pairs(3_000, 60, (0, 1))
    ours = evaluate(Metric("user_auc"), frame, group=("window", "user"))
    assert ours == pytest.approx(scikit_learn_loop(frame), rel=1e-12)
    assert [len(seconds) for seconds in time_slice(500, 20, 2)] == [2, 2]


def test_every_user_has_the_irrelevant_rows_that_pauc_needs_and_no_ties() -> None:
    frame = ranked_pairs(2_000)
    sizes = frame.group_by("user").agg((pl.col("relevance") == 0).sum().alias("irrelevant"), pl.len())
    assert sizes["irrelevant"].unique().to_list() == [N_IRRELEVANT]
    assert frame.select("user", "score").is_unique().all()
    assert frame.height == pytest.approx(2_000, rel=0.1)


def test_rectools_is_asked_in_turns_and_must_agree() -> None:
    ours, theirs = against_rectools(2_000, 2, stand_in(0.0))
    assert (len(ours), theirs) == (2, [1.0, 1.0])
    with pytest.raises(SystemExit, match="RecTools gives"):
        against_rectools(2_000, 1, stand_in(0.01))


def test_what_ends_early_is_said() -> None:
    with pytest.raises(SystemExit, match="ended early"):
        against_rectools(500, 1, [sys.executable, "-c", "pass"])


def test_the_children_of_other_environments_import_nothing_of_ours() -> None:
    rooms = ("benchmarks", "competitions", "engine", "features", "models", "stacking", "validation")
    for name in ("_rectools_child.py", "_featuretools_child.py"):
        text = (Path(__file__).parents[2] / "benchmarks" / name).read_text(encoding="utf-8")
        assert not any(f"from {room}" in text or f"import {room}" in text for room in rooms), name
