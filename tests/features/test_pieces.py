"""Slices that groups take in without waiting for each other: how many does not change a bit."""

from __future__ import annotations

import polars as pl
import pytest

from competitions import Partition
from features import compute_windows
from features._aggregation import TOGETHER, together
from tests.features.tile_logs import END, cut, pairs_of, rows_of, whole, window_at
from tests.features.tile_oracle import BLOCKS, catalogue_of, differing

WINDOWS = [window_at(hour) for hour in (4, END)]


def sizes(*n_rows: int | None) -> list[list[int | None]]:
    slices = [Partition(pl.LazyFrame(), n_rows=n) for n in n_rows]
    return [[piece.n_rows for piece in found] for found in together(slices)]


def test_small_slices_go_together_in_their_order() -> None:
    half = TOGETHER // 2
    assert sizes(1, 2, 3) == [[1, 2, 3]]
    assert sizes(half, half, half, 1) == [[half, half], [half, 1]]
    assert sizes(1, TOGETHER, 1) == [[1], [TOGETHER], [1]]
    assert sizes(2 * TOGETHER, 1, 2 * TOGETHER) == [[2 * TOGETHER], [1], [2 * TOGETHER]]
    assert sizes(None, None, 1) == [[None], [None], [1]]
    assert sizes() == []


@pytest.mark.parametrize("wide", [0.0, 100.0], ids=["narrowed", "grouped"])
def test_how_many_go_together_changes_no_bit(monkeypatch: pytest.MonkeyPatch, wide: float) -> None:
    """Keys are rolled up in large slices and read in small ones, in the same run."""
    monkeypatch.setattr("features._aggregation.partial_states.WIDE", wide)
    monkeypatch.setattr("features._aggregation.scan.ROLLUP_ROWS", 40)
    rows, pairs = rows_of(9, 240), dict.fromkeys(WINDOWS, pairs_of(30))
    catalogue = catalogue_of(cut(whole(rows), rows, (50, 60, 61, 120, 200)))
    names = [name for block in BLOCKS[::3] for name in block.columns]
    found = []
    for most in (1, 100, 10**6):
        monkeypatch.setattr("features._aggregation.log_rows.TOGETHER", most)
        found.append(compute_windows(catalogue, names, pairs))
    for other in found[1:]:
        assert [differing(found[0][window], other[window]) for window in WINDOWS] == [[], []]
