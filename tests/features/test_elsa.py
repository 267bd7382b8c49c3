"""ELSA: its gradient against autograd, the closed form of items in blocks, scores by hand, and a planted taste."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from engine import capped_threads
from features.ease import Ease
from features.elsa import FACTORS, Elsa, item_vectors_of, loss_and_slope, unit_length, unit_rows
from features.toolkit import opinions
from tests.features.planted_tastes import assert_alone_and_unseen, feed, recovers, transformed


def test_the_gradient_is_that_of_the_loss_over_all_items() -> None:
    rng = np.random.default_rng(1)
    x = unit_rows(csr_matrix(rng.normal(size=(9, 6)) * (rng.random((9, 6)) < 0.7)))
    vectors = unit_length(rng.normal(size=(6, 4)).astype(np.float32))
    loss, slope = loss_and_slope(x, vectors)
    a = torch.tensor(vectors, dtype=torch.float64, requires_grad=True)
    dense = torch.tensor(x.toarray(), dtype=torch.float64)
    said = dense @ (a @ a.T) - dense
    by_hand = ((said / said.norm(dim=1, keepdim=True) - dense) ** 2).sum(dim=1).mean()
    by_hand.backward()
    assert a.grad is not None
    assert loss == pytest.approx(by_hand.item(), rel=1e-6)
    np.testing.assert_allclose(slope, a.grad.numpy(), atol=1e-6)


def test_items_that_go_together_get_one_direction_and_the_others_a_right_angle() -> None:
    """Users of one block see all of it and nothing else: the loss is 0 where A A' is even within blocks, 0 between."""
    block = np.arange(12) // 4
    cells = (block[:, None] == block).astype(float)
    vectors = item_vectors_of(csr_matrix(np.repeat(cells, 40, axis=0)))
    assert vectors.shape == (12, FACTORS)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert loss_and_slope(unit_rows(csr_matrix(cells)), vectors)[0] < 1e-3
    cosines = vectors @ vectors.T
    assert cosines[cells == 1].min() > 0.6
    assert np.abs(cosines[cells == 0]).max() < 0.1


@pytest.mark.parametrize("signal", ["like", "watch"])
def test_scores_are_rows_times_weights_without_a_diagonal(signal: str) -> None:
    planted, model = feed(), Elsa(signal)
    pairs = planted.pairs()
    values = transformed(model, planted.log, pairs)
    seen = opinions(planted.log.lazy(), signal, "item_id")
    x, a = seen.cells.toarray(), model.items.vectors[:-1]
    if signal == "like":
        assert set(np.unique(x)) == {0.0, 1.0}
    known = pairs["user_id"].is_in(seen.users.implode()) & pairs["item_id"].is_in(seen.entities.implode())
    some = pairs.filter(known)
    user, item = seen.users.search_sorted(some["user_id"]), seen.entities.search_sorted(some["item_id"])
    score = (x @ (a @ a.T - np.eye(len(a))))[user, item]
    np.testing.assert_allclose(values.filter(known)["elsa_score"], score, rtol=1e-4, atol=1e-5)
    cosine = score / np.linalg.norm(x @ a, axis=1)[user]
    np.testing.assert_allclose(values.filter(known)["elsa_cosine"], cosine, rtol=1e-4, atol=1e-5)
    assert values.filter(~known)["elsa_score"].null_count() == values.filter(~known).height


@pytest.mark.parametrize("signal", ["like", "rating", "watch"])
def test_a_planted_taste_is_found_as_by_ease(signal: str) -> None:
    planted = feed()
    pairs = planted.pairs()
    found = recovers(transformed(Elsa(signal), planted.log, pairs), "elsa_score", planted)
    ease = recovers(transformed(Ease("item_id", signal), planted.log, pairs), "ease_score", planted)
    assert found > 0.9
    assert found > ease - 0.05


def test_alone_unseen_and_little() -> None:
    assert_alone_and_unseen(Elsa("watch"), feed(), ["elsa_score"])


def test_neither_threads_nor_another_fit_before_change_a_bit() -> None:
    rng = np.random.default_rng(2)
    log = feed().log
    pairs = feed().pairs()
    found = []
    for threads in (1, 2):
        with capped_threads(threads):
            found.append(transformed(Elsa("rating"), log, pairs))
        rng.random(3)
    assert found[0].equals(found[1])
