from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from competitions import Metric
from stacking import BlendContext, blenders
from tests.stacking.small_stack import CONTEXT, METRIC, auc, planted

Weights: Any = type(blenders()["weights"])
OF_SCORES: Any = Weights(of="scores")


def test_a_loss_is_minimised() -> None:
    """A metric of which less is better must not pick the worst model."""
    oof = planted(good=0.05, bad=50.0)
    metric = Metric("rmse", greater_is_better=False)
    fitted = Weights().fit(oof, BlendContext(metric, seed=3))
    assert fitted.weights["good"] > 0.8


def test_the_search_is_as_good_as_the_best_of_a_coarse_grid() -> None:
    """Oracle: every mix in tenths, every single model among them."""
    oof = planted(a=0.8, b=1.0, c=3.0)
    ranks = oof.table.select(pl.col(m).rank().over("window", "user_id") for m in oof.models).to_numpy()
    grid = [mix for mix in product(range(11), repeat=3) if sum(mix) == 10]
    best = max(auc(oof, ranks @ np.array(mix)) for mix in grid)
    assert auc(oof, Weights().fit(oof, CONTEXT).predict(oof)) >= best


def test_scores_tell_how_sure_a_model_is_where_ranks_do_not() -> None:
    """A model that is silent in most groups and sure in some: its ranks are noise, its distances are not."""
    oof = planted(good=1.0, sure=0.1)
    silent = pl.col("user_id") % 4 > 0
    faint = pl.when(silent).then(pl.col("pair_id").hash(1) % 97 * 1e-6).otherwise("sure")
    oof = replace(oof, table=oof.table.with_columns(sure=faint))
    of_ranks, of_scores = (auc(oof, kind.fit(oof, CONTEXT).predict(oof)) for kind in (Weights(), OF_SCORES))
    assert of_scores > of_ranks + 0.02


@settings(max_examples=25, deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(-1e3, 1e3), st.integers(0, 99))
def test_a_mix_of_scores_is_blind_to_units_and_to_what_a_group_has_in_common(
    unit: float, shift: float, seed: int
) -> None:
    oof = planted(6, a=1.0, b=1.5)
    own = np.random.default_rng(seed).normal(size=6)[oof.table["user_id"].to_numpy()]
    moved = replace(oof, table=oof.table.with_columns(b=pl.col("b") * unit + shift * own))
    blends = [OF_SCORES.fit(frame, CONTEXT) for frame in (oof, moved)]
    assert blends[0].weights == blends[1].weights
    first, second = (blend.predict(frame) for blend, frame in zip(blends, (oof, moved), strict=True))
    assert second == pytest.approx(first, abs=1e-6)


@pytest.mark.parametrize("constant", [2.5, 0.1 + 0.2, 1e300, 0.0])
def test_a_constant_score_adds_nothing_to_a_mix_of_scores(constant: float) -> None:
    """Also where its mean is a rounding error off it: the error must not become a unit."""
    oof = planted(a=1.0, b=1.0)
    flat = replace(oof, table=oof.table.with_columns(b=pl.lit(constant)))
    fitted = OF_SCORES.fit(flat, CONTEXT)
    assert fitted.spreads["b"] == 1.0
    assert np.isfinite(fitted.predict(flat)).all()
    assert auc(flat, fitted.predict(flat)) == auc(flat, flat.table["a"].to_numpy())


@settings(max_examples=5, deadline=None)
@given(st.integers(2, 6), st.integers(0, 10))
def test_weights_are_a_point_of_the_simplex(n_models: int, seed: int) -> None:
    noise: Any = {f"m{i}": 1.0 + i for i in range(n_models)}
    oof = planted(4, **noise)
    weights = Weights().fit(oof, BlendContext(METRIC, seed)).weights
    assert list(weights) == list(oof.models)
    assert min(weights.values()) >= 0
    assert sum(weights.values()) == pytest.approx(1.0)


def test_equal_scores_in_a_group_have_no_z_score() -> None:
    """Rounding errors around a constant must not become a signal."""
    oof = planted(a=1.0, b=1.0)
    flat = replace(oof, table=oof.table.with_columns(b=pl.lit(0.1) + 0.2))
    assert blenders()["catboost_oof"].fit(flat, CONTEXT).weights["b"] == 0


@pytest.mark.parametrize("constant", ["relevance", "a"])
def test_catboost_over_scores_with_nothing_to_learn_takes_the_mean_of_ranks(constant: str) -> None:
    """CatBoost itself ends with an error on equal labels, and on columns that are all equal."""
    oof = planted(n_windows=2, a=1.0)
    flat = replace(oof, table=oof.table.with_columns(pl.col(constant) * 0))
    ranks, trees = (
        blenders()[name].fit(flat, CONTEXT).predict(flat) for name in ("mean_rank", "catboost_oof")
    )
    assert trees == pytest.approx(ranks)


@settings(max_examples=25)
@given(st.integers(1, 2000), st.integers(0, 99))
def test_the_search_looks_at_whole_groups_up_to_a_number_of_rows(most_rows: int, seed: int) -> None:
    oof = planted(good=0.5)
    some = oof.sample_of_groups(most_rows, seed)
    if most_rows >= oof.table.height:
        assert some is oof
        return
    assert some.table.height <= max(most_rows, 8)  # one group at least
    assert set(some.table.group_by(oof.group).len()["len"]) <= {8}
    assert some.table.equals(oof.table.filter(pl.col("pair_id").is_in(some.table["pair_id"].implode())))
    assert some.table.height > max(most_rows - 8, 0)


def test_weights_of_a_sample_serve_all_rows() -> None:
    oof = planted(600, a=1.0, b=1.0, noise=30.0)
    fitted = Weights(most_rows=3000).fit(oof, CONTEXT)
    whole = Weights().fit(oof, CONTEXT)
    assert auc(oof, fitted.predict(oof)) > auc(oof, whole.predict(oof)) - 0.01  # of 3000 rows only
