"""MultVAE: probabilities of a user add up to one, a planted taste is found, and pairs are scored by themselves."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from engine import capped_threads
from features.multvae import MultVae
from features.toolkit import opinions
from tests.features.fitting import values_of
from tests.features.planted_tastes import N_ITEMS, feed, recovers, transformed


def test_a_planted_taste_is_found_and_probabilities_add_up_to_one() -> None:
    planted = feed()
    values = transformed(MultVae(), planted.log, planted.pairs())
    assert recovers(values, "multvae_score", planted) > 0.9
    known = (
        planted.pairs().hstack(values.select("multvae_score")).filter(pl.col("multvae_score").is_not_null())
    )
    sums = known.group_by("user_id").agg(pl.col("multvae_score").exp().sum(), pl.len())
    assert sums["len"].max() == N_ITEMS
    np.testing.assert_allclose(sums["multvae_score"], 1, atol=1e-4)


def test_alone_unseen_and_little() -> None:
    planted, model = feed(), MultVae()
    pairs = planted.pairs()
    values = transformed(model, planted.log, pairs)
    for row in (0, 17, pairs.height - 1):
        assert values_of(model, pairs[row : row + 1]).equals(values[row : row + 1])
    seen = opinions(planted.log.lazy(), "like", "item_id")
    unseen = ~(pairs["user_id"].is_in(seen.users.implode()) & pairs["item_id"].is_in(seen.entities.implode()))
    assert values["multvae_score"].is_null().equals(unseen, check_names=False)
    for few in (
        planted.log.head(0),
        planted.log.head(1),
        planted.log.with_columns(relevance=pl.lit(0, pl.Int8)),
    ):
        assert transformed(model, few, pairs).height == pairs.height
    assert values_of(model, pairs.head(0)).height == 0


@pytest.mark.parametrize("threads", [1, 2])
def test_neither_threads_nor_ids_nor_what_was_drawn_before_change_a_bit(threads: int) -> None:
    planted = feed()
    expected = transformed(MultVae(), planted.log, planted.pairs())
    other = (pl.col("user_id") * 3 + 7, pl.col("item_id") * 2 + 1)
    with capped_threads(threads):
        found = transformed(MultVae(), planted.log.with_columns(*other), planted.pairs().with_columns(*other))
    assert found.equals(expected)
