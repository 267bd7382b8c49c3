"""The log grows by a file: what its features cost, beside the same features of a log that is only that file."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter

import polars as pl

from benchmarks._aggregates_job import settings_for
from benchmarks._aggregates_ours import declared
from benchmarks._incremental_rounds import LOOKBACKS, Lookbacks, Rounds
from competitions import Dataset, PartitionedLog, open_dataset
from engine import Settings, Store
from features import bind_catalogue, compute_features
from validation import Window, plan_folds


def one_more_partition(
    data: Path, folder: Path, threads: int, repeats: int, lookbacks: Lookbacks = LOOKBACKS
) -> Rounds:
    """Hold the last file of the log back, fill a store, give the file, and compute the new test window.

    ``plain`` is what the same columns of the same pairs take where the log is the new rows only: a pass over them, and
    the end of every column, which is merged with nothing. ``merge`` is what merging the partials of the
    earlier partitions takes: the columns of a log of these less the columns of the new rows, where all partials are in
    the store, so that both do nothing else but to end the columns. Each round has stores of its own.
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
        ask = partial(_seconds, settings=settings, lookbacks=lookbacks)
        store, of_new = Store(settings.store), Store(place / "of new rows")
        _give(data, settings.data, but=files[-1].name)
        shorter = open_dataset(settings)
        ask(shorter, store, _test_window(shorter, settings))
        _give(data, settings.data)
        grown = open_dataset(settings)
        window = _test_window(grown, settings)
        new, earlier = (_only(grown, grown.test_start - n_new, is_new=is_new) for is_new in (True, False))
        rounds.ours.append(ask(grown, store, window))
        rounds.plain.append(ask(new, of_new, window))
        again = replace(new, fingerprint=f"{new.fingerprint}, again")
        rounds.merge.append(ask(earlier, store, window) - ask(again, of_new, window))
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
    dataset: Dataset,
    store: Store,
    window: Window,
    settings: Settings,
    lookbacks: Lookbacks,
) -> float:
    """Compute the columns of a window; seconds without the intake and the binding."""
    catalogue = bind_catalogue(dataset, declared(lookbacks))
    began = perf_counter()
    compute_features(catalogue, [window], tuple(catalogue.columns), store, settings)
    return perf_counter() - began


def _only(dataset: Dataset, clock: int, *, is_new: bool) -> Dataset:
    """Leave only the partitions of a log whose rows come at or after a clock, or only those that come before it."""
    partitions = tuple(
        one
        for one in dataset.partitions
        if one.first_clock is not None and (one.first_clock >= clock) == is_new
    )
    log = pl.concat([one.rows for one in partitions])
    own = f"{dataset.fingerprint}, {'new' if is_new else 'earlier'} rows"
    return replace(dataset, log=log, partitioned=PartitionedLog(log, partitions), fingerprint=own)
