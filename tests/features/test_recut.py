"""A partition that new windows cut elsewhere: sums that are there and rows of some pieces give the bits of all rows."""

from __future__ import annotations

import polars as pl
import pytest

from engine import Settings, Store
from features import compute_features, compute_windows, read_features
from features._aggregation import Cells, Grid, Partials, recut
from tests.features.tile_logs import cut, rows_of, whole, window_at
from tests.features.tile_oracle import BLOCKS, catalogue_of, differing
from validation import window_pairs

MERGED = ("n", "n_like", "sum_value", "mean_like", "std_stars", "std_value", "low_value", "high_stars", "low_note",
          "first_value", "last_device", "first_clock", "pulled_value", "fading", "liked_n", "liked_std")  # fmt: skip
KEYS = (("user_id",), ("kind",), ("device", "user_id"), ())
ROWS = rows_of(41, 200)


@pytest.fixture
def cells(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let small partitions be kept and no key be wide; note how many cells partitions are cut into anew."""
    monkeypatch.setattr("features._aggregation.partition_cache.ROWS", 1)
    monkeypatch.setattr("features._aggregation.scan.ROLLUP_ROWS", 1)
    monkeypatch.setattr("features._aggregation.partial_states.WIDE", 100.0)
    notes: list[int] = []

    def noting(partials: Partials, rows: Cells, grid: Grid, sums: pl.DataFrame) -> Cells:
        notes.append(len(rows))
        return recut(partials, rows, grid, sums)

    monkeypatch.setattr("features._aggregation.scan.recut", noting)
    return notes


def test_windows_one_after_the_other_have_the_values_of_rows(
    cells: list[int], store: Store, settings: Settings
) -> None:
    own = [b for b in BLOCKS if b.key in KEYS and b.lookback in ("", "__h1")]
    names = [b.column(case) for b in own for case in MERGED]
    dataset = cut(whole(ROWS), ROWS, (70, 130))
    for hour in (10, 5, 8):
        window = window_at(hour)
        compute_features(catalogue_of(dataset), [window], names, store, settings)
        stored = read_features(catalogue_of(dataset), [window], names, store).sort("pair_id").select(names)
        pairs = {window: window_pairs(dataset, window)}
        fresh = compute_windows(catalogue_of(whole(ROWS)), names, pairs)[window].sort("pair_id")
        assert differing(stored, fresh.select(names)) == []
    assert len(cells) > 5
    assert max(cells) > 1


def test_columns_that_are_new_take_the_sums_that_are_there(
    cells: list[int], store: Store, settings: Settings
) -> None:
    own = [b for b in BLOCKS if b.key in KEYS and not b.lookback]
    dataset, window = cut(whole(ROWS), ROWS, (70, 130)), window_at(9)
    old = [b.column(case) for b in own for case in ("n", "sum_value")]
    names = [b.column(case) for b in own for case in ("n", "sum_value", "mean_value", "high_stars")]
    catalogue = catalogue_of(dataset)
    compute_features(catalogue, [window], old, store, settings)
    store.prune(kinds=["feature"], is_dry_run=False)
    assert not cells
    compute_features(catalogue, [window], names, store, settings)
    assert cells
    stored = read_features(catalogue, [window], names, store).sort("pair_id").select(names)
    fresh = compute_windows(catalogue_of(whole(ROWS)), names, {window: window_pairs(dataset, window)})[window]
    assert differing(stored, fresh.sort("pair_id").select(names)) == []
