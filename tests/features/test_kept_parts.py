"""Parts of partitions that are kept in the store give the bits that rows give, for the same windows and for others."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from competitions import Dataset
from engine import Settings, Store
from features import compute_features, compute_windows, read_features
from features._aggregation import Cells, Kept, PartNames, Piece, Running
from tests.features.tile_logs import cut, rows_of, whole, window_at
from tests.features.tile_oracle import BLOCKS, catalogue_of, differing
from validation import Window, window_pairs

CHOSEN = [block for block in BLOCKS if block.lookback != "__last2"][::8]
MERGED = ("n", "n_like", "sum_stars", "mean_value", "std_stars", "std_value", "low_value", "high_stars",
          "first_value", "last_device", "first_clock", "pulled_like")  # fmt: skip
NAMES = [block.column(case) for block in CHOSEN for case in MERGED]
ROWS = rows_of(31, 160)
EARLY, LATE = window_at(4), window_at(10)


@pytest.fixture(autouse=True, params=[100.0, 0.0], ids=["of all keys", "of the pairs' keys"])
def everything_is_large(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Let small partitions be kept and rolled up, and let no key be wide, or every one."""
    monkeypatch.setattr("features._aggregation.partition_cache.ROWS", 1)
    monkeypatch.setattr("features._aggregation.partition_cache.MOST", 1.0)
    monkeypatch.setattr("features._aggregation.scan.ROLLUP_ROWS", 1 if request.param else 10**6)
    monkeypatch.setattr("features._aggregation.partial_states.WIDE", request.param)


def sliced() -> Dataset:
    return cut(whole(ROWS), ROWS, (50, 100))


def n_parts(store: Store) -> int:
    return sum(size.n_artifacts for size in store.size() if size.kind == "part")


def check_stored(window: Window, names: list[str], store: Store) -> None:
    dataset = sliced()
    stored = read_features(catalogue_of(dataset), [window], names, store).sort("pair_id").select(names)
    pairs = {window: window_pairs(dataset, window)}
    fresh = compute_windows(catalogue_of(whole(ROWS)), names, pairs)[window]
    assert stored.height > 10
    assert differing(stored, fresh.sort("pair_id").select(names)) == []


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Note for each partition and key whether its parts were found, or rows were read."""
    notes: list[bool] = []
    cells, add_rows = Kept._cells, Running._add_rows

    def noting_cells(self: Kept, names: PartNames, folders: dict[str, Path]) -> Cells | None:
        there = cells(self, names, folders)
        if there is not None:
            notes.append(True)
        return there

    def noting_rows(
        self: Running, piece: Piece, is_finer: bool, sums: pl.DataFrame | None, *, is_kept: bool
    ) -> bool:
        if is_kept:
            notes.append(False)
        return add_rows(self, piece, is_finer, sums, is_kept=is_kept)

    monkeypatch.setattr(Kept, "_cells", noting_cells)
    monkeypatch.setattr(Running, "_add_rows", noting_rows)
    return notes


def test_columns_are_made_of_parts_that_others_left(
    found: list[bool], store: Store, settings: Settings
) -> None:
    catalogue = catalogue_of(sliced())
    compute_features(catalogue, [EARLY, LATE], NAMES, store, settings)
    assert n_parts(store) >= 3
    assert not any(found)
    store.prune(kinds=["feature"], is_dry_run=False)
    found.clear()
    compute_features(catalogue, [EARLY, LATE], NAMES, store, settings)
    assert len(found) >= 6
    assert all(found)
    for window in (EARLY, LATE):
        check_stored(window, NAMES, store)


def test_other_columns_and_windows_take_what_is_there(
    found: list[bool], store: Store, settings: Settings
) -> None:
    catalogue = catalogue_of(sliced())
    compute_features(catalogue, [LATE], NAMES[::2], store, settings)
    compute_features(catalogue, [EARLY], NAMES, store, settings)
    compute_features(catalogue, [LATE], NAMES, store, settings)
    store.prune(kinds=["feature"], is_dry_run=False)
    found.clear()
    compute_features(catalogue, [LATE], NAMES[::3], store, settings)
    assert any(found)
    compute_features(catalogue, [EARLY, LATE], NAMES, store, settings)
    for window in (EARLY, LATE):
        check_stored(window, NAMES, store)


@pytest.mark.parametrize("everything_is_large", [100.0], indirect=True)
def test_parts_that_were_cut_more_finely_serve_as_well(
    found: list[bool], store: Store, settings: Settings
) -> None:
    """But for decayed sums, which are weighed from where their tile ends, and for keys of other pairs."""
    cases = [case for case in MERGED if not case.startswith("pulled_")]
    names = [block.column(case) for block in BLOCKS if not block.lookback for case in cases]
    catalogue = catalogue_of(sliced())
    compute_features(catalogue, [EARLY, LATE], names, store, settings)
    store.prune(kinds=["feature"], is_dry_run=False)
    found.clear()
    compute_features(catalogue, [LATE], names, store, settings)
    assert len(found) >= 6
    assert all(found)
    check_stored(LATE, names, store)


def test_lost_and_damaged_parts_are_made_again(store: Store, settings: Settings) -> None:
    catalogue = catalogue_of(sliced())
    compute_features(catalogue, [LATE], NAMES, store, settings)
    kept = n_parts(store)
    store.prune(kinds=["feature"], is_dry_run=False)
    files = sorted((store.root / "artifacts" / "part").glob("*/*.parquet"))
    files[0].write_bytes(b"damaged")
    files[1].unlink()
    compute_features(catalogue, [LATE], NAMES, store, settings)
    assert n_parts(store) == kept
    check_stored(LATE, NAMES, store)
