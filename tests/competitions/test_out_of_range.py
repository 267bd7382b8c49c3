"""Numbers that the test has out of the range of the log: told of what nearly all pairs say, and of nothing else."""

from __future__ import annotations

from dataclasses import replace

import dataframely as dy
import polars as pl
import pytest

from competitions import get_competition, schema_of
from competitions._intake import out_of_range


@pytest.mark.parametrize(
    ("log", "pairs", "is_told"),
    [
        ([1.0, 2.0], [3.0] * 100, True),
        ([1.0, 2.0], [0.0] * 50 + [3.0] * 50, True),
        ([1.0, 2.0], [3.0] * 90 + [2.0] * 10, True),
        ([1.0, 2.0], [3.0] * 89 + [2.0] * 11, False),
        ([1.0, 2.0], [3.0] * 99, False),
        ([1.0, 2.0], [3.0] * 99 + [None, float("nan")], False),
        ([1.0, None, float("nan")], [3.0] * 100 + [None] * 900, True),
        ([None, None], [3.0] * 100, False),
        ([1.0, float("inf")], [3.0] * 100, False),
        ([1.0, 2.0], [], False),
    ],
)
def test_a_number_is_told_if_nearly_all_pairs_have_it_out_of_range(
    log: list[float | None], pairs: list[float | None], is_told: bool
) -> None:
    rows = schema_of({"user_id": dy.UInt32(), "item_id": dy.UInt32(), "x": dy.Float64(), "like": dy.Bool()})
    c = replace(
        get_competition("vk2024"), interactions=rows, outcomes=("like",), relevance=pl.col("like").cast(pl.Int8),
        remarks={}, source=None, dense=None, dense_per=None,
    )  # fmt: skip
    given = (pl.DataFrame({"user_id": 1, "x": pl.Series(x, dtype=pl.Float64)}) for x in (log, pairs))
    first, second = (frame.with_columns(item_id=pl.lit(1)) for frame in given)
    assert out_of_range(c, first.lazy(), second) == (["x"] if is_told else [])
