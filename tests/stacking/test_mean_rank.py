from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from competitions import Metric
from models import fitted_class
from stacking import BlendContext, ScoreFrame, blenders

CONTEXT = BlendContext(Metric("user_auc"), seed=1)


def frame(table: dict[str, list[float]], models: tuple[str, ...]) -> ScoreFrame:
    rows = pl.DataFrame(table).with_columns(pair_id=pl.int_range(pl.len(), dtype=pl.UInt32))
    return ScoreFrame(rows, models, "user_id")


def test_mean_of_rank_shares_by_hand() -> None:
    oof = frame(
        {
            "window": [7, 7, 7, 7, 8],
            "user_id": [1, 1, 2, 2, 1],
            "a": [0.1, 0.9, 5.0, 5.0, -3.0],
            "b": [30.0, 20.0, 1.0, 2.0, 8.0],
        },
        ("a", "b"),
    )
    scores = blenders()["mean_rank"].fit(oof, CONTEXT).predict(oof)
    # User 1 in window 7: a ranks (1, 2), b ranks (2, 1), mean 1.5 of 2 -> (1.5 - 0.5) / 2.
    # User 2: a ties at 1.5, b ranks (1, 2): means 1.25 and 1.75. A group of one is in the middle.
    assert scores.tolist() == [0.5, 0.5, 0.375, 0.625, 0.5]


def test_same_ranks_from_other_models_tie_exactly() -> None:
    """0.1 + 0.2 + 0.3 differs from 0.3 + 0.2 + 0.1 in floating point; ranks must not."""
    oof = frame(
        {
            "window": [1] * 3,
            "user_id": [1] * 3,
            "a": [1.0, 2.0, 3.0],
            "b": [2.0, 3.0, 1.0],
            "c": [3.0, 1.0, 2.0],
        },
        ("a", "b", "c"),
    )
    scores = blenders()["mean_rank"].fit(oof, CONTEXT).predict(oof)
    assert len(set(scores.tolist())) == 1


@given(st.lists(st.floats(-100, 100, allow_subnormal=False), min_size=2, max_size=12))
def test_any_increasing_change_of_a_models_scores_changes_nothing(scores: list[float]) -> None:
    other = [float(i % 3) for i in range(len(scores))]
    table: dict[str, list[float]] = {
        "window": [1] * len(scores),
        "user_id": [1] * len(scores),
        "a": scores,
        "b": other,
    }
    stretched = np.unique(scores, return_inverse=True)[1].astype(float) * 7 - 3
    fitted = blenders()["mean_rank"].fit(frame(table, ("a", "b")), CONTEXT)
    before = fitted.predict(frame(table, ("a", "b")))
    after = fitted.predict(frame({**table, "a": stretched.tolist()}, ("a", "b")))
    assert before.tolist() == after.tolist()


KINDS = pytest.mark.parametrize("name", ["mean_rank", "weights", "catboost_oof"])


def random_scores() -> ScoreFrame:
    rng = np.random.default_rng(0)
    n = 60
    table: dict[str, list[float]] = {
        "window": [1] * n,
        "user_id": [i // 6 for i in range(n)],
        "relevance": rng.integers(-1, 2, n).tolist(),
        "a": rng.normal(size=n).tolist(),
        "b": rng.normal(size=n).tolist(),
    }
    return frame(table, ("a", "b"))


@KINDS
def test_a_pairs_score_depends_on_its_own_group_only(name: str) -> None:
    oof = random_scores()
    fitted = blenders()[name].fit(oof, CONTEXT)
    alone = oof.take(pl.col("user_id") == 3).without_labels()
    bulk = fitted.predict(oof.without_labels())[18:24]
    assert fitted.predict(alone).tolist() == bulk.tolist()


@KINDS
def test_saved_and_loaded_it_predicts_the_same(name: str, tmp_path: Path) -> None:
    oof, blender = random_scores(), blenders()[name]
    fitted = blender.fit(oof, CONTEXT)
    fitted.save(tmp_path)
    loaded = fitted_class(blender).load(tmp_path)
    assert loaded.predict(oof.without_labels()).tolist() == fitted.predict(oof.without_labels()).tolist()
    assert dict(loaded.weights) == pytest.approx(dict(fitted.weights))
    assert sum(fitted.weights.values()) == pytest.approx(1.0)
