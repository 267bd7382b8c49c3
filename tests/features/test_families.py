"""What the fitted families compute: against brute force, and with nothing to learn from."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from competitions import Dataset
from features import Catalogue, Window, compute_window
from features import factors as factorisation
from features.neighbours import SHRINK, similarities
from validation import window_pairs


def test_ridge_solves_each_key_by_itself() -> None:
    rng = np.random.default_rng(3)
    rows, columns = rng.integers(0, 7, 60), rng.integers(0, 5, 60)
    other, target = rng.normal(size=(5, 3)), rng.normal(size=60)
    solved = factorisation.ridge(rows, columns, other, target, 9)
    for key in range(9):
        mine = rows == key
        x, weight = other[columns[mine]], factorisation.RIDGE + factorisation.RIDGE_PER_ROW * mine.sum()
        expected = np.linalg.solve(x.T @ x + weight * np.eye(3), x.T @ target[mine])
        np.testing.assert_allclose(solved[key], expected, atol=1e-12)


def test_ridge_in_chunks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    rows, columns = rng.integers(0, 7, 60), rng.integers(0, 5, 60)
    other, target = rng.normal(size=(5, 3)), rng.normal(size=60)
    whole = factorisation.ridge(rows, columns, other, target, 7)
    monkeypatch.setattr(factorisation, "CHUNK_CELLS", 9 * 12)
    np.testing.assert_array_equal(factorisation.ridge(rows, columns, other, target, 7), whole)


def test_offsets_are_those_of_a_plain_loop() -> None:
    history = pl.LazyFrame(
        {
            "user_id": [1, 1, 2],
            "item_id": [5, 6, 5],
            "rating": [5.0, 3.0, 1.0],
            "clock": [0, 1, 2],
            "row": [0, 1, 2],
        }
    )
    seen = factorisation.opinions(history, "rating", strength=1.0)
    user, item = dict.fromkeys((1, 2), 0.0), dict.fromkeys((5, 6), 0.0)
    rows = [(1, 5, 2.0), (1, 6, 0.0), (2, 5, -2.0)]  # less the mean of 3
    for _ in range(5):
        item = {
            i: sum(v - user[u] for u, j, v in rows if j == i) / (sum(j == i for _, j, _ in rows) + 1)
            for i in item
        }
        user = {
            u: sum(v - item[i] for w, i, v in rows if w == u) / (sum(w == u for w, _, _ in rows) + 1)
            for u in user
        }
    np.testing.assert_allclose(seen.item_offset, [item[5], item[6], 0.0], atol=1e-12)
    np.testing.assert_allclose(seen.rest, [v - user[u] - item[i] for u, i, v in rows], atol=1e-12)


def test_similarities_are_shrunken_correlations() -> None:
    from scipy.sparse import csr_matrix

    rng = np.random.default_rng(5)
    shown = (rng.random((30, 8)) < 0.6).astype(float)
    rest = rng.normal(size=(30, 8)) * shown
    near = similarities(csr_matrix(rest), csr_matrix(shown)).toarray()
    for i in range(8):
        for j in range(8):
            both = (shown[:, i] * shown[:, j]).astype(bool)
            a, b = rest[both, i], rest[both, j]
            correlation = a @ b / np.sqrt(a @ a * (b @ b)) if both.any() else 0.0
            expected = 0.0 if i == j else max(correlation, 0.0) * both.sum() / (both.sum() + SHRINK)
            assert near[i, j] == pytest.approx(expected, abs=1e-12)


def test_every_feature_stands_an_empty_history(movielens_catalogue: Catalogue, movielens: Dataset) -> None:
    before_all = Window(cutoff=0, start=1, until=2)
    pairs = window_pairs(movielens, before_all).head(50)
    values = compute_window(movielens_catalogue, before_all, list(movielens_catalogue.columns), pairs)
    assert values.height == 50
    assert values["n_exposures__user_id"].to_list() == [0] * 50
    assert values["mf_score__rating"].null_count() == 50
    assert values["als_score__like"].null_count() == 50


def test_every_feature_stands_no_pairs(movielens_catalogue: Catalogue, movielens: Dataset) -> None:
    window = Window(cutoff=2, start=2, until=3)
    pairs = window_pairs(movielens, window).head(0)
    values = compute_window(movielens_catalogue, window, list(movielens_catalogue.columns), pairs)
    assert values.shape == (0, len(movielens_catalogue.columns) + 1)
