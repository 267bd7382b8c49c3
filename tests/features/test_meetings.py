"""Vectors of items by who met them: against a singular value decomposition by hand, and on planted circles."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from features.toolkit import FACTORS, Factorisation, met_vectors

WIDTH = 4


def meetings(n_users: int = 60, n_items: int = 40, n_rows: int = 900) -> tuple[Any, Any, tuple[int, int]]:
    """Users meet items of their own of three circles four times in five."""
    rng = np.random.default_rng(3)
    user, item = rng.integers(0, n_users, n_rows), rng.integers(0, n_items, n_rows)
    own = 3 * (item // 3) + user % 3
    item = np.where(rng.random(n_rows) < 0.8, np.minimum(own, n_items - 1), item)
    return user, item, (n_users, n_items)


def by_hand(user: Any, item: Any, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    table = np.zeros(shape)
    table[user, item] = 1
    scaled = table / np.sqrt(table.sum(1) + 5)[:, None] / np.sqrt(table.sum(0) + 5)
    vectors = np.linalg.svd(scaled)[2][1 : WIDTH + 1].T
    return np.asarray(vectors / np.sqrt((vectors**2).mean(axis=0)))


def test_they_are_singular_vectors_of_the_scaled_table() -> None:
    user, item, shape = meetings()
    found, expected = met_vectors(user, item, shape, WIDTH), by_hand(user, item, shape)
    assert found.dtype == np.float32
    strongest = np.abs((found[:, :2] * expected[:, :2]).mean(axis=0))  # signs are free
    np.testing.assert_allclose(strongest, 1, atol=1e-3)
    np.testing.assert_allclose((found**2).mean(axis=0), 1, rtol=1e-4)


def test_meeting_again_counts_nothing_and_rows_may_come_in_any_order() -> None:
    user, item, shape = meetings()
    found, order = met_vectors(user, item, shape, WIDTH), np.random.default_rng(1).permutation(2 * len(user))
    again = met_vectors(np.tile(user, 2)[order], np.tile(item, 2)[order], shape, WIDTH)
    np.testing.assert_array_equal(found, again)


@pytest.mark.parametrize(("n_users", "n_items"), [(1, 1), (1, 5), (5, 1), (2, 9), (9, 2)])
def test_a_small_table_has_fewer_columns(n_users: int, n_items: int) -> None:
    user, item = (at.ravel() for at in np.indices((n_users, n_items)))
    found = met_vectors(user, item, (n_users, n_items), WIDTH)
    assert found.shape == (n_items, WIDTH)
    assert np.isfinite(found).all()
    assert not found[:, min(n_users, n_items) - 1 :].any()


def test_what_an_item_is_like_is_known_from_who_met_it() -> None:
    """Most users meet many items of their circle and say little; who met an item with two rows tells its circle."""
    rng, (user, item, shape) = np.random.default_rng(4), meetings(300, 60, 12_000)
    liking = rng.normal(size=(shape[0], 3))
    circle = np.arange(shape[1]) % 3
    truth = liking[:, circle]
    y = (truth[user, item] + 0.5 * rng.normal(size=len(user))).astype(np.float32)
    heard = (item % 10 > 0) | (rng.random(len(user)) < 0.02)  # of every tenth item few rows are heard of
    nothing, met = np.zeros((shape[1], FACTORS), np.float32), met_vectors(user, item, shape, FACTORS)
    agrees = []
    for known in (nothing, met):
        designs = np.zeros((shape[0], 0), np.float32), np.zeros((1, FACTORS), np.float32), known
        of_user, of_item, step = (at[heard].astype(np.int32) for at in (user, item, 0 * item))
        source_of = np.zeros(shape[1], np.intp)
        model = Factorisation(of_user, of_item, step, y[heard], source_of, designs, n_apart=FACTORS)
        for _ in range(10):
            model.sweep()
        score = model.users.mean[:, :FACTORS] @ model.items.mean[::10, :FACTORS].T
        agrees.append(np.corrcoef(score.ravel(), truth[:, ::10].ravel())[0, 1])
    assert agrees[1] > agrees[0] + 0.1, agrees
