"""EASE: against a dense brute force, against a planted taste, and with nothing to learn from."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_matrix

from engine import capped_threads
from features import load_registry
from features.ease import FEW, RIDGE, WIDE, Ease, ease_weights, gram, inverted
from features.toolkit import certainty_weighted, residuals
from tests.features.planted_tastes import assert_alone_and_unseen, feed, recovers, transformed


def test_weights_are_constrained_least_squares() -> None:
    """Each column by itself: a ridge regression on the other columns, which is what a zero diagonal means."""
    rng = np.random.default_rng(5)
    cells = rng.normal(size=(50, 7)) * (rng.random((50, 7)) < 0.6)
    ridge = RIDGE * (cells**2).sum(axis=0).mean()
    weights = ease_weights(csr_matrix(cells))
    for entity in range(7):
        others = [j for j in range(7) if j != entity]
        x = cells[:, others]
        by_hand = np.linalg.solve(x.T @ x + ridge * np.eye(6), x.T @ cells[:, entity])
        np.testing.assert_allclose(weights[entity, others], by_hand, atol=1e-12)
        assert weights[entity, entity] == 0.0


def test_scores_are_rows_times_weights() -> None:
    planted = feed()
    pairs = planted.pairs()
    values = transformed(Ease("source_id", "watch"), planted.log, pairs)
    cells = certainty_weighted(*residuals(planted.log.lazy(), "watch", "source_id").by_entity()).toarray()
    weights = ease_weights(csr_matrix(cells))
    known = (pairs["user_id"] < 999) & (pairs["item_id"] < 9999)
    user, source = pairs.filter(known)["user_id"].to_numpy(), pairs.filter(known)["source_id"].to_numpy()
    score = (cells @ weights.T)[user, source]
    np.testing.assert_allclose(values.filter(known)["ease_score"].to_numpy(), score, rtol=1e-5, atol=1e-9)
    norms = np.linalg.norm(cells, axis=1)[user] * np.linalg.norm(weights, axis=1)[source]
    np.testing.assert_allclose(
        values.filter(known)["ease_cosine"].to_numpy(), score / norms, rtol=1e-5, atol=1e-9
    )


@pytest.mark.parametrize("factor", [0.0, 1e9])
def test_the_gram_matrix_is_the_same_dense_and_sparse(factor: float) -> None:
    cells = np.random.default_rng(6).normal(size=(50, 7))
    found = gram(csr_matrix(cells), dense_is_faster=factor, chunk_cells=70)
    np.testing.assert_allclose(found, cells.T @ cells, atol=1e-12)


@pytest.mark.parametrize(
    ("entity", "signal"), [("source_id", "watch"), ("source_id", "approval"), ("item_id", "rating")]
)
def test_a_planted_taste_is_found(entity: str, signal: str) -> None:
    planted = feed()
    values = transformed(Ease(entity, signal), planted.log, planted.pairs())
    assert recovers(values, "ease_score", planted) > 0.97


def test_alone_unseen_and_little() -> None:
    assert_alone_and_unseen(Ease("source_id", "watch"), feed(), ["ease_score", "ease_cosine"])
    assert_alone_and_unseen(Ease("item_id", "rating"), feed(), ["ease_score"])


def test_entities_beyond_the_bound_are_unseen() -> None:
    planted, model = feed(), Ease("source_id", "watch", max_entities=5)
    pairs = planted.pairs()
    values = transformed(model, planted.log, pairs)
    assert len(model.entities) == 5
    unseen = ~pairs["source_id"].is_in(model.entities.implode()) | (pairs["user_id"] == 999)
    assert values["ease_score"].is_null().equals(unseen, check_names=False)


@pytest.mark.parametrize(("n", "few"), [(2, 1), (37, 10), (40, 10), (37, 37), (300, 128)])
def test_a_wide_matrix_is_inverted_in_place_as_a_small_one_is(n: int, few: int) -> None:
    x = np.random.default_rng(n).normal(size=(2 * n, n))
    matrix = x.T @ x + np.eye(n)
    found = inverted(matrix.copy(), few)
    np.testing.assert_allclose(found, np.linalg.inv(matrix), atol=1e-12)
    assert len(matrix) <= few or np.array_equal(found, found.T)


def test_wide_variants_declare_their_limit() -> None:
    variants = load_registry().declarations["ease"].options["variants"]
    limits = {name: variant.get("max_entities", FEW) for name, variant in variants.items()}
    assert {name for name, limit in limits.items() if limit == WIDE} == {
        n for n in limits if n.startswith("wide_")
    }
    assert {limits["source_watch"], limits["item_rating"]} == {FEW}


@pytest.mark.parametrize("signal", ["like", "rating"])
def test_neither_threads_nor_ids_change_a_bit(signal: str) -> None:
    planted, found = feed(), []
    for threads in (1, 2):
        with capped_threads(threads):
            found.append(transformed(Ease("item_id", signal, WIDE), planted.log, planted.pairs()))
    assert found[0].equals(found[1])
    other = (pl.col("user_id") * 3 + 7, pl.col("item_id") * 2 + 1)
    renamed = transformed(
        Ease("item_id", signal, WIDE), planted.log.with_columns(*other), planted.pairs().with_columns(*other)
    )
    assert renamed.equals(found[0])
