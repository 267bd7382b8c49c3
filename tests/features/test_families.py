"""What the fitted families compute: against brute force, and with nothing to learn from."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from competitions import Dataset
from features import Catalogue, Window, compute_window
from features.factors import RIDGE, RIDGE_PER_ROW, step
from features.neighbours import SHRINK, feasible_users, similarities
from features.toolkit import chunks, residuals, signal_matrix
from validation import window_pairs


def test_factors_of_a_side_are_ridge_regressions() -> None:
    rng = np.random.default_rng(3)
    rows, columns = rng.integers(0, 7, 60), rng.integers(0, 5, 60)  # some cells are of several rows
    other, target = rng.normal(size=(5, 3)), rng.normal(size=60)
    targets, counts = (csr_matrix((of, (rows, columns)), shape=(9, 5)) for of in (target, np.ones(60)))
    solved = step(targets, counts, other)
    for key in range(9):
        mine = rows == key
        x, weight = other[columns[mine]], RIDGE + RIDGE_PER_ROW * mine.sum()
        expected = np.linalg.solve(x.T @ x + weight * np.eye(3), x.T @ target[mine])
        np.testing.assert_allclose(solved[key], expected, atol=1e-12)


def test_offsets_are_those_of_a_plain_loop() -> None:
    history = pl.LazyFrame({"user_id": [1, 1, 2], "item_id": [5, 6, 5], "rating": [5.0, 3.0, 1.0]})
    seen = residuals(history, "rating", rounds=5, strength=1.0)
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


def log_of(n_users: int, n_items: int, n_rows: int) -> pl.DataFrame:
    """Rows in the order of their clock; some pairs occur twice, and some signals cancel out."""
    rng = np.random.default_rng(6)
    return pl.DataFrame(
        {
            "row": np.arange(n_rows, dtype=np.uint32),
            "clock": np.arange(n_rows),
            "user_id": rng.integers(0, n_users, n_rows).astype(np.uint32) * 7,
            "item_id": rng.integers(0, n_items, n_rows).astype(np.uint32) + 1000,
            "relevance": rng.choice([-1, 0, 0, 1], n_rows).astype(np.int8),
        }
    ).with_columns(pl.when(pl.col("row") % 5 > 0).then(pl.col("relevance")))


@pytest.mark.parametrize("most", [10**6, 500])
def test_the_signal_matrix_is_a_group_by_of_the_newest_rows(most: int) -> None:
    log = log_of(40, 30, 3000)
    found = signal_matrix(log.lazy(), pl.col("relevance").cast(pl.Float32), most=most)
    newest = log.filter(pl.col("relevance") != 0).tail(most)
    cells = newest.group_by("user_id", "item_id").agg(pl.col("relevance").sum().cast(pl.Float32))
    cells = cells.filter(pl.col("relevance") != 0).sort("user_id", "item_id")
    by_hand = found.cells.tocoo()
    table = pl.DataFrame(
        {
            "user_id": found.users.gather(by_hand.row),
            "item_id": found.entities.gather(by_hand.col),
            "relevance": by_hand.data,
        }
    )
    assert table.sort("user_id", "item_id").equals(cells)
    assert set(found.users) == set(cells["user_id"])
    assert set(found.entities) == set(cells["item_id"])


def test_residuals_of_too_long_a_log_are_of_the_newest_rows() -> None:
    log = log_of(40, 30, 3000)
    newest = residuals(log.drop_nulls().tail(700).lazy(), "relevance")
    seen = residuals(log.lazy(), "relevance", most=700)
    np.testing.assert_array_equal(seen.rest, newest.rest)
    np.testing.assert_array_equal(seen.item_offset, newest.item_offset)


def test_similarities_of_too_many_rows_come_from_whole_users() -> None:
    rng = np.random.default_rng(8)
    shown = (rng.random((60, 9)) < 0.5).astype(float)
    rest = rng.normal(size=(60, 9)) * shown
    few = feasible_users(shown.sum(axis=1).astype(int), 500)
    assert 0 < len(few) < 60
    assert (shown[few].sum(axis=1) ** 2).sum() <= 500
    some = similarities(csr_matrix(rest), csr_matrix(shown), max_products=500).toarray()
    np.testing.assert_array_equal(some, similarities(csr_matrix(rest[few]), csr_matrix(shown[few])).toarray())


@given(st.lists(st.integers(1, 9), max_size=20), st.integers(1, 12))
def test_chunks_cover_everything_within_the_bound(counts: list[int], most: int) -> None:
    parts = list(chunks(np.array(counts, dtype=int), most))
    assert [i for part in parts for i in range(part.start, part.stop)] == list(range(len(counts)))
    for part in parts:
        assert sum(counts[part]) <= most or part.stop - part.start == 1


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
