"""A label that gets into a feature in one fold only: the fit's training loss gives it away."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from models import FitContext, FitReport, PairFrame, build_models
from validation import CvBundle, training_alarms

KINDS: dict[str, dict[str, Any]] = {
    "trees": {"kind": "catboost", "iterations": 150, "feature_share": 1.0},
    "net": {"kind": "channel_net", "epochs": 40, "patience": 40, "learning_rate": 0.02, "dropout": 0.0},
}


def pairs(seed: int, *, is_leaking: bool) -> PairFrame:
    """Pairs whose features know a little of the label, or all of it."""
    rng, n = np.random.default_rng(seed), 1200
    label = rng.integers(-1, 2, n)
    rate = label if is_leaking else rng.normal(size=n)
    floats = pl.DataFrame({"weak": label + rng.normal(size=n) * 4, "rate": rate}).cast(pl.Float32)
    table = floats.with_row_index("pair_id").with_columns(
        window=pl.lit(seed, pl.Int64),
        user_id=pl.col("pair_id") // 10,
        item_id=pl.Series(rng.integers(0, 50, n), dtype=pl.UInt32),
        relevance=pl.Series(label, dtype=pl.Int8),
    )
    return PairFrame(table, ("weak", "rate"), "user_id", "item_id")


@pytest.mark.parametrize("name", list(KINDS))
def test_a_leak_in_one_fold_raises_the_alarm_for_that_fit_only(name: str) -> None:
    ranker = build_models({name: KINDS[name]})[name]
    fits, importance = [], []
    for number in range(3):
        report = ranker.fit(pairs(number, is_leaking=number == 1), FitContext(seed=0)).report
        where = {"model": name, "fold": f"fold{number + 1}"}
        fits.append({**where, "training_loss": report.training_loss, "loss": report.loss})
        importance += [{**where, "feature": f, "importance": i} for f, i in report.importance.items()]
    shares = pl.DataFrame(importance, schema=["model", "fold", "feature", "importance"])
    bundle = CvBundle(pl.DataFrame(), shares, pl.DataFrame(), pl.DataFrame(fits), (name,), (), name, {})
    (alarm,) = training_alarms(bundle)
    assert alarm.startswith(f"The training loss of {name} in fold2 is ")
    assert ("It rests on rate" in alarm) == (name == "trees")
    fair = replace(bundle, fits=bundle.fits.with_columns(training_loss=pl.lit(0.5)))
    assert training_alarms(fair) == ()


def test_models_without_a_loss_say_none() -> None:
    assert FitReport().training_loss is None
    yeti = build_models({"trees": {"kind": "catboost", "loss": "YetiRank", "iterations": 3}})["trees"]
    assert yeti.fit(pairs(1, is_leaking=False), FitContext(seed=0)).report.training_loss is None
