"""What could depend on tiles without a word: looks at other rows and at the window, no numbers, sums, spreads.

Where deviations are taken from is one number, in whatever partitions, pairs and lookbacks; sums wrap in no tiling.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import polars as pl
import pytest

from competitions import Dataset
from features import (
    Aggregate,
    FeatureError,
    Log,
    Lookback,
    compute_window,
    compute_windows,
    count,
    decayed,
    first,
    horizon,
    largest,
    last,
    last_n,
    mean,
    smallest,
    std,
    total,
)
from tests.features.small_logs import one_column
from tests.features.tile_logs import END, HOUR, cut, pairs_of, rows_of, whole, window_at
from tests.features.tile_oracle import same_bits

Body = Callable[[Log], Aggregate | pl.Expr]
ROWS = rows_of(seed=3, n_rows=60)
PAIRS = pairs_of(20)
LAST = window_at(END)


def laid(rows: pl.DataFrame, ends: tuple[int, ...]) -> Dataset:
    return cut(whole(rows), rows, ends) if ends else whole(rows)


def lying(rows: pl.DataFrame, body: Body, **options: object) -> list[pl.Series]:
    """Compute one column in one tile, in partitions, with more windows, and with both."""
    found = []
    for ends, hours in (((), ()), ((1, 2, 3, 15, 30, 45), ()), ((), (3, 5, 8)), ((7, 31), (4, 9))):
        catalogue = one_column(laid(rows, ends), body, **options)
        pairs = {window_at(hour): PAIRS for hour in (*hours, END)}
        (name,) = catalogue.columns
        found.append(compute_windows(catalogue, [name], pairs)[LAST][name])
    return found


def by_user(rows: pl.DataFrame, plain: pl.Expr) -> pl.Series:
    """Give what a plain query gives for the users of the pairs."""
    values = rows.group_by("user_id", maintain_order=True).agg(found=plain)
    return PAIRS.join(values, on="user_id", how="left", maintain_order="left")["found"]


def assert_one(found: list[pl.Series]) -> None:
    assert all(same_bits(found[0], other) for other in found[1:])


stars, clock = pl.col("stars").cast(pl.Int64), pl.col("clock")
OTHERS: dict[str, tuple[Body, pl.Expr]] = {
    "differences": (lambda log: total(log.stars.diff()), stars.diff().sum()),
    "gaps": (lambda log: count(log.clock.diff() >= HOUR), (clock.diff() >= HOUR).sum().cast(pl.Int64)),
    "distinct": (lambda log: total(log.stars.unique()), stars.unique().sum()),
    "first of key": (lambda log: total(log.stars.head(1)), stars.head(1).sum()),
    "running": (lambda log: largest(log.stars.cum_sum()), stars.cum_sum().max()),
}


@pytest.mark.parametrize("case", OTHERS)
def test_expressions_that_look_at_other_rows_see_the_whole_lookback(case: str) -> None:
    body, plain = OTHERS[case]
    expected = by_user(ROWS, plain)
    for found in lying(ROWS, body):
        merged = found.cast(pl.Int64).replace(0, None).to_list()
        assert merged == expected.replace(0, None).to_list()


def test_a_filter_that_looks_at_other_rows_sees_the_whole_log() -> None:
    own = ROWS.filter(pl.col("stars") > pl.col("stars").mean())
    expected = by_user(own, pl.len().cast(pl.UInt32)).fill_null(0)
    for found in lying(ROWS, lambda log: count(), where=lambda log: log.stars > log.stars.mean()):
        assert found.equals(expected, check_names=False)


@pytest.mark.parametrize("name", ["cutoff", "horizon"])
def test_a_filter_may_read_the_window(name: str) -> None:
    def where(log: Log) -> pl.Expr:
        return log.clock > (log.cutoff - 3 * HOUR if name == "cutoff" else (END - 2) * HOUR - log.horizon)

    since = (END - 3) * HOUR if name == "cutoff" else (END - 4) * HOUR
    expected = by_user(ROWS.filter(clock > since), pl.len().cast(pl.UInt32)).fill_null(0)
    for found in lying(ROWS, lambda log: count(), where=where):
        assert found.equals(expected, check_names=False)


@pytest.mark.parametrize("how", [mean, total, largest, std], ids=lambda how: how.__name__)
def test_an_aggregate_may_read_the_window(how: Callable[[pl.Expr], Aggregate]) -> None:
    ages = END - clock // HOUR
    plain = {"mean": ages.mean(), "total": ages.sum(), "largest": ages.max(), "std": ages.std()}
    expected = by_user(ROWS, plain[how.__name__].cast(pl.Float64))
    expected = expected.fill_null(0) if how is total else expected
    for found in lying(ROWS, lambda log: how((log.cutoff - log.clock) // HOUR), dtype=pl.Float64):
        assert found.to_list() == pytest.approx(expected.to_list(), abs=1e-5, nan_ok=True)


@pytest.mark.parametrize("lookback", [None, last_n(50)], ids=["all", "last"])
def test_a_plain_aggregation_may_read_the_window(lookback: Lookback | None) -> None:
    expected = by_user(ROWS, (END * HOUR - clock).median() / HOUR)
    body: Body = lambda log: (log.cutoff - log.clock).median() / HOUR  # noqa: E731
    for found in lying(ROWS, body, dtype=pl.Float64, lookbacks=[lookback]):
        assert found.to_list() == pytest.approx(expected.to_list())


@pytest.mark.parametrize("how", [first, last, smallest, largest], ids=lambda how: how.__name__)
def test_values_that_are_no_numbers_do_not_depend_on_tiles(how: Callable[[pl.Expr], Aggregate]) -> None:
    """The first value is the first that is not null, and NaN is not null: the column is null then, in any tiling."""
    rows = ROWS.with_columns(odd=pl.when(pl.int_range(pl.len()) < 20).then(float("nan")).otherwise("odd"))
    if how is last:
        rows = rows.with_columns(odd=pl.col("odd").reverse())
    assert_one(lying(rows, lambda log: how(log.odd), dtype=pl.Float64))


WRAPPING: dict[str, Body] = {
    "total": lambda log: total(log.value),
    "mean": lambda log: mean(log.value),
    "decayed": lambda log: decayed(log.value, 1e30),
    "whole": lambda log: total(log.seconds),
}


@pytest.mark.parametrize("ends", [(), tuple(range(1, 8))], ids=["one partition", "partitions"])
@pytest.mark.parametrize("n", [4, 8])
@pytest.mark.parametrize("how", WRAPPING)
def test_sums_that_wrap_around_to_zero_are_refused(how: str, n: int, ends: tuple[int, ...]) -> None:
    """Four addends of 2^62 steps, or eight of 2^61, none in sight of the ends of Int64, are 2^64: 0.

    Bound to a log that has no such ones: what is looked at while binding is not all that a scan may meet.
    """
    rows = ROWS.head(n).with_columns(
        value=pl.lit(2.0**44 / n), seconds=pl.lit(2**64 // n, pl.Int64), user_id=pl.lit(1, pl.UInt32)
    )
    catalogue = replace(one_column(whole(ROWS), WRAPPING[how]), dataset=laid(rows, ends))
    with pytest.raises(FeatureError, match="would not be exact"):
        compute_window(catalogue, LAST, list(catalogue.columns), PAIRS)


def test_a_sample_of_pairs_is_refused_what_all_pairs_are() -> None:
    """A NaN of one user is refused for the pairs of all users, and for those of any other."""
    rows = ROWS.with_columns(value=pl.when(pl.col("user_id") == 4).then(float("nan")).otherwise("value"))
    refused = []
    for pairs in (PAIRS, PAIRS.filter(pl.col("user_id") == 1)):
        for ends in ((), (2, 4, 6, 8, 10, 12)):
            catalogue = one_column(laid(rows, ends), lambda log: total(log.value))
            try:
                compute_window(catalogue, LAST, list(catalogue.columns), pairs)
                refused.append(False)
            except FeatureError:
                refused.append(True)
    assert len(set(refused)) == 1


def test_a_nan_before_the_lookback_is_not_seen() -> None:
    rows = ROWS.with_columns(value=pl.when(clock < HOUR).then(float("nan")).otherwise("value"))
    assert rows["value"].is_nan().any()
    assert_one(lying(rows, lambda log: total(log.value), lookbacks=[horizon(1)]))


@pytest.mark.parametrize("lookback", [last_n(60), None], ids=["last rows", "all"])
def test_a_column_that_begins_after_the_first_partition_has_its_spread(lookback: Lookback | None) -> None:
    """Nothing recorded in the first partitions: the first value of the log is in a later one."""
    rows = ROWS.with_columns(value=pl.when(pl.int_range(pl.len()) >= 20).then(pl.col("value") * 0.1))
    expected = by_user(rows, pl.col("value").std()).fill_null(-1).to_list()
    for found in lying(rows, lambda log: std(log.value), lookbacks=[lookback], dtype=pl.Float64):
        assert found.fill_null(-1).to_list() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "change", [lambda x: x.diff(), lambda x: x.tail(5)], ids=["differences", "last values"]
)
def test_the_spread_of_what_looks_at_other_rows_does_not_depend_on_partitions(
    change: Callable[[pl.Expr], pl.Expr],
) -> None:
    assert_one(lying(ROWS, lambda log: std(change(log.value)), dtype=pl.Float64))


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
    assert_one([bulk, pl.concat(alone)])


def test_no_windows_give_nothing() -> None:
    catalogue = one_column(whole(ROWS), lambda log: count())
    assert compute_windows(catalogue, list(catalogue.columns), {}) == {}
