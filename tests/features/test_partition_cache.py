"""Stored partials give the bits that rows give: for the same windows and for others, cut there or elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import polars as pl
import pytest

from competitions import Partition, PartitionedLog
from engine import Settings, Store
from features import Catalogue, compute_features, compute_windows, read_features
from features._aggregation import Limits
from tests.features.tile_logs import cut, rows_of, whole, window_at
from tests.features.tile_oracle import BLOCKS, catalogue_of, differing
from validation import Window, window_pairs

MERGED = ("n", "n_like", "sum_stars", "mean_value", "std_stars", "std_value", "low_value", "high_stars",
          "first_value", "last_device", "first_clock", "pulled_like")  # fmt: skip
NAMES = [b.column(case) for b in [b for b in BLOCKS if b.lookback != "__last2"][::8] for case in MERGED]
ROWS = rows_of(31, 160)
EARLY, LATE = window_at(4), window_at(10)
OF_ALL_KEYS = Limits(wide=100.0, rolled_up_rows=1, cached_rows=1, cached_share=1.0)
OF_PAIRS = Limits(wide=0.0, rolled_up_rows=10**6, cached_rows=1, cached_share=1.0)
BOTH = pytest.mark.parametrize("limits", [OF_ALL_KEYS, OF_PAIRS], ids=["of all keys", "of the pairs' keys"])


@pytest.fixture
def read() -> list[int]:
    """Numbers of the partitions that were read, as they are."""
    return []


@pytest.fixture
def catalogue(read: list[int]) -> Catalogue:
    """A log of three partitions that say when their rows are read."""
    dataset = cut(whole(ROWS), ROWS, (50, 100))

    def watched(number: int, partition: Partition) -> Partition:
        def note(rows: pl.DataFrame) -> pl.DataFrame:
            read.append(number)
            return rows

        return replace(partition, rows=partition.rows.map_batches(note))

    partitions = tuple(watched(number, one) for number, one in enumerate(dataset.partitions))
    return catalogue_of(replace(dataset, partitioned=PartitionedLog(dataset.log, partitions)))


Compute = Callable[[Sequence[Window], list[str]], None]


@pytest.fixture
def compute(catalogue: Catalogue, store: Store, settings: Settings, limits: Limits) -> Compute:
    def compute(windows: Sequence[Window], names: list[str]) -> None:
        compute_features(catalogue, windows, names, store, settings, limits)

    return compute


def n_stored(store: Store) -> int:
    return sum(size.n_artifacts for size in store.size() if size.kind == "partials")


def lose_columns(store: Store, read: list[int]) -> None:
    store.prune(kinds=["feature"], is_dry_run=False)
    read.clear()


def check_stored(catalogue: Catalogue, window: Window, names: list[str], store: Store) -> None:
    stored = read_features(catalogue, [window], names, store).sort("pair_id").select(names)
    pairs = {window: window_pairs(catalogue.dataset, window)}
    fresh = compute_windows(catalogue_of(whole(ROWS)), names, pairs)[window]
    assert stored.height > 10
    assert differing(stored, fresh.sort("pair_id").select(names)) == []


@BOTH
def test_columns_are_made_of_partials_that_others_left(
    compute: Compute, catalogue: Catalogue, store: Store, read: list[int]
) -> None:
    compute([EARLY, LATE], NAMES)
    assert n_stored(store) >= 3
    assert sorted(read) == [0, 1, 2]
    lose_columns(store, read)
    compute([EARLY, LATE], NAMES)
    assert read == []
    for window in (EARLY, LATE):
        check_stored(catalogue, window, NAMES, store)


@BOTH
def test_other_columns_and_windows_take_what_is_there(
    compute: Compute, catalogue: Catalogue, store: Store, read: list[int]
) -> None:
    compute([LATE], NAMES[::2])
    compute([EARLY], NAMES)
    compute([LATE], NAMES)
    lose_columns(store, read)
    compute([LATE], NAMES[::3])
    assert len(read) < 3
    compute([EARLY, LATE], NAMES)
    for window in (EARLY, LATE):
        check_stored(catalogue, window, NAMES, store)


@pytest.mark.parametrize("limits", [OF_ALL_KEYS])
def test_partials_that_were_cut_more_finely_serve_as_well(
    compute: Compute, catalogue: Catalogue, store: Store, read: list[int]
) -> None:
    """But for decayed sums, which are weighed from where their tile ends, and for keys of other pairs."""
    cases = [case for case in MERGED if not case.startswith("pulled_")]
    names = [block.column(case) for block in BLOCKS if not block.lookback for case in cases]
    compute([EARLY, LATE], names)
    lose_columns(store, read)
    compute([LATE], names)
    assert read == []
    check_stored(catalogue, LATE, names, store)


@BOTH
def test_lost_and_damaged_partials_are_made_again(
    compute: Compute, catalogue: Catalogue, store: Store, read: list[int]
) -> None:
    compute([LATE], NAMES)
    n_before = n_stored(store)
    lose_columns(store, read)
    files = sorted((store.root / "artifacts" / "partials").glob("*/*.parquet"))
    files[0].write_bytes(b"damaged")
    files[1].unlink()
    compute([LATE], NAMES)
    assert n_stored(store) == n_before
    check_stored(catalogue, LATE, NAMES, store)


# Of partitions that are cut elsewhere now, the sums serve, and with them the rows of all tiles but the largest.
CUT_ELSEWHERE = [b for b in BLOCKS if b.key in (("user_id",), ("age",), ("device", "user_id"), ())]
ELSEWHERE = pytest.mark.parametrize("limits", [replace(OF_ALL_KEYS, cached_share=0.1)], ids=["sums"])


@ELSEWHERE
def test_windows_one_after_the_other_have_the_values_of_rows(
    compute: Compute, catalogue: Catalogue, store: Store
) -> None:
    cases = (*MERGED, "sum_value", "mean_like", "low_note", "pulled_value", "fading", "liked_n", "liked_std")
    names = [b.column(case) for b in CUT_ELSEWHERE if b.lookback in ("", "__h1") for case in cases]
    for hour in (10, 5, 8):
        compute([window_at(hour)], names)
        check_stored(catalogue, window_at(hour), names, store)


@ELSEWHERE
def test_columns_that_are_new_take_the_sums_that_are_there(
    compute: Compute, catalogue: Catalogue, store: Store, read: list[int]
) -> None:
    blocks = [block for block in CUT_ELSEWHERE if not block.lookback]
    old = [block.column(case) for block in blocks for case in ("n", "sum_value")]
    names = [
        block.column(case) for block in blocks for case in ("n", "sum_value", "mean_value", "high_stars")
    ]
    compute([LATE], old)
    lose_columns(store, read)
    compute([LATE], names)
    assert sorted(read) == [0, 1, 2]
    check_stored(catalogue, LATE, names, store)
