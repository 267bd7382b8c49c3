"""Sums are exact in any order, or refused."""

from __future__ import annotations

import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from competitions import Dataset
from features import (
    Aggregate,
    FeatureError,
    Log,
    Registry,
    Window,
    aggregate,
    bind_catalogue,
    compute_window,
    smallest,
    std,
    total,
)
from tests.features.oracle import GRID, HOUR, on_grid
from tests.features.small_logs import computed_column, log_of, one_column, pairs_of, plays, with_log


def test_large_addends_that_cancel_leave_the_small_one_in_any_order(timed: Dataset) -> None:
    catalogue = one_column(timed, lambda log: total(log.value), dtype=pl.Float64)
    terms = [8e9, 8e9, 0.25, -8e9, -8e9]
    results = {computed_column(catalogue, plays(xs)).item() for xs in (terms, terms[::-1], sorted(terms))}
    assert results == {0.25}


def test_order_dependent_float_sums_are_made_exact(timed: Dataset) -> None:
    """0.1 + 0.2 + 0.3 differs from 0.3 + 0.2 + 0.1 in floating point: on the grid it does not."""
    catalogue = one_column(timed, lambda log: total(log.value), dtype=pl.Float64)
    a, b = (computed_column(catalogue, plays(xs)).item() for xs in ([0.1, 0.2, 0.3], [0.3, 0.2, 0.1]))
    assert a == b == (on_grid(0.1) + on_grid(0.2) + on_grid(0.3)) * GRID


@pytest.mark.parametrize("terms", [[8e9, 8e9], [5e12], [1e300], [math.nan, 1.0], [math.inf]])
def test_sums_beyond_the_exact_range_are_refused(timed: Dataset, terms: list[float]) -> None:
    catalogue = one_column(timed, lambda log: total(log.value))
    with pytest.raises(FeatureError, match="value_of__user_id") as refused:
        computed_column(catalogue, plays(terms))
    assert "finite" in str(refused.value)
    assert "divide the column by a constant" in str(refused.value)


def test_integer_sums_beyond_2_to_53_are_refused(timed: Dataset) -> None:
    catalogue = one_column(timed, lambda log: total(log.stars * 2**52))
    with pytest.raises(FeatureError, match=r"beyond 9\.01e"):
        computed_column(catalogue, plays([0.0]))


@pytest.mark.parametrize("terms", [[0.0, 1e9], [2.0**41, -(2.0**41)] * 3])
def test_squares_beyond_the_exact_range_are_refused(timed: Dataset, terms: list[float]) -> None:
    catalogue = one_column(timed, lambda log: std(log.value))
    with pytest.raises(FeatureError, match=r"value_of__user_id.*(beyond|finite)"):
        computed_column(catalogue, plays(terms))


def test_std_of_near_values_far_from_the_first_keeps_its_digits(timed: Dataset) -> None:
    """Squares of deviations of 1e5, rounded as floats, would hide a spread of 1e-3."""
    catalogue = one_column(timed, lambda log: std(log.value.filter(log.value > 0)))
    spread = computed_column(catalogue, plays([-1e5, 1.0, 1.001])).item()
    assert spread == pytest.approx(0.001 / math.sqrt(2), rel=2e-3)


@settings(deadline=None, max_examples=12)
@given(
    values=st.lists(st.integers(-(2**20), 2**20), min_size=2, max_size=6),
    scale=st.sampled_from([2.0**-20, 2.0**-8, 1.0, 2.0**7]),
)
def test_std_is_that_of_exact_integers_however_large(timed: Dataset, values: list[int], scale: float) -> None:
    """Small spreads are computed in 64 bits and large ones in 128: no digit may tell which."""
    catalogue = one_column(timed, lambda log: std(log.value), dtype=pl.Float64)
    steps = [round(value * scale / GRID) for value in values]
    n, squares = len(steps), sum(step**2 for step in steps)
    expected = math.sqrt(float(n * squares - sum(steps) ** 2) / (n * (n - 1))) * GRID
    assert computed_column(catalogue, plays([value * scale for value in values])).item() == expected


def test_std_of_large_near_values_does_not_cancel(timed: Dataset) -> None:
    """The naive sum of squares of instants near 1.7e9 gives 0."""
    catalogue = one_column(timed, lambda log: std(log.value + 1.7e9))
    assert computed_column(catalogue, plays([1.0, 2.0, 3.0])).item() == 1.0


def test_infinite_constants_are_told_apart(timed: Dataset) -> None:
    """Both would share one state if it were named by JSON, which has no infinities."""
    registry = Registry()

    @aggregate(keys=["user_id"], registry=registry)
    def low(log: Log) -> Aggregate:
        """Smallest value, null as minus infinity."""
        return smallest(log.value.fill_null(-math.inf))

    @aggregate(keys=["user_id"], registry=registry)
    def high(log: Log) -> Aggregate:
        """Smallest value, null as infinity."""
        return smallest(log.value.fill_null(math.inf))

    catalogue = bind_catalogue(timed, registry)
    log = log_of(plays([1.0, None]), timed, range(2))
    frame = compute_window(
        with_log(catalogue, log),
        Window(HOUR, HOUR, 2 * HOUR),
        list(catalogue.columns),
        pairs_of(timed, [(1, "tv")]),
    )
    assert frame.select("low__user_id", "high__user_id").row(0) == (None, 1.0)  # what is not finite is null
