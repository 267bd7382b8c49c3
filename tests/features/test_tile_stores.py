"""What is stored does not depend on what was there, on kills, partitions or threads."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import polars as pl
import pytest

from competitions import Dataset
from engine import Recipe, Settings, Store
from features import compute_features, compute_windows, feature_keys, missing_columns, read_features
from tests.features.tile_cases import CASES
from tests.features.tile_logs import cut, rows_of, whole, window_at
from tests.features.tile_oracle import BLOCKS, catalogue_of, differing
from validation import window_pairs

WINDOWS = [window_at(hour) for hour in (4, 10)]
CHOSEN = [BLOCKS[number] for number in (6, 27)]
# The decayed sums are left out: their last bits depend on the windows beside.
NAMES = [block.column(name) for block in CHOSEN for name, case in CASES.items() if not case.bound]
ROWS = rows_of(31, 160)


def partitioned(*ends: int) -> Dataset:
    return cut(whole(ROWS), ROWS, ends)


def check_stored(dataset: Dataset, store: Store) -> None:
    """Compare what is stored with what each window gives by itself, from the whole log."""
    catalogue = catalogue_of(dataset)
    for window in WINDOWS:
        stored = read_features(catalogue, [window], NAMES, store).sort("pair_id").select(NAMES)
        fresh = compute_windows(catalogue_of(whole(ROWS)), NAMES, {window: window_pairs(dataset, window)})
        assert stored.height > 10
        assert differing(stored, fresh[window].sort("pair_id").select(NAMES)) == []


def test_windows_that_lack_different_columns_end_with_the_same(store: Store, settings: Settings) -> None:
    """The second run reads the log for the columns that only one window lacks, with other tiles and other company."""
    catalogue = catalogue_of(partitioned(50, 100))
    half, rest = NAMES[::2], NAMES[1::2]
    assert compute_features(catalogue, WINDOWS[:1], half, store, settings) == len(half)
    assert compute_features(catalogue, WINDOWS[1:2], rest[:9], store, settings) == 9
    n_left = 2 * len(NAMES) - len(half) - 9
    assert compute_features(catalogue, WINDOWS, NAMES, store, settings) == n_left
    check_stored(catalogue.dataset, store)


class KilledError(BaseException):
    """Not an error that anything would catch."""


@dataclass(frozen=True)
class DyingStore(Store):
    """A store whose process is killed once it has so many columns."""

    n_columns: int
    put_columns: list[Recipe] = field(default_factory=list)
    counting: Lock = field(default_factory=Lock)

    def put(self, recipe: Recipe, build: Callable[[Path], None], *, seconds: float = 0.0) -> Path:
        with self.counting:
            if len(self.put_columns) == self.n_columns:
                raise KilledError
            if recipe.kind == "feature":
                self.put_columns.append(recipe)
        return super().put(recipe, build, seconds=seconds)


def test_a_kill_loses_only_what_was_not_stored_and_other_partitions_go_on(
    store: Store, settings: Settings
) -> None:
    catalogue = catalogue_of(partitioned(50, 100))
    with pytest.raises(KilledError):
        compute_features(catalogue, WINDOWS, NAMES, DyingStore(store.root, 40), settings)
    n_missing = sum(len(missing_columns(catalogue, window, NAMES, store)) for window in WINDOWS)
    assert n_missing == 2 * len(NAMES) - 40
    other = catalogue_of(partitioned(7, 93, 94, 150))
    assert compute_features(other, WINDOWS, NAMES, store, settings) == n_missing
    assert compute_features(catalogue, WINDOWS, NAMES, store, settings) == 0
    check_stored(other.dataset, store)


def test_keys_do_not_depend_on_partitions() -> None:
    keys = [
        feature_keys(catalogue_of(dataset), WINDOWS, NAMES)
        for dataset in (whole(ROWS), partitioned(80), partitioned(1, 2, 3))
    ]
    assert keys[0] == keys[1] == keys[2]


THREADED = """
import sys
from pathlib import Path
import polars as pl
from competitions import Partition, PartitionedLog
from dataclasses import replace
from features import compute_windows
from tests.features.tile_logs import pairs_of, rows_of, whole, window_at
from tests.features.tile_oracle import BLOCKS, catalogue_of

rows, files, partitions = rows_of(5, 30_000), [], []
for begin in range(0, rows.height, int(sys.argv[2])):
    table = rows[begin : begin + int(sys.argv[2])]
    files.append(Path(sys.argv[1]) / f"{begin:05}.parquet")
    table.write_parquet(files[-1], row_group_size=3000)
    bounds = table["clock"].first(), table["clock"].last()
    partitions.append(Partition(pl.scan_parquet(files[-1]), *bounds, table.height, f"digest {begin}"))
log = pl.scan_parquet(files)
dataset = replace(whole(rows), log=log, partitioned=PartitionedLog(log, tuple(partitions)))
names = [name for block in BLOCKS[::8] for name in block.columns if not name.startswith("std_seconds")]
pairs = dict.fromkeys([window_at(5), window_at(11)], pairs_of(50))
found = compute_windows(catalogue_of(dataset), names, pairs)
pl.concat(found.values()).write_ipc(Path(sys.argv[1]) / "found.arrow")
print(pl.thread_pool_size())
"""


def test_any_number_of_threads_gives_the_same_bits(tmp_path: Path) -> None:
    """Partitions on disk, of two sizes, with rows enough for every thread."""
    found = []
    for n_threads, size in ((1, 11_000), (2, 30_000)):
        folder = tmp_path / f"{n_threads}"
        folder.mkdir()
        script = [sys.executable, "-c", THREADED, str(folder), str(size)]
        environment = {**os.environ, "POLARS_MAX_THREADS": str(n_threads)}
        ended = subprocess.run(script, env=environment, check=True, capture_output=True, text=True)
        assert ended.stdout.strip() == str(n_threads)
        found.append(pl.read_ipc(folder / "found.arrow"))
    assert found[0].height == 100
    assert differing(*found) == []
