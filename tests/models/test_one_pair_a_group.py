"""CatBoost where every user has one pair: nothing can be learned within groups, and all statistics are numbers."""

from __future__ import annotations

import math
from typing import Literal

import polars as pl
import pytest

from models import FitContext, PairFrame
from models.catboost import CatBoost

N = 60


@pytest.mark.parametrize("loss", ["QueryRMSE", "YetiRank", "RMSE"])
@pytest.mark.parametrize("even", [True, False])
def test_groups_of_one_pair_give_finite_scores_and_shares(
    loss: Literal["QueryRMSE", "YetiRank", "RMSE"], even: bool
) -> None:
    columns = {
        "pair_id": range(N),
        "user_id": range(N),
        "item_id": [i % 7 for i in range(N)],
        "f": [i % 5 for i in range(N)],
    }
    table = pl.DataFrame(columns).select(
        pl.col("pair_id", "user_id", "item_id").cast(pl.UInt32), pl.col("f").cast(pl.Float32),
        window=pl.lit(1, pl.Int64), relevance=(pl.col("pair_id") % 2).cast(pl.Int8),
    )  # fmt: skip
    frame = PairFrame(table, ("f",), "user_id", "item_id")
    fitted = CatBoost(loss=loss, even_groups=even, iterations=5, holdout=0.0).fit(
        frame, FitContext(seed=1, threads=1)
    )
    assert all(math.isfinite(share) for share in fitted.report.importance.values())
    assert all(math.isfinite(score) for score in fitted.predict(frame).tolist())
