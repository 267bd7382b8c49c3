"""Tables of all keys: what cannot have one, and the empty key."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from features import (
    Aggregate,
    FeatureError,
    Log,
    Lookback,
    aggregate_tables,
    count,
    decayed,
    horizon,
    last,
    raw,
)
from tests.features.small_logs import one_column
from tests.features.tile_logs import END, rows_of, whole, window_at

ROWS = rows_of(3, 40)


@pytest.mark.parametrize(
    ("body", "lookback"),
    [
        (lambda log: count(), last(3)),
        (lambda log: raw(log.value.median()), None),
        (lambda log: raw(log.value.median()), horizon(1)),
    ],
    ids=["last rows", "plain", "plain in a lookback"],
)
def test_what_does_not_merge_is_refused(body: Callable[[Log], Aggregate], lookback: Lookback | None) -> None:
    catalogue = one_column(whole(ROWS), body, lookbacks=[lookback])
    with pytest.raises(FeatureError, match=r"value_of__user_id.* cannot be computed for all keys"):
        list(aggregate_tables(catalogue, [window_at(END)], list(catalogue.columns)))


def test_half_lives_in_horizons_need_windows_of_one_horizon() -> None:
    catalogue = one_column(whole(ROWS), lambda log: decayed(log.value, horizon(1)))
    names = list(catalogue.columns)
    assert list(aggregate_tables(catalogue, [window_at(5), window_at(8)], names))
    with pytest.raises(FeatureError, match="cannot be computed for all keys"):
        list(aggregate_tables(catalogue, [window_at(5), window_at(8, horizon=1)], names))


def test_the_empty_key_has_a_table_of_one_row() -> None:
    catalogue = one_column(whole(ROWS), lambda log: count(), keys=[()])
    (table,) = aggregate_tables(catalogue, [window_at(END)], list(catalogue.columns))
    assert table.values.row(0) == (40,)
