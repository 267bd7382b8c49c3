from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import DataError
from models import FitContext, PairFrame, build_models
from tests.models.small_log import Shelf, SmallLog


def frame_of(windows: Sequence[int], users: Sequence[int]) -> PairFrame:
    table = pl.DataFrame(
        {"window": windows, "user_id": users}, schema={"window": pl.Int64, "user_id": pl.UInt32}
    ).with_row_index("pair_id")
    return PairFrame(table, (), "user_id", "item_id")


@pytest.mark.parametrize(
    ("windows", "users", "groups"),
    [([1, 1, 1, 2, 2, 2], [5, 5, 6, 5, 6, 6], [0, 0, 1, 2, 3, 3]), ([], [], [])],
)
def test_groups_are_window_and_user(windows: list[int], users: list[int], groups: list[int]) -> None:
    assert frame_of(windows, users).group_ids.tolist() == groups


def test_torn_groups_are_refused() -> None:
    with pytest.raises(DataError, match=r"2 groups .* 3 separate runs"):
        _ = frame_of([1, 1, 1], [5, 6, 5]).group_ids


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=30))
def test_in_order_makes_groups_contiguous_and_one_number_each(rows: list[tuple[int, int]]) -> None:
    frame = frame_of([w for w, _ in rows], [u for _, u in rows]).in_order()
    numbered = list(zip(frame.table["window"], frame.table["user_id"], frame.group_ids.tolist(), strict=True))
    assert len({(w, u) for w, u, _ in numbered}) == len({g for _, _, g in numbered}) == len(set(numbered))
    assert np.all(np.diff(frame.group_ids) >= 0)


def test_rows_are_taken_and_sorted_without_reading(small_log: SmallLog) -> None:
    held = small_log.train
    shelf = Shelf(held)
    shuffled = np.random.default_rng(1).permutation(held.table.height)
    stored = shelf.frame(held)
    assert stored.stored is not None
    mixed = replace(
        stored, table=stored.table[shuffled], stored=stored.stored.take(pl.Series(shuffled, dtype=pl.UInt32))
    )
    some = mixed.in_order().take(pl.col("window") > 1).take(pl.col("item_id") % 2 == 0)
    assert not shelf.n_reads
    expected = held.take((pl.col("window") > 1) & (pl.col("item_id") % 2 == 0))
    assert some.columns(held.features).equals(expected.columns(held.features))
    assert some.take(pl.lit(False)).columns(held.features).height == 0
    assert (some.numeric, some.categorical) == (held.numeric, held.categorical)
    with pytest.raises(DataError, match="nowhere"):
        some.columns(["nowhere", *held.features])
    with pytest.raises(DataError, match=r"als_score__lik\b.*als_score__like"):
        some.column("als_score__lik")


def test_a_frame_in_order_is_not_copied(small_log: SmallLog) -> None:
    assert small_log.train.in_order() is small_log.train


@given(st.lists(st.none() | st.floats(width=32), min_size=1, max_size=30))
def test_a_column_ranks_as_its_values_do_with_the_unknown_last(values: list[float | None]) -> None:
    table = pl.DataFrame({"x": values}, schema={"x": pl.Float32})
    frame = PairFrame(table, ("x",), "user_id", "item_id")
    ranker = build_models({"column": {"column": "x"}})["column"]
    scores = ranker.fit(frame, FitContext(seed=1)).predict(frame)
    assert np.isfinite(scores).all()
    known = table["x"].fill_nan(None)
    for i, a in enumerate(known):
        for j, b in enumerate(known):
            if a is None:
                assert scores[i] <= scores[j]
            elif b is not None and a < b:
                assert scores[i] <= scores[j]
                # Above 2^53 differences of one part in 2^24 may close to a tie.
                assert scores[i] < scores[j] or max(abs(a), abs(b)) > 2**20 or abs(a - b) < 1e-12
