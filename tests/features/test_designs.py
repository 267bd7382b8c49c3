"""Attributes as numbers: every dtype and whatever is missing; and regressions on them against ridges by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest

from features.toolkit import Design, Regression

NAN, INF = float("nan"), float("inf")
MOST_LEVELS, N_BINS = 64, 6
VECTOR = pl.Array(pl.Float32, 2)


def table(values: Sequence[object], dtype: Any) -> pl.DataFrame:
    return pl.DataFrame({"x": pl.Series("x", values, dtype=dtype)})


def design(values: Sequence[object], dtype: Any, shown: Sequence[object] | None = None) -> list[list[float]]:
    """Learn a design from values; give the rows of those shown, or else of the same."""
    learned = Design(table(values, dtype), ["x"])
    found = learned.of(table(values if shown is None else shown, dtype))
    assert found.dtype == np.float32
    assert found.shape[1] == learned.width
    rows: list[list[float]] = found.tolist()
    return rows


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (pl.String, ["b", "a", None, "a"]),
        (pl.Enum(["b", "c", "a"]), ["b", "a", None, "a"]),
        (pl.Categorical, ["b", "a", None, "a"]),
    ],
)
def test_texts_have_a_column_a_level(dtype: Any, values: list[str | None]) -> None:
    assert design(values, dtype) == [[0, 1], [1, 0], [0, 0], [1, 0]]


def test_levels_that_were_not_learned_are_zeros() -> None:
    assert design(["b", "a"], pl.String, ["c", "b"]) == [[0, 0], [0, 1]]
    assert design([True, None], pl.Boolean, [False, True]) == [[0], [1]]
    assert design([[True], [False, True]], pl.List(pl.Boolean)) == [[0, 1], [1, 1]]


def test_lists_have_all_their_levels() -> None:
    dtype = pl.List(pl.Enum(["x", "y", "z"]))
    values = [["x", "y"], [], None, ["y", None, "y"]]
    assert design(values, dtype) == [[1, 1], [0, 0], [0, 0], [0, 1]]
    assert design(values, dtype, [["z"], ["z", "x"]]) == [[0, 0], [1, 0]]


def test_only_the_most_frequent_levels_are_read() -> None:
    values = [f"{n:03}" for n in range(MOST_LEVELS + 5)] * 2 + ["068"]
    found = Design(table(values, pl.String), ["x"])
    assert found.width == MOST_LEVELS
    assert found.of(table(["068", "000", "067"], pl.String)).sum(axis=1).tolist() == [1, 1, 0]


@pytest.mark.parametrize("dtype", [pl.UInt8, pl.Int64, pl.Float32, pl.Decimal(9, 2)])
def test_numbers_are_cut_at_quantiles(dtype: Any) -> None:
    found = np.array(design(list(range(60)), dtype))
    assert found.shape == (60, N_BINS)
    assert (found.sum(axis=0) == 60 / N_BINS).all()
    assert (found.sum(axis=1) == 1).all()
    assert np.diff(found.argmax(axis=1)).astype(bool).sum() == N_BINS - 1  # neighbours stay together


@pytest.mark.parametrize(
    ("values", "shown", "expected"),
    [
        ([0, 0, 0, 0, 0, 9], [0, 9, -3, 5], [[1, 0], [0, 1], [1, 0], [0, 1]]),  # ties
        ([4, 4], [4, 5, None], [[1], [0], [0]]),  # a constant
        ([None, NAN], [4, None], [[], []]),
        ([INF, -INF, NAN, None], [INF, 1.0], [[], []]),
        ([1.0, 2.0, INF, NAN], [INF, -INF, NAN, 1.0, 2.0], [[0, 0]] * 3 + [[1, 0], [0, 1]]),
    ],
)
def test_numbers_with_ties_and_without_numbers(
    values: list[float | None], shown: list[float | None], expected: list[list[float]]
) -> None:
    assert design(values, pl.Float64, shown) == expected


def test_vectors_are_of_one_spread_and_zero_where_unknown() -> None:
    values = [[3.0, -3.0], [3.0, -3.0], None, [NAN, 1.0], [INF, 1.0]]
    known = np.array([3, -3, 3, -3, 1, 1])
    side = 3 / known.std(ddof=1)
    np.testing.assert_allclose(design(values, VECTOR), [[side, -side]] * 2 + [[0, 0]] * 3, rtol=1e-6)
    assert design([None, None], VECTOR, [None, [2.0, 4.0]]) == [[0, 0], [2, 4]]
    assert design([[5.0, 5.0]], VECTOR) == [[5, 5]]


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (pl.Datetime, None),
        (pl.List(pl.Int64), [1]),
        (pl.Array(pl.String, 1), ["a"]),
        (pl.Array(pl.Float32, (1, 1)), [[1.0]]),
        (pl.Struct({"a": pl.Int8}), {"a": 1}),
        (pl.Null, None),
    ],
)
def test_what_it_cannot_read_is_left_out(dtype: Any, value: object) -> None:
    assert design([value, value], dtype) == [[], []]


@pytest.mark.parametrize("dtype", [pl.String, pl.UInt8, pl.Boolean, pl.List(pl.String), VECTOR])
def test_empty_tables(dtype: Any) -> None:
    shown = table([None], dtype)
    found = Design(table([], dtype), ["x"]).of(shown)
    assert found.tolist() == [[0.0] * found.shape[1]]
    assert Design(shown, ["x"]).of(table([], dtype)).shape[0] == 0
    assert Design(shown, []).of(shown).shape == (1, 0)


def test_crossed_columns_have_a_column_a_pair_of_levels() -> None:
    people = pl.DataFrame(
        {"a": ["x", "x", "y", None], "b": [True, False, True, True], "c": [[1], [2], [3], [4]]}
    )
    found = Design(people, ["a", "b"], crossed=True).of(people)
    single = Design(people, ["a", "b"]).of(people)
    np.testing.assert_array_equal(found[:, :4], single)
    assert found[:, 4:].tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]]


def regressed(n: int = 300, noise: float = 0.3, n_fits: int = 60) -> tuple[Regression, Any, Any, Any]:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(n, 4)).astype(np.float32)
    slopes = np.array([[1.0, 0.0], [-2.0, 0.0], [0.5, 0.0], [0.0, 0.0]])
    y = (x @ slopes + noise * rng.normal(size=(n, 2))).astype(np.float32)
    found = Regression([x.shape[1]], 2)
    for _ in range(n_fits):
        fitted = found.fit(x, y, np.full(2, noise**2, np.float32))
    return found, x, y, fitted


def test_a_regression_is_the_ridge_that_its_evidence_says() -> None:
    noise = 0.3
    found, x, y, fitted = regressed(noise=noise)
    wide = x.astype(np.float64)
    for target in range(2):
        # At a fixed point the pull is noise over the expected square of a coefficient, and they are the ridge of it.
        solved = found.coefficients[:, target]
        for_pull = wide.T @ (y[:, target] - wide @ solved)
        pull = float(for_pull @ solved / (solved @ solved))
        ridge = np.linalg.solve(wide.T @ wide + pull * np.eye(4), wide.T @ y[:, target])
        np.testing.assert_allclose(solved, ridge, atol=1e-4)
        spread = (ridge**2).mean() + noise**2 * np.trace(np.linalg.inv(wide.T @ wide + pull * np.eye(4))) / 4
        assert pull == pytest.approx(noise**2 / spread, rel=0.02)
    np.testing.assert_allclose(found.coefficients[:, 0], [1, -2, 0.5, 0], atol=0.06)
    assert np.abs(found.coefficients[:, 1]).max() < 0.01  # a target that has nothing to do with them
    np.testing.assert_allclose(fitted, found.of(x), atol=1e-5)


def test_a_row_alone_is_predicted_as_in_bulk() -> None:
    found, x, *_ = regressed(n_fits=2)
    many = np.vstack([x] * 15)  # more than are predicted at a time
    bulk = found.of(many)
    for row in (0, 1, 299, 1999, 2000, len(many) - 1):
        np.testing.assert_array_equal(found.of(many[row : row + 1]), bulk[row : row + 1])
    assert found.of(x[:0]).shape == (0, 2)


def test_a_turned_regression_predicts_turned_targets() -> None:
    found, x, *_ = regressed(n_fits=2)
    before, matrix = found.of(x), np.array([[0.5, 2.0], [-1.0, 3.0]])
    found.turn(matrix)
    np.testing.assert_allclose(found.of(x), before @ matrix.T, atol=1e-5)


@pytest.mark.parametrize("x", [np.zeros((5, 0)), np.zeros((5, 3))])
def test_nothing_to_read_predicts_nothing(x: Any) -> None:
    design = x.astype(np.float32)
    found = Regression([x.shape[1]], 2)
    assert not found.fit(design, np.ones((5, 2), np.float32), np.ones(2, np.float32)).any()
    assert found.of(design).tolist() == [[0.0, 0.0]] * 5


def test_a_block_that_says_nothing_is_pulled_to_nothing() -> None:
    """Each block has a pull of its own: beside a block of noise the other is found as if it were alone."""
    alone, x, y, _ = regressed()
    noise = np.random.default_rng(6).normal(size=(len(x), 30)).astype(np.float32)
    both, shared = Regression([4, 30, 0], 2), Regression([34], 2)
    for _ in range(60):
        for found in (both, shared):
            found.fit(np.hstack([x, noise]), y, np.full(2, 0.09, np.float32))
    np.testing.assert_allclose(both.coefficients[:4], alone.coefficients, atol=0.02)
    assert np.abs(both.coefficients[4:]).max() < np.abs(shared.coefficients[4:, 0]).max() / 4


def test_one_block_is_solved_as_several_are() -> None:
    """With one block there is one pull a target, and one decomposition serves them all: the same coefficients."""
    _, x, y, _ = regressed(n_fits=1)
    noise = np.full(2, 0.09, np.float32)
    by_blocks = Regression([4, 1], 2)  # the second holds nothing, but is there
    as_one = Regression([4], 2)
    for _ in range(5):
        as_one.fit(x, y, noise)
        by_blocks.fit(np.hstack([x, np.zeros((len(x), 1), np.float32)]), y, noise)
    np.testing.assert_allclose(as_one.coefficients, by_blocks.coefficients[:4], rtol=1e-9)
    np.testing.assert_allclose(as_one.pull[0], by_blocks.pull[0], rtol=1e-9)
