from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from engine import ConfigError
from models import StoredColumns
from stacking import ScoreFrame, Scores, blenders, leave_one_fold_out
from tests.stacking.small_stack import CONTEXT, auc, two_kinds_of_users

SMALL: Any = blenders(
    {
        "level_two": {
            "iterations": 60,
            "depth": 3,
            "learning_rate": 0.2,
            "l2_leaf_reg": 1.0,
            "feature_share": 1.0,
        }
    }
)["level_two"]


def left_out(oof: ScoreFrame) -> Scores:
    return np.concatenate([leave_one_fold_out(SMALL, oof, window, CONTEXT) for window in range(3)])


def test_a_feature_that_tells_which_model_to_trust_is_used() -> None:
    oof = two_kinds_of_users(80)
    best_single = max(auc(oof, oof.table[m].to_numpy()) for m in oof.models)
    assert auc(oof, left_out(oof)) > max(best_single, auc(oof, left_out(replace(oof, stored=None)))) + 0.03


def test_no_row_sees_its_own_label() -> None:
    """The scores of a window are the same whatever its labels are."""
    oof = two_kinds_of_users()
    flipped = pl.when(pl.col("window") == 1).then(1 - pl.col("relevance")).otherwise("relevance")
    other = replace(oof, table=oof.table.with_columns(relevance=flipped.cast(pl.Int8)))
    is_same = left_out(oof) == left_out(other)
    assert [bool(is_same[oof.table["window"] == window].all()) for window in range(3)] == [False, True, False]


def test_a_feature_with_the_name_of_a_score_column_is_refused() -> None:
    oof = two_kinds_of_users(6)
    stored = StoredColumns({"oof__a__share": pl.Float32()}, lambda _: oof.table["a"], oof.table["pair_id"])
    with pytest.raises(ConfigError, match="'oof__a__share' has the name of a column"):
        SMALL.fit(replace(oof, stored=stored), CONTEXT)
