"""Scores of models that know the truth through noise, and settings of small stacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from competitions import Metric
from engine import Settings
from models import StoredColumns
from stacking import BlendContext, ScoreFrame, Scores
from validation import evaluate

METRIC = Metric("user_auc")
CONTEXT = BlendContext(METRIC, seed=3)


def planted(n_users: int = 60, n_pairs: int = 8, n_windows: int = 3, **noise: float) -> ScoreFrame:
    """Models that see the truth through noise of a given size; the labels are the truth's sign."""
    rng = np.random.default_rng(0)
    n = n_users * n_windows * n_pairs
    truth = rng.normal(size=n)
    rows = pl.DataFrame(
        {
            "pair_id": np.arange(n, dtype=np.uint32),
            "window": np.repeat(np.arange(n_windows), n_users * n_pairs),
            "user_id": np.tile(np.repeat(np.arange(n_users), n_pairs), n_windows),
            "relevance": (truth + rng.normal(size=n) * 0.5 > 0).astype(np.int8),
            **{model: truth + rng.normal(size=n) * size for model, size in noise.items()},
        }
    )
    return ScoreFrame(rows, tuple(noise), "user_id")


def two_kinds_of_users(n_users: int = 20, n_pairs: int = 8) -> ScoreFrame:
    """Model ``a`` knows the truth of even users, ``b`` that of odd ones; the feature says which user it is."""
    known = planted(n_users, n_pairs, a=0.0, b=0.0)
    rng, is_odd = np.random.default_rng(1), known.table["user_id"].cast(pl.Float32).alias("is_odd") % 2
    noise = rng.normal(size=(2, len(is_odd))) * 5
    table = known.table.with_columns(
        a=pl.col("a") + noise[0] * is_odd, b=pl.col("b") + noise[1] * (1 - is_odd)
    )
    # Stored in another order than the frame's rows: what lies by position would be found out.
    order = rng.permutation(len(is_odd))
    back = pl.Series(np.argsort(order), dtype=pl.UInt32)
    stored = StoredColumns({"is_odd": pl.Float32()}, lambda name: is_odd.gather(order).alias(name), back)
    return ScoreFrame(table, ("a", "b"), "user_id", stored)


def auc(oof: ScoreFrame, scores: Scores) -> float:
    return evaluate(METRIC, oof.table.with_columns(score=pl.Series(scores)), group=oof.group)


POPULARITY: dict[str, dict[str, Any]] = {
    "popularity": {"kind": "column", "column": "relevance_rate__item_id"}
}
TREES: dict[str, dict[str, Any]] = {"trees": {"kind": "catboost", "iterations": 8, "depth": 3}}
FEATURES = ("relevance_rate__item_id", "n_likes__user_id", "n_exposures__item_id", "user_gender")


def settings_in(folder: Path, **changes: object) -> Settings:
    values = {
        "store": folder,
        "backend": "inline",
        "models": {**POPULARITY, **TREES},
        "features": {"include": FEATURES},
        "folds": {"n_folds": 3, "n_train_windows": 2},
    }
    return Settings.model_validate({**values, **changes})
