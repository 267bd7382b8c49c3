"""What could depend on tiles without a word: looks at other rows, at the window, and values that are no numbers."""

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


def lying(rows: pl.DataFrame, body: Body, **options: object) -> list[pl.Series]:
    """Compute one column in one tile, in slices, with more windows, and with both."""
    found = []
    for ends, hours in (((), ()), ((15, 30, 45), ()), ((), (3, 5, 8)), ((7, 31), (4, 9))):
        dataset = cut(whole(rows), rows, ends) if ends else whole(rows)
        catalogue = one_column(dataset, body, **options)
        pairs = {window_at(hour): PAIRS for hour in (*hours, END)}
        (name,) = catalogue.columns
        found.append(compute_windows(catalogue, [name], pairs)[LAST][name])
    return found


def by_user(rows: pl.DataFrame, plain: pl.Expr) -> pl.Series:
    """Give what a plain query gives for the users of the pairs."""
    values = rows.group_by("user_id", maintain_order=True).agg(found=plain)
    return PAIRS.join(values, on="user_id", how="left", maintain_order="left")["found"]


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
    kept = ROWS.filter(pl.col("stars") > pl.col("stars").mean())
    expected = by_user(kept, pl.len().cast(pl.UInt32)).fill_null(0)
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


@pytest.mark.parametrize(
    "how",
    [
        first,
        last,
        smallest,
        largest,
    ],
    ids=lambda how: how.__name__,
)
def test_values_that_are_no_numbers_do_not_depend_on_tiles(how: Callable[[pl.Expr], Aggregate]) -> None:
    """The first value is the first that is not null, and NaN is not null: the column is null then, in any tiling."""
    rows = ROWS.with_columns(odd=pl.when(pl.int_range(pl.len()) < 20).then(float("nan")).otherwise("odd"))
    if how is last:
        rows = rows.with_columns(odd=pl.col("odd").reverse())
    found = lying(rows, how_of(how), dtype=pl.Float64)
    assert all(same_bits(found[0], other) for other in found[1:])


def how_of(how: Callable[[pl.Expr], Aggregate]) -> Body:
    return lambda log: how(log.odd)


@pytest.mark.parametrize("how", ["total", "mean", "decayed", "whole"])
def test_sums_that_wrap_around_to_zero_are_refused(how: str) -> None:
    """Four addends of 2^62 steps are 2^64, which is 0 in Int64."""
    bodies: dict[str, Body] = {
        "total": lambda log: total(log.value),
        "mean": lambda log: mean(log.value),
        "decayed": lambda log: decayed(log.value, 1e30),
        "whole": lambda log: total(log.seconds),
    }
    rows = ROWS.head(4).with_columns(
        value=pl.lit(2.0**42), seconds=pl.lit(2**62, pl.Int64), user_id=pl.lit(1, pl.UInt32)
    )
    catalogue = one_column(whole(rows), bodies[how])
    with pytest.raises(FeatureError, match="would not be exact"):
        compute_window(catalogue, LAST, list(catalogue.columns), PAIRS)


def test_a_sample_of_pairs_is_refused_what_all_pairs_are() -> None:
    """A NaN of one user is refused for the pairs of all users, and for those of any other."""
    rows = ROWS.with_columns(value=pl.when(pl.col("user_id") == 4).then(float("nan")).otherwise("value"))
    refused = []
    for pairs in (PAIRS, PAIRS.filter(pl.col("user_id") == 1)):
        for ends in ((), (2, 4, 6, 8, 10, 12)):
            dataset = cut(whole(rows), rows, ends) if ends else whole(rows)
            catalogue = one_column(dataset, lambda log: total(log.value))
            try:
                compute_window(catalogue, LAST, list(catalogue.columns), pairs)
                refused.append(False)
            except FeatureError:
                refused.append(True)
    assert len(set(refused)) == 1


def test_a_nan_before_the_lookback_is_not_seen() -> None:
    rows = ROWS.with_columns(value=pl.when(clock < HOUR).then(float("nan")).otherwise("value"))
    assert rows["value"].is_nan().any()
    found = lying(rows, lambda log: total(log.value), lookbacks=[horizon(1)])
    assert all(same_bits(found[0], other) for other in found[1:])


def test_squares_beyond_the_exact_range_name_the_feature_and_the_bound() -> None:
    far = pl.when(pl.int_range(pl.len()) % 2 == 0).then(2.0**41).otherwise(-(2.0**41))
    rows = ROWS.head(6).with_columns(value=far, user_id=pl.lit(1, pl.UInt32))
    catalogue = one_column(whole(rows), lambda log: std(log.value))
    with pytest.raises(FeatureError, match=r"beyond|finite"):
        compute_window(catalogue, LAST, list(catalogue.columns), PAIRS)


def test_no_windows_give_nothing() -> None:
    catalogue = one_column(whole(ROWS), lambda log: count())
    assert compute_windows(catalogue, list(catalogue.columns), {}) == {}
