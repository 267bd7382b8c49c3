"""The rows of a slice are those of the log before a clock, in its order, be the clock read or counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from competitions import ClockKind, Dataset
from features._rows import SliceReader
from tests.features.tile_logs import cut

COLUMNS = ["row", "clock", "user_id", "stars", "age", "kind"]


@pytest.mark.parametrize("kind", get_args(ClockKind))
@pytest.mark.parametrize("has_gaps", [False, True])
@pytest.mark.parametrize("names", [COLUMNS, ["clock"], ["stars"]], ids="-".join)
@pytest.mark.parametrize("joins", [False, True], ids=["looks up", "joins"])
def test_rows_are_those_before_the_clock(
    small: Callable[[ClockKind], Dataset],
    kind: ClockKind,
    has_gaps: bool,
    names: list[str],
    joins: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if joins:  # as where ids are no small numbers
        monkeypatch.setattr("features._rows.make_lookup", lambda keys, names: None)
    whole = small(kind)
    rows = whole.log.collect().sort("clock", "row")
    rows = rows.filter(pl.int_range(pl.len()) % 7 != 3) if has_gaps else rows
    dataset = cut(whole, rows, (90,))
    joined = whole.with_attributes(rows.lazy()).collect()
    for until in (rows["clock"][40], rows["clock"][120], rows["clock"][-1] + 1):
        reader = SliceReader(dataset, frozenset(names), until)
        for piece in dataset.partitions:
            found = reader.rows(piece)
            own = piece.rows.select("row").collect()["row"].implode()
            expected = joined.filter(pl.col("row").is_in(own) & (pl.col("clock") < until))
            in_order = expected.sort("clock", "row").select(found.columns)
            assert sorted(found.columns) == sorted(names)
            assert_frame_equal(found, in_order)
