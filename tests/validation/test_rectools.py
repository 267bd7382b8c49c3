"""Metrics against the values of RecTools, kept in golden/rectools.json (made by golden/make_rectools.py).

Where the definitions differ: RecTools divides NDCG by the best list of k relevant rows unless
``divide_by_achievable``; divides MAP by all relevant rows (``divide_by="relevant"`` here); knows one level of
relevance only; has the ROC AUC of a user only as pAUC@k with k = the user's irrelevant rows; takes ranks, so no two
scores tie. Users without a relevant row are in neither.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from competitions import Metric
from validation import evaluate_by_group

GOLDEN: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "golden" / "rectools.json").read_text(encoding="utf-8")
)["tables"]
OURS = {
    "map": Metric("map_at_k", {"divide_by": "relevant"}),
    "mrr": Metric("mrr_at_k"),
    "ndcg": Metric("ndcg_at_k"),
    "recall": Metric("recall_at_k"),
    "precision": Metric("precision_at_k"),
    "r_precision": Metric("precision_at_k", {"divide_by": "reachable"}),
    "hit_rate": Metric("hit_rate_at_k"),
    "auc": Metric("user_auc"),
}


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("number", range(len(GOLDEN)))
def test_equals_rectools_for_every_user(name: str, number: int) -> None:
    table = pl.DataFrame(GOLDEN[number]["rows"])
    for k, expected in GOLDEN[number]["values"][name].items():
        policy = {} if k == "all" else {"k": int(k)}
        metric = Metric(OURS[name].name, {**OURS[name].policy, **policy})
        found = evaluate_by_group(metric, table, group=["user_id"]).drop_nulls("value")
        values = {str(user): value for user, value in found.select("user_id", "value").iter_rows()}
        assert values == pytest.approx(expected, rel=1e-12), f"k={k}"
