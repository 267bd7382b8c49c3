from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from engine import ConfigError
from models import FitContext, PairFrame, build_models
from tests.models.small_log import SmallLog, with_columns

CONTEXT = FitContext(seed=1)


def scores_of(column: str | list[str], train: PairFrame, test: PairFrame) -> Any:
    ranker = build_models({"x": {"kind": "column", "column": column}})["x"]
    return ranker.fit(train, CONTEXT).predict(test)


def test_one_name_and_a_list_of_one_are_the_same(small_log: SmallLog) -> None:
    np.testing.assert_array_equal(
        scores_of("als_score__like", small_log.train, small_log.eval),
        scores_of(["als_score__like"], small_log.train, small_log.eval),
    )


def test_several_are_scaled_before_their_mean_is_taken(small_log: SmallLog) -> None:
    """A column weighs the same whatever its unit, and nothing is learned from the pairs to score."""
    both = ["als_score__like", "relevance_rate__item_id"]
    plain = scores_of(both, small_log.train, small_log.eval)
    in_cents = [
        with_columns(f, relevance_rate__item_id=100 * pl.col("relevance_rate__item_id") + 7)
        for f in (small_log.train, small_log.eval)
    ]
    np.testing.assert_allclose(scores_of(both, *in_cents), plain, atol=1e-5)
    rows = small_log.eval.table.with_columns(
        z=sum((pl.col(c) - small_log.train.table[c].mean()) / small_log.train.table[c].std() for c in both)
    )
    order = rows.filter(pl.col("z").is_not_null())["z"].rank()
    assert np.corrcoef(order, pl.Series(plain).filter(rows["z"].is_not_null()).rank())[0, 1] > 0.999


def test_a_pair_unknown_in_every_column_comes_last(small_log: SmallLog) -> None:
    names = ["als_score__like", "relevance_rate__item_id"]
    row = pl.int_range(pl.len())
    test = with_columns(
        small_log.eval,
        als_score__like=pl.when(row > 1).then("als_score__like"),
        relevance_rate__item_id=pl.when(row > 0).then(pl.lit(0.5)),
    )
    scores = scores_of(names, small_log.train, test)
    assert scores[0] == -1
    assert (scores[1:] > -1).all()


def test_a_list_without_a_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"\[models\.x\].*column"):
        build_models({"x": {"kind": "column", "column": []}})
