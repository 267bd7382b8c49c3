"""Where deviations are taken from is one number, whatever slices, pairs and lookbacks; sums wrap in no tiling."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

from features import (
    Aggregate,
    FeatureError,
    Log,
    Lookback,
    compute_window,
    compute_windows,
    last_n,
    std,
    total,
)
from tests.features.small_logs import one_column
from tests.features.tile_logs import END, HOUR, cut, pairs_of, rows_of, whole, window_at
from tests.features.tile_oracle import same_bits

Body = Callable[[Log], Aggregate | pl.Expr]
PAIRS, LAST = pairs_of(20), window_at(END)
ROWS = rows_of(3, 60).with_columns(value=pl.col("value") * 0.1)
SLICES: tuple[tuple[int, ...], ...] = ((), (1, 2, 3, 4, 5, 6), (10,), (30,))


def valued(rows: pl.DataFrame, ends: tuple[int, ...], body: Body, **options: object) -> pl.Series:
    dataset = cut(whole(rows), rows, ends) if ends else whole(rows)
    catalogue = one_column(dataset, body, dtype=pl.Float64, **options)
    (name,) = catalogue.columns
    return compute_windows(catalogue, [name], {LAST: PAIRS, window_at(4): PAIRS})[LAST][name]


@pytest.mark.parametrize(
    "lookback",
    [last_n(60), None],
    ids=["last rows", "all"],
)
def test_a_column_that_begins_after_the_first_slice_has_its_spread(lookback: Lookback | None) -> None:
    """Nothing recorded in the first slice: the first value of the log is in a later one."""
    rows = ROWS.with_columns(value=pl.when(pl.int_range(pl.len()) >= 10).then("value"))
    known = rows.group_by("user_id").agg(expected=pl.col("value").std())
    expected = PAIRS.join(known, on="user_id", how="left", maintain_order="left")["expected"]
    for ends in SLICES:
        found = valued(rows, ends, lambda log: std(log.value), lookbacks=[lookback])
        assert found.fill_null(-1).to_list() == pytest.approx(expected.fill_null(-1).to_list(), rel=1e-5)


@pytest.mark.parametrize(
    "body",
    [lambda log: std(log.value.diff()), lambda log: std(log.value.tail(5))],
    ids=["differences", "last values"],
)
def test_the_spread_of_what_looks_at_other_rows_does_not_depend_on_slices(body: Body) -> None:
    found = [valued(ROWS, ends, body) for ends in SLICES]
    assert all(same_bits(found[0], other) for other in found[1:])


AGED: dict[str, tuple[Body, dict[str, object]]] = {
    "window": (lambda log: std(log.value * ((log.cutoff - log.clock) / HOUR)), {}),
    "filter": (lambda log: std(log.value), {"where": lambda log: log.stars > log.stars.mean()}),
}


@pytest.mark.parametrize("name", AGED)
def test_the_spread_in_a_sample_has_the_bits_of_bulk(name: str) -> None:
    body, options = AGED[name]
    catalogue = one_column(whole(ROWS), body, dtype=pl.Float64, **options)
    (name,) = catalogue.columns
    bulk = compute_window(catalogue, LAST, [name], PAIRS)[name]
    alone = [compute_window(catalogue, LAST, [name], PAIRS[i : i + 1])[name] for i in range(PAIRS.height)]
    assert same_bits(bulk, pl.concat(alone))


@pytest.mark.parametrize(
    "ends",
    [(), tuple(range(1, 8))],
    ids=["one slice", "slices"],
)
@pytest.mark.parametrize("name", ["value", "seconds"])
def test_sums_that_wrap_around_over_slices_are_refused(name: str, ends: tuple[int, ...]) -> None:
    """Eight addends of 2^61 steps, none of which is in sight of the ends of Int64, are 2^64: 0."""
    rows = ROWS.head(8).with_columns(
        value=pl.lit(2.0**41), seconds=pl.lit(2**61, pl.Int64), user_id=pl.lit(1, pl.UInt32)
    )
    catalogue = one_column(cut(whole(rows), rows, ends), lambda log: total(log[name]))
    with pytest.raises(FeatureError, match="would not be exact"):
        compute_window(catalogue, LAST, list(catalogue.columns), PAIRS)
