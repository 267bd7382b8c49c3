"""Truncated SVD: against NumPy, against a planted taste, and with nothing to learn from."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_matrix

from features.svd import FACTORS, PULL, ItemSvd, SourceSvd, user_vectors
from features.toolkit import certainty_weighted, residuals, ridge
from tests.features.planted_tastes import assert_alone_and_unseen, feed, recovers, transformed

SOURCE_COLUMNS = ["svd_source_score", "svd_source_cosine", "svd_item_score", "svd_item_cosine"]


def test_user_vectors_are_those_of_numpy() -> None:
    rng = np.random.default_rng(2)
    # Of rank 5, so that the randomised solver has nothing to be wrong about.
    dense = rng.normal(size=(40, 5)) @ rng.normal(size=(5, 30)) * (rng.random((40, 30)) < 2)
    count = np.ones((40, 30))
    found = user_vectors(csr_matrix(dense), csr_matrix(count))
    weighed = dense / np.sqrt(2) / np.sqrt(count.sum(1) + 20)[:, None] / np.sqrt(count.sum(0) + 50)
    np.testing.assert_allclose(
        certainty_weighted(csr_matrix(dense), csr_matrix(count)).toarray(), weighed, atol=1e-12
    )
    left, singular, _ = np.linalg.svd(weighed, full_matrices=False)
    expected = left[:, :FACTORS] * singular[:FACTORS]
    expected /= np.sqrt((expected**2).mean())
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-8)  # signs are free


def test_vectors_are_ridge_regressions_drawn_to_a_vector() -> None:
    rng = np.random.default_rng(3)
    rows, columns, values = rng.integers(0, 7, 90), rng.integers(0, 9, 90), rng.normal(size=90)
    users, towards = rng.normal(size=(9, 4)), rng.normal(size=(8, 4))
    total, count = (csr_matrix((of, (rows, columns)), shape=(8, 9)) for of in (values, np.ones(90)))
    solved = ridge(total, count, users, PULL, towards)
    for key in range(8):
        x, y = users[columns[rows == key]], values[rows == key]
        expected = np.linalg.solve(x.T @ x + PULL * np.eye(4), x.T @ y + PULL * towards[key])
        np.testing.assert_allclose(solved[key], expected, atol=1e-10)


def test_residuals_leave_no_level_of_users_items_or_durations() -> None:
    planted = feed()
    rng = np.random.default_rng(4)
    log = planted.log.with_columns(
        pl.Series("duration", rng.choice([10, 60], planted.log.height)).cast(pl.UInt16)
    )
    seen = residuals(log.lazy(), "watch", "source_id")
    for of in (seen.user, seen.item, (log["duration"] == 60).to_numpy().astype(int)):
        means = np.bincount(of, seen.rest) / np.bincount(of)
        assert np.abs(means).max() < 0.1
    assert seen.entities.gather(seen.entity_of_item).to_list() == [i % 12 for i in range(40)]


@pytest.mark.parametrize("signal", ["watch", "approval"])
def test_sources_and_items_follow_a_planted_taste(signal: str) -> None:
    planted = feed()
    values = transformed(SourceSvd(signal), planted.log, planted.pairs())
    for column in SOURCE_COLUMNS:
        assert recovers(values, column, planted) > 0.97
    assert (values["svd_source_cosine"].drop_nulls().abs() <= 1 + 1e-6).all()


def test_an_unseen_item_is_its_source() -> None:
    planted = feed()
    pairs = planted.pairs().with_columns(pl.lit(5).cast(pl.UInt32).alias("source_id"))
    values = transformed(SourceSvd("watch"), planted.log, pairs)
    unseen = values.filter((pairs["item_id"] == 9999) & (pairs["user_id"] < 999))
    assert unseen["svd_item_score"].equals(unseen["svd_source_score"], check_names=False)
    assert unseen["svd_item_score"].null_count() == 0


def test_items_follow_a_planted_taste() -> None:
    planted = feed()
    values = transformed(ItemSvd("rating"), planted.log, planted.pairs())
    assert recovers(values, "svd_score", planted) > 0.95


@pytest.mark.parametrize(
    ("model", "columns"),
    [
        (SourceSvd("watch"), SOURCE_COLUMNS),
        (SourceSvd("approval"), SOURCE_COLUMNS),
        (ItemSvd("rating"), ["svd_score", "svd_cosine"]),
    ],
)
def test_alone_unseen_and_little(model: Any, columns: list[str]) -> None:
    assert_alone_and_unseen(model, feed(), columns)


def test_rows_beyond_the_bound_are_left_out() -> None:
    log = feed().log
    newest = residuals(log.tail(900).lazy(), "watch", "source_id")
    np.testing.assert_array_equal(residuals(log.lazy(), "watch", "source_id", most=900).rest, newest.rest)
