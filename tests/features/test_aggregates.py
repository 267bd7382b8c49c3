"""Aggregates against a brute-force oracle in plain Python, and the laws that make their sums exact."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from statistics import median
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from competitions import ClockKind, Dataset
from features import (
    Aggregate,
    Catalogue,
    FeatureError,
    Log,
    Registry,
    Window,
    aggregate,
    bind_catalogue,
    compute_window,
    count,
    decayed,
    first,
    horizon,
    largest,
    last,
    mean,
    raw,
    smallest,
    smoothed,
    std,
    total,
)

GRID = 2.0**-20
# No shrinking: an example costs 50 ms, and the message names the column and the pair.
SEARCH = settings(deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
HOUR = 3_600_000_000
EPOCH = datetime(1970, 1, 1)

Row = Mapping[str, Any]
Rows = Sequence[Row]


# The oracle: each function takes the rows of the key, in the order of (clock, row), and those of all keys.


def on_grid(x: float) -> int:
    return round(x / GRID)


def values(rows: Rows, name: str) -> list[Any]:
    return [row[name] for row in rows if row[name] is not None]


def summed(xs: Sequence[float]) -> float:
    return sum(on_grid(x) for x in xs) * GRID


def averaged(xs: Sequence[float]) -> float | None:
    return summed(xs) / len(xs) if xs else None


def spread(xs: Sequence[float]) -> float | None:
    if len(xs) < 2:
        return None
    centre = math.fsum(xs) / len(xs)
    return math.sqrt(math.fsum((x - centre) ** 2 for x in xs) / (len(xs) - 1))


def pulled(xs: Sequence[float], all_xs: Sequence[float], strength: float) -> float | None:
    prior = averaged(all_xs)
    return None if prior is None else (summed(xs) + strength * prior) / (len(xs) + strength)


def faded(rows: Rows, half_life: float) -> float:
    return math.fsum(r["value"] * 2 ** (-r["age"] / half_life) for r in rows if r["value"] is not None)


def one(xs: Sequence[Any], at: int) -> Any:
    return xs[at] if xs else None


def quotient(a: float | None, b: float | None) -> float | None:
    return None if a is None or not b else a / b


def liked(rows: Rows) -> Rows:
    return [row for row in rows if row["like"]]


@dataclass(frozen=True)
class Case:
    """One aggregate, what it should give, and how near: 0 = bit-equal after rounding to Float32.

    ``where`` is always ``log.like`` here: the oracle is given those rows only, before ``last`` counts them.
    """

    declared: Callable[[Log], Aggregate | pl.Expr]
    expected: Callable[[Rows, Rows], Any]
    tolerance: float = 0.0
    where: Callable[[Log], pl.Expr] | None = None


CASES: dict[str, Case] = {
    "n_rows": Case(lambda log: count(), lambda own, _: len(own)),
    "n_liked": Case(lambda log: count(log.like), lambda own, _: len(liked(own))),
    "total_value": Case(lambda log: total(log.value), lambda own, _: summed(values(own, "value"))),
    "total_stars": Case(lambda log: total(log.stars), lambda own, _: sum(values(own, "stars"))),
    "mean_value": Case(lambda log: mean(log.value), lambda own, _: averaged(values(own, "value"))),
    "mean_centred": Case(
        lambda log: mean(log.stars - 3), lambda own, _: averaged([x - 3 for x in values(own, "stars")])
    ),
    "std_stars": Case(lambda log: std(log.stars), lambda own, _: spread(values(own, "stars")), 1e-6),
    "std_value": Case(lambda log: std(log.value), lambda own, _: spread(values(own, "value")), 4e-3),
    "smallest_value": Case(
        lambda log: smallest(log.value), lambda own, _: min(values(own, "value"), default=None)
    ),
    "largest_stars": Case(
        lambda log: largest(log.stars), lambda own, _: max(values(own, "stars"), default=None)
    ),
    "first_value": Case(lambda log: first(log.value), lambda own, _: one(values(own, "value"), 0)),
    "last_device": Case(lambda log: last(log.device), lambda own, _: one(values(own, "device"), -1)),
    "last_at": Case(lambda log: last(log.at), lambda own, _: one(values(own, "at"), -1)),
    "decayed_value": Case(lambda log: decayed(log.value, 3 * HOUR), lambda own, _: faded(own, 3), 1e-4),
    "decayed_horizon": Case(lambda log: decayed(log.value, horizon(1)), lambda own, _: faded(own, 2), 1e-4),
    "smoothed_like": Case(
        lambda log: smoothed(log.like, strength=10),
        lambda own, every: pulled(values(own, "like"), values(every, "like"), 10),
    ),
    "smoothed_value": Case(
        lambda log: smoothed(log.value, strength=0.5),
        lambda own, every: pulled(values(own, "value"), values(every, "value"), 0.5),
    ),
    "n_devices": Case(
        lambda log: log.device.n_unique(), lambda own, _: len({r["device"] for r in own}) or None
    ),
    "median_stars": Case(
        lambda log: raw(log.stars.median()), lambda own, _: median(values(own, "stars")) if own else None
    ),
    "share": Case(lambda log: count(log.like) / count(), lambda own, _: quotient(len(liked(own)), len(own))),
    "by_one_less": Case(
        lambda log: total(log.value) / (count() - 1),
        lambda own, _: quotient(summed(values(own, "value")), len(own) - 1),
    ),
    "inverse": Case(lambda log: 1 / count(log.like), lambda own, _: quotient(1, len(liked(own)))),
    "by_nothing": Case(lambda log: count() / 0, lambda own, _: None),
    "mixed": Case(
        lambda log: 2 - count() * 3 + count(log.like) - 0.5,
        lambda own, _: 2 - 3 * len(own) + len(liked(own)) - 0.5,
    ),
    "negative": Case(lambda log: -count(log.like), lambda own, _: -len(liked(own))),
    "turned": Case(lambda log: 10 + (5 - count()) * 2, lambda own, _: 10 + (5 - len(own)) * 2),
    "change": Case(
        lambda log: first(log.stars) - last(log.stars),
        lambda own, _: values(own, "stars")[0] - values(own, "stars")[-1] if own else None,
    ),
    "hundredfold": Case(
        lambda log: largest(log.stars) * 100, lambda own, _: 100 * max(values(own, "stars")) if own else None
    ),
    "mapped": Case(lambda log: count().map(lambda n: n.log1p()), lambda own, _: math.log1p(len(own)), 1e-6),
    "liked_mean": Case(
        lambda log: mean(log.value), lambda own, _: averaged(values(own, "value")), where=lambda log: log.like
    ),
    "liked_smoothed": Case(
        lambda log: smoothed(log.value, strength=2),
        lambda own, every: pulled(values(own, "value"), values(every, "value"), 2),
        where=lambda log: log.like,
    ),
    "filtered_mean": Case(
        lambda log: mean(log.value.filter(log.like)), lambda own, _: averaged(values(liked(own), "value"))
    ),
    "filtered_std": Case(
        lambda log: std(log.stars.filter(log.like)), lambda own, _: spread(values(liked(own), "stars")), 1e-6
    ),
    "filtered_smoothed": Case(
        lambda log: smoothed(log.value.filter(log.like), strength=1),
        lambda own, every: pulled(values(liked(own), "value"), values(liked(every), "value"), 1),
    ),
}

KEYS: tuple[tuple[str, ...], ...] = (("user_id",), ("device",), ("user_id", "device"), ())
LOOKBACKS = {"": None, "__last2": last(2), "__h1": horizon(1), "__3h": "3h"}


def registry_of(cases: Mapping[str, Case]) -> Registry:
    registry = Registry()
    for name, case in cases.items():

        def body(log: Log, case: Case = case) -> Aggregate | pl.Expr:
            """Test case."""
            return case.declared(log)

        body.__name__ = name
        aggregate(keys=KEYS, lookbacks=list(LOOKBACKS.values()), where=case.where, registry=registry)(body)
    return registry


def looking_back(rows: Rows, key: tuple[str, ...], lookback: str) -> tuple[dict[Any, list[Row]], list[Row]]:
    """Rows by key and rows of all keys that the lookback keeps. ``last`` counts within the key only."""
    within = {"": math.inf, "__last2": math.inf, "__h1": 2, "__3h": 3}[lookback]
    every = [row for row in rows if row["age"] <= within]
    own: dict[Any, list[Row]] = {}
    for row in every:
        parts = tuple(row[name] for name in key)
        if None not in parts:
            own.setdefault(parts, []).append(row)
    if lookback == "__last2":
        own = {parts: members[-2:] for parts, members in own.items()}
    return own, every


def log_of(rows: Rows, dataset: Dataset, order: Sequence[int]) -> pl.LazyFrame:
    """Give the rows as a log with the small competition's schema, in a physical order."""
    schema = dataset.log.collect_schema()
    return pl.DataFrame([rows[i] for i in order], schema=schema).lazy()


def with_log(catalogue: Catalogue, log: pl.LazyFrame) -> Catalogue:
    return replace(catalogue, dataset=replace(catalogue.dataset, log=log))


@st.composite
def row_lists(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows with few users, devices and hours, so that keys repeat, clocks tie, and some users have one row."""
    n = draw(st.integers(0, 14))
    rows = []
    for number in range(n):
        hour = draw(st.integers(0, 6))
        stars = draw(st.integers(1, 5))
        rows.append(
            {
                "row": number,
                "clock": hour * HOUR,
                "user_id": draw(st.integers(1, 4)),
                "item_id": 1,
                "at": EPOCH + timedelta(hours=hour),
                "device": draw(st.sampled_from([None, "phone", "tv"])),
                "stars": stars,
                "value": draw(st.none() | st.floats(-1000, 1000, allow_subnormal=False)),
                "like": stars >= 4,
                "relevance": int(stars >= 4),
            }
        )
    return rows


PAIRS = [(u, d) for u in (1, 2, 3, 4, 9) for d in (None, "phone", "tv", "web")]


def pairs_of(dataset: Dataset, keys: Sequence[tuple[int, str | None]]) -> pl.DataFrame:
    schema = dataset.test_pairs.collect_schema()
    rows = [
        {"pair_id": 900 + i, "user_id": user, "item_id": 1, "at": EPOCH, "device": device}
        for i, (user, device) in enumerate(keys)
    ]
    return pl.DataFrame(rows, schema=schema)


@pytest.fixture(scope="module")
def everything(timed: Dataset) -> Catalogue:
    return bind_catalogue(timed, registry_of(CASES))


Compute = Callable[[Rows, Sequence[int], Window, Sequence[str]], pl.DataFrame]


@pytest.fixture(scope="module")
def compute(everything: Catalogue) -> Compute:
    """Compute columns of rows that lie in some physical order. (hypothesis would print a whole catalogue.)"""
    pairs = pairs_of(everything.dataset, PAIRS)

    def compute(rows: Rows, order: Sequence[int], window: Window, names: Sequence[str]) -> pl.DataFrame:
        catalogue = with_log(everything, log_of(rows, everything.dataset, order))
        return compute_window(catalogue, window, names, pairs)

    return compute


@settings(SEARCH, max_examples=60)
@given(
    rows=row_lists(),
    cutoff=st.integers(0, 7),
    key=st.sampled_from(KEYS),
    lookback=st.sampled_from(tuple(LOOKBACKS)),
    data=st.data(),
)
def test_every_aggregate_equals_the_oracle(
    compute: Compute,
    rows: list[dict[str, Any]],
    cutoff: int,
    key: tuple[str, ...],
    lookback: str,
    data: st.DataObject,
) -> None:
    order = data.draw(st.permutations(range(len(rows))))
    window = Window(cutoff * HOUR, cutoff * HOUR, (cutoff + 2) * HOUR)
    names = columns_of(key, lookback)
    computed = compute(rows, order, window, names)

    before = [{**r, "age": cutoff - r["clock"] // HOUR} for r in rows if r["clock"] < cutoff * HOUR]
    before.sort(key=lambda r: (r["clock"], r["row"]))
    for name, case in zip(names, CASES.values(), strict=True):
        own, every = looking_back(liked(before) if case.where else before, key, lookback)
        for (user, device), value in zip(PAIRS, computed[name].to_list(), strict=True):
            parts = tuple({"user_id": user, "device": device}[k] for k in key)
            expected = case.expected(own.get(parts, []), every)
            assert_same(value, expected, case.tolerance, f"{name} of {user}, {device}")


def columns_of(key: tuple[str, ...], lookback: str) -> list[str]:
    return [f"{name}__{'_x_'.join(key) or 'everything'}{lookback}" for name in CASES]


def assert_same(value: Any, expected: Any, tolerance: float, where: str) -> None:
    if isinstance(expected, float) and isinstance(value, float):
        rounded = float(np.float32(expected))
        assert value == rounded or abs(value - rounded) <= tolerance * max(1.0, abs(rounded)), where
    else:
        assert value == expected, where


@settings(SEARCH, max_examples=25)
@given(
    rows=row_lists(),
    key=st.sampled_from(KEYS),
    lookback=st.sampled_from(tuple(LOOKBACKS)),
    data=st.data(),
)
def test_the_physical_order_of_rows_changes_no_bit(
    compute: Compute,
    rows: list[dict[str, Any]],
    key: tuple[str, ...],
    lookback: str,
    data: st.DataObject,
) -> None:
    window = Window(6 * HOUR, 6 * HOUR, 8 * HOUR)
    orders = [data.draw(st.permutations(range(len(rows)))) for _ in range(2)]
    a, b = (compute(rows, order, window, columns_of(key, lookback)) for order in orders)
    assert a.equals(b)


def one_column(dataset: Dataset, body: Callable[[Log], Aggregate | pl.Expr], **options: Any) -> Catalogue:
    registry = Registry()
    body.__name__, body.__doc__ = "value_of", "Test case."
    aggregate(keys=options.pop("keys", ["user_id"]), registry=registry, **options)(body)
    return bind_catalogue(dataset, registry)


def computed_column(catalogue: Catalogue, rows: list[dict[str, Any]]) -> pl.Series:
    """Value of the only column for user 1, with all rows before the cutoff."""
    window = Window(10 * HOUR, 10 * HOUR, 12 * HOUR)
    log = log_of(rows, catalogue.dataset, range(len(rows)))
    (name,) = catalogue.columns
    return compute_window(with_log(catalogue, log), window, [name], pairs_of(catalogue.dataset, [(1, "tv")]))[
        name
    ]


def plays(values: Sequence[float | None]) -> list[dict[str, Any]]:
    """Rows of user 1, an hour apart."""
    common = {"user_id": 1, "item_id": 1, "device": "tv", "stars": 4, "like": True, "relevance": 1}
    return [{**common, "row": i, "clock": 0, "at": EPOCH, "value": value} for i, value in enumerate(values)]


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


def test_squares_beyond_the_exact_range_are_refused(timed: Dataset) -> None:
    catalogue = one_column(timed, lambda log: std(log.value))
    with pytest.raises(FeatureError, match="value_of__user_id"):
        computed_column(catalogue, plays([0.0, 1e5]))


def test_std_of_large_near_values_does_not_cancel(timed: Dataset) -> None:
    """The naive sum of squares of instants near 1.7e9 gives 0."""
    catalogue = one_column(timed, lambda log: std(log.value + 1.7e9))
    assert computed_column(catalogue, plays([1.0, 2.0, 3.0])).item() == 1.0


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


@pytest.mark.parametrize("half_life", [0, -1.0, math.inf, last(3), "7 days"])
def test_what_is_no_half_life_is_refused(timed: Dataset, half_life: Any) -> None:
    with pytest.raises(FeatureError, match=r"half-life|not a lookback"):
        one_column(timed, lambda log: decayed(log.value, half_life))


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
    assert frame.select("low__user_id", "high__user_id").row(0) == (-math.inf, 1.0)


def test_no_pairs_give_no_rows_but_every_column(everything: Catalogue) -> None:
    names = list(everything.columns)
    frame = compute_window(everything, Window(HOUR, HOUR, 2 * HOUR), names, pairs_of(everything.dataset, []))
    assert frame.height == 0
    assert frame.schema == {"pair_id": pl.UInt32, **{n: everything.columns[n].dtype for n in names}}
