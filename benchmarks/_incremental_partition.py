"""The log grows by a file: what its features cost, beside the same features of a log that is only that file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import perf_counter

import polars as pl

from benchmarks._aggregates_job import settings_for
from benchmarks._aggregates_ours import declared
from benchmarks._incremental_rounds import LOOKBACKS, Lookbacks, Rounds
from competitions import Dataset, SlicedLog, open_dataset
from engine import Settings, Store
from features import bind_catalogue, compute_features
from validation import Window, plan_folds


def one_more_partition(
    data: Path, folder: Path, threads: int, repeats: int, lookbacks: Lookbacks = LOOKBACKS
) -> Rounds:
    """Hold the last file of the log back, fill a store, give the file, and compute the new test window.

    ``plain`` is what the same columns of the same pairs take where the log is the new rows only: a pass over them, and
    the end of every column, which is merged with nothing. Each round has stores of its own.
    """
    rounds = Rounds()
    files = sorted(data.glob("train_interactions*.parquet"), key=lambda path: path.stem)
    if len(files) < 2:
        raise SystemExit(
            f"The log in {data} is one file, so it cannot grow by one. Simulate it in several (--parts), or leave this "
            "part out (--without-partition)."
        )
    n_new = int(pl.scan_parquet(files[-1]).select(pl.len()).collect(engine="streaming").item())
    for number in range(repeats):
        place = folder / f"growing-{number}"
        settings = settings_for(place / "data", place / "store", threads)
        _give(data, settings.data, but=files[-1].name)
        earlier = open_dataset(settings)
        _seconds(earlier, _test_window(earlier, settings), settings, Store(settings.store), lookbacks)
        _give(data, settings.data)
        grown = open_dataset(settings)
        window = _test_window(grown, settings)
        rounds.ours.append(_seconds(grown, window, settings, Store(settings.store), lookbacks))
        alone = _only_since(grown, grown.test_start - n_new)
        rounds.plain.append(_seconds(alone, window, settings, Store(place / "alone"), lookbacks))
    return rounds


def _give(data: Path, folder: Path, but: str = "") -> None:
    """Link the files of a competition into a folder, but one."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in data.iterdir():
        link = folder / file.name
        if file.name != but and not link.exists():
            link.symlink_to(file.resolve())


def _test_window(dataset: Dataset, settings: Settings) -> Window:
    return plan_folds(dataset, settings.folds).final.eval


def _seconds(
    dataset: Dataset, window: Window, settings: Settings, store: Store, lookbacks: Lookbacks
) -> float:
    """Compute the columns of a window; seconds without the intake and the binding."""
    catalogue = bind_catalogue(dataset, declared(lookbacks))
    began = perf_counter()
    compute_features(catalogue, [window], tuple(catalogue.columns), store, settings)
    return perf_counter() - began


def _only_since(dataset: Dataset, clock: int) -> Dataset:
    """Leave only the partitions of a log whose rows all come at or after a clock."""
    slices = tuple(s for s in dataset.slices if s.first_clock is not None and s.first_clock >= clock)
    log = pl.concat([piece.rows for piece in slices])
    return replace(
        dataset, log=log, sliced=SlicedLog(log, slices), fingerprint=f"{dataset.fingerprint}-since"
    )
