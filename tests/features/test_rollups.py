"""Coarse keys rolled up from finer ones, and grouping before or after narrowing, change no bit."""

from __future__ import annotations

import polars as pl
import pytest

from competitions import Dataset
from features import Catalogue, Window, compute_windows
from features._aggregation import Rollup
from tests.features.tile_logs import END, cut, pairs_of, rows_of, whole, window_at
from tests.features.tile_oracle import BLOCKS, KEYS, assert_like_plain_query, catalogue_of, differing

PAIRS = pairs_of(24)
WINDOWS = [window_at(hour) for hour in (3, END)]
MOST = 10**12
# What is rolled up only where nothing of the key needs rows: first and last values, last_n(n) and plain aggregations.
PLAIN = ("first_", "last_", "n_notes", "middle", "liked_first", "liked_middle")
TILED = [
    block.column(case)
    for block in BLOCKS
    if block.lookback in ("", "__h1") and block.key in ((), ("user_id",), ("item_id",), ("kind",), ("age",))
    for case in (name.split("__")[0] for name in block.columns)
    if not case.startswith(PLAIN)
]


def sliced(seed: int, n_rows: int, *ends: int) -> Dataset:
    rows = rows_of(seed, n_rows)
    return cut(whole(rows), rows, ends)


def bulk(catalogue: Catalogue, names: list[str]) -> dict[Window, pl.DataFrame]:
    return compute_windows(catalogue, names, dict.fromkeys(WINDOWS, PAIRS))


@pytest.fixture
def rolled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Keys of what was rolled up."""
    keys: list[tuple[str, ...]] = []
    of = Rollup.of

    def watched(self: Rollup, partial: pl.DataFrame) -> pl.DataFrame:
        keys.append(self.key)
        return of(self, partial)

    monkeypatch.setattr(Rollup, "of", watched)
    return keys


def test_roll_ups_change_no_bit(monkeypatch: pytest.MonkeyPatch, rolled: list[tuple[str, ...]]) -> None:
    """In no slice, in all slices, and in the large ones only."""
    catalogue = catalogue_of(sliced(1, 200, 30, 31, 90, 170))
    found = []
    for least in (MOST, 0, 50):
        monkeypatch.setattr("features._aggregation.scan.ROLLUP_ROWS", least)
        rolled.clear()
        found.append(bulk(catalogue, TILED))
        assert set(rolled) == (set() if least == MOST else {(), ("kind",), ("age",)})
    for other in found[1:]:
        assert [differing(found[0][window], other[window]) for window in WINDOWS] == [[], []]


def test_rolled_up_columns_equal_the_plain_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that cannot be rolled up, beside those that can."""
    monkeypatch.setattr("features._aggregation.scan.ROLLUP_ROWS", 0)
    dataset = sliced(5, 120, 40, 80)
    blocks = [b for b in BLOCKS if b.lookback == "__h1" and b.key in ((), ("item_id",), ("kind",))]
    found = bulk(catalogue_of(dataset), [name for block in blocks for name in block.columns])
    for block in blocks:
        assert_like_plain_query(dataset, WINDOWS[1], block, found[WINDOWS[1]], PAIRS)


@pytest.mark.parametrize("least", [0, MOST], ids=["rolled", "grouped"])
def test_narrowing_before_or_after_grouping_changes_no_bit(
    monkeypatch: pytest.MonkeyPatch, least: int
) -> None:
    """Two small keys are packed into one number of 64 bits to be grouped: at its ends, Enums and Booleans too."""
    ends = {name: pl.col(name).max() for name in ("user_id", "item_id", "room")}
    for shown in (rows_of(4, 150), PAIRS):
        assert shown.select(**ends).row(0) == (2**32 - 1, 2**32 - 1, 2**16 - 1)
    monkeypatch.setattr("features._aggregation.scan.ROLLUP_ROWS", least)
    catalogue = catalogue_of(sliced(4, 150, 60, 100))
    keys = ((), ("item_id",), *(key for key in KEYS if len(key) == 2))
    rows = [block for block in BLOCKS if block.key in keys and block.lookback in ("__3h", "__last2")]
    names = [name for block in rows for name in block.columns]
    found = []
    for wide in (0.0, float("inf")):
        monkeypatch.setattr("features._aggregation.partial_states.WIDE", wide)
        found.append(bulk(catalogue, names))
    assert [differing(found[0][window], found[1][window]) for window in WINDOWS] == [[], []]


def test_a_coarse_key_by_itself_has_the_values_it_has_beside_finer_ones(
    monkeypatch: pytest.MonkeyPatch, rolled: list[tuple[str, ...]]
) -> None:
    monkeypatch.setattr("features._aggregation.scan.ROLLUP_ROWS", 0)
    catalogue = catalogue_of(sliced(6, 150, 60, 100))
    coarse = [name for name in TILED if "__kind" in name or "__age" in name]
    alone = bulk(catalogue, coarse)
    assert not rolled
    together = bulk(catalogue, TILED)
    assert set(rolled) == {(), ("kind",), ("age",)}
    for window, values in alone.items():
        assert differing(values, together[window]) == []
