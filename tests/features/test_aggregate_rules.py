"""Dtypes of aggregates, what each clock has, and what aggregates refuse."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from competitions import ClockKind, Dataset
from features import (
    Aggregate,
    FeatureError,
    Log,
    Registry,
    Window,
    aggregate,
    bind_catalogue,
    compute_window,
    count,
    decayed,
    last_n,
    smoothed,
    table,
)
from tests.features.oracle import CASES, HOUR
from tests.features.planting import one_aggregate
from tests.features.small_logs import PAIRS, log_of, one_column, pairs_of, plays, registry_of, with_log


def test_dtypes_follow_from_what_is_aggregated(timed: Dataset) -> None:
    catalogue = bind_catalogue(timed, registry_of(CASES))
    dtypes = {name: catalogue.columns[f"{name}__user_id"].dtype for name in CASES}
    schema = timed.history_schema
    assert dtypes["n_rows"] == dtypes["n_liked"] == pl.UInt32
    assert dtypes["largest_stars"] == pl.UInt8
    assert dtypes["last_device"] == schema["device"]
    assert dtypes["last_at"] == pl.Datetime("us")
    assert dtypes["total_stars"] == dtypes["change"] == dtypes["hundredfold"] == pl.Int64
    assert dtypes["mean_value"] == dtypes["std_value"] == dtypes["share"] == pl.Float32
    assert dtypes["n_devices"] == pl.UInt32


def test_only_numbers_booleans_and_enums_are_offered_to_models(timed: Dataset) -> None:
    catalogue = bind_catalogue(timed, registry_of(CASES))
    shown = {name: catalogue.columns[f"{name}__user_id"].is_model_input for name in CASES}
    assert shown["last_device"]
    assert shown["n_rows"]
    assert not shown["last_at"]


@pytest.mark.parametrize("kind", ["row", "per_user"])
def test_lookbacks_in_horizons_and_rows_work_on_any_clock(
    small: Callable[[ClockKind], Dataset], kind: ClockKind
) -> None:
    """The clock is only a number: with one hour as one step, values are those of the time clock."""
    cases = {n: c for n, c in CASES.items() if not n.startswith("decayed_value")}
    catalogue = bind_catalogue(small(kind), registry_of(cases))
    timed = bind_catalogue(small("time"), registry_of(cases))
    rows = [{**r, "row": i, "clock": i // 2 * HOUR} for i, r in enumerate(plays([1.5, -2.0, None, 4.0, 8.0]))]
    steps = [{**r, "clock": r["clock"] // HOUR} for r in rows]
    names = [name for name in timed.columns if not name.endswith("3h")]
    pairs = pairs_of(small("time"), PAIRS)
    by_step = compute_window(
        with_log(catalogue, log_of(steps, small(kind), range(5))), Window(2, 2, 3), names, pairs
    )
    by_hour = compute_window(
        with_log(timed, log_of(rows, small("time"), range(5))),
        Window(2 * HOUR, 2 * HOUR, 3 * HOUR),
        names,
        pairs,
    )
    assert by_step.equals(by_hour)
    assert set(catalogue.unavailable) == {name for name in timed.columns if name.endswith("3h")}
    assert "needs a time clock" in catalogue.unavailable["n_rows__user_id__3h"]


def test_half_life_in_days_needs_a_time_clock(small: Callable[[ClockKind], Dataset]) -> None:
    """On another clock its microseconds would be taken for rows or steps."""
    catalogue = one_column(small("row"), lambda log: decayed(log.value, "7d"))
    assert not catalogue.columns
    assert "time clock" in catalogue.unavailable["value_of__user_id"]
    assert one_column(small("row"), lambda log: decayed(log.value, 500.0)).columns


@pytest.mark.parametrize("half_life", [0, -1.0, math.inf, last_n(3), "7 days"])
def test_what_is_no_half_life_is_refused(timed: Dataset, half_life: Any) -> None:
    with pytest.raises(FeatureError, match=r"half-life|not a lookback"):
        one_column(timed, lambda log: decayed(log.value, half_life))


@pytest.mark.parametrize("strength", [-1, math.inf, math.nan])
def test_what_is_no_strength_is_refused(timed: Dataset, strength: float) -> None:
    with pytest.raises(FeatureError, match=r"'value_of' \(test_aggregate_rules.py:[0-9]+\): smoothed"):
        one_column(timed, lambda log: smoothed(log.value, strength=strength))


def test_decayed_refuses_a_filtered_column(timed: Dataset) -> None:
    """Its values would be paired with the ages of other rows."""
    with pytest.raises(FeatureError, match="where="):
        one_column(timed, lambda log: decayed(log.value.filter(log.like), "1d"))


def test_map_refuses_what_looks_at_other_keys(timed: Dataset) -> None:
    for change in (lambda n: n.rank(), lambda n: n - n.mean(), lambda n: n + pl.col("age")):
        with pytest.raises(FeatureError, match="more than its own value"):
            one_column(timed, lambda log, change=change: count().map(change))  # type: ignore[misc]


@pytest.mark.parametrize("value", ["7", "d7", "0d", "1y", "-1d", ""])
def test_what_is_no_lookback_is_refused(value: str) -> None:
    with pytest.raises(FeatureError, match="lookback"):
        aggregate(keys=["user_id"], lookbacks=[value], registry=Registry())


@pytest.mark.parametrize(
    "where", [lambda log: log.value, lambda log: log.stars.sum(), lambda log: log.device]
)
def test_with_a_where_that_is_no_condition_it_is_not_available(timed: Dataset, where: Any) -> None:
    registry = Registry()

    @aggregate(keys=["user_id"], where=where, registry=registry)
    def n_rows(log: Log) -> Aggregate:
        """Planted by a test."""
        return count()

    catalogue = bind_catalogue(timed, registry)
    assert not catalogue.columns
    [reason] = catalogue.unavailable.values()
    assert re.search(r"its where= gives (Float|Int|Enum|String)", reason)


@pytest.mark.parametrize(
    "where", [True, 3, "like", pl.col("like"), lambda: True, lambda log, window: log.like]
)
def test_a_where_that_cannot_be_asked_is_refused_by_the_decorator(where: Any) -> None:
    with pytest.raises(FeatureError, match=r"has the where=.*\n?.*a function of the log"):
        one_aggregate(lambda log: count(), where=where)


def test_a_body_of_other_parameters_is_refused_by_the_decorator() -> None:
    with pytest.raises(FeatureError, match=r"has the parameters \(log: .*\n?.*a function of the log"):
        aggregate(keys=["user_id"], registry=Registry())(two_parameters)
    with pytest.raises(FeatureError, match=r"has the parameters \(log: .*\n?.*a function of the history and"):
        table(key="user_id", columns={"x": pl.Int8}, registry=Registry())(one_parameter)


def two_parameters(log: Log, window: object) -> Aggregate:
    """Planted by a test."""
    return count()


def one_parameter(log: Log) -> Aggregate:
    """Planted by a test."""
    return count()
