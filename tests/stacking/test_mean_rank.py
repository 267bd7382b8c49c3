from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from stacking import ScoreFrame, Scores, blenders
from tests.stacking.small_stack import CONTEXT


def mean_ranks(**columns: list[float]) -> Scores:
    """Mean ranks by models whose scores come after ``window`` and ``user_id``."""
    rows = pl.DataFrame(columns).with_row_index("pair_id")
    frame = ScoreFrame(rows, tuple(columns)[2:], "user_id")
    return blenders()["mean_rank"].fit(frame, CONTEXT).predict(frame)


def test_mean_of_rank_shares_by_hand() -> None:
    a, b = [0.1, 0.9, 5.0, 5.0, -3.0], [30.0, 20.0, 1.0, 2.0, 8.0]
    # User 1 in window 7: a ranks (1, 2), b ranks (2, 1), mean 1.5 of 2 -> (1.5 - 0.5) / 2.
    # User 2: a ties at 1.5, b ranks (1, 2): means 1.25 and 1.75. A group of one is in the middle.
    scores = mean_ranks(window=[7, 7, 7, 7, 8], user_id=[1, 1, 2, 2, 1], a=a, b=b)
    assert scores.tolist() == [0.5, 0.5, 0.375, 0.625, 0.5]


def test_same_ranks_from_other_models_tie_exactly() -> None:
    """0.1 + 0.2 + 0.3 differs from 0.3 + 0.2 + 0.1 in floating point; ranks must not."""
    scores = mean_ranks(window=[1] * 3, user_id=[1] * 3, a=[1, 2, 3], b=[2, 3, 1], c=[3, 1, 2])
    assert len(set(scores.tolist())) == 1


@given(st.lists(st.floats(-100, 100, allow_subnormal=False), min_size=2, max_size=12))
def test_any_increasing_change_of_a_models_scores_changes_nothing(scores: list[float]) -> None:
    n, stretched = len(scores), np.unique(scores, return_inverse=True)[1] * 7.0 - 3
    before, after = (
        mean_ranks(window=[1] * n, user_id=[1] * n, a=list(a), b=[float(i % 3) for i in range(n)])
        for a in (scores, stretched)
    )
    assert before.tolist() == after.tolist()
