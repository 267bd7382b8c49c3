"""The rows of a partition are those of the log before a clock, in its order, with the attributes asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from competitions import ClockKind, Dataset
from features._aggregation import Limits, LogReader
from tests.features.tile_logs import cut

COLUMNS = ["row", "clock", "user_id", "stars", "age", "kind"]


@pytest.mark.parametrize("kind", get_args(ClockKind))
@pytest.mark.parametrize("names", [COLUMNS, ["clock"], ["stars"]], ids="-".join)
@pytest.mark.parametrize("looked_up", [2**25, 0], ids=["looked up", "joined"])
def test_rows_are_those_before_the_clock(
    small: Callable[[ClockKind], Dataset], kind: ClockKind, names: list[str], looked_up: int
) -> None:
    whole = small(kind)
    rows = whole.log.collect().sort("clock", "row").filter(pl.int_range(pl.len()) % 7 != 3)
    dataset = cut(whole, rows, (90,))
    joined = whole.with_attributes(rows.lazy()).collect()
    for until in (rows["clock"][40], rows["clock"][120], rows["clock"][-1] + 1):
        reader = LogReader(dataset, frozenset(names), until, Limits(looked_up=looked_up))
        for partition in dataset.partitions:
            found = reader.read(partition)
            own = partition.rows.select("row").collect()["row"].implode()
            expected = joined.filter(pl.col("row").is_in(own) & (pl.col("clock") < until))
            assert sorted(found.columns) == sorted(names)
            assert_frame_equal(found, expected.sort("clock", "row").select(found.columns))
