"""The log grows by a file: what its features cost, beside a pass over the new rows and the merge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import perf_counter

import polars as pl

from benchmarks._aggregates_inputs import write
from benchmarks._aggregates_job import KEYS, Job, settings_for
from benchmarks._aggregates_ours import declared
from benchmarks._aggregates_polars import delivered, finish, states
from benchmarks._incremental_rounds import LOOKBACKS, Lookbacks, Rounds
from competitions import Dataset, open_dataset
from engine import Settings, Store
from features import bind_catalogue, compute_features
from validation import Window, plan_folds


def one_more_partition(
    data: Path, folder: Path, threads: int, repeats: int, lookbacks: Lookbacks = LOOKBACKS
) -> Rounds:
    """Hold the last file of the log back, fill a store, give the file, and compute the new test window.

    ``plain`` is a pass over the new rows plus the merge. Each round has a store of its own.
    """
    rounds = Rounds()
    files = sorted(data.glob("train_interactions*.parquet"), key=lambda path: path.stem)
    if len(files) < 2:
        raise SystemExit(
            f"The log in {data} is one file, so it cannot grow by one. Simulate it in several (--parts), or leave this "
            "part out (--without-partition)."
        )
    for number in range(repeats):
        place = folder / f"growing-{number}"
        settings = settings_for(place / "data", place / "store", threads)
        _give(data, settings.data, but=files[-1].name)
        _computed(settings, lookbacks)
        _give(data, settings.data)
        dataset, seconds = _computed(settings, lookbacks)
        rounds.ours.append(seconds)
        _, merge = _computed(settings, lookbacks, scale=2.0)
        rounds.plain.append(_pass_over(dataset, files[-1], place / "inputs", threads) + merge)
    return rounds


def _give(data: Path, folder: Path, but: str = "") -> None:
    """Link the files of a competition into a folder, but one."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in data.iterdir():
        link = folder / file.name
        if file.name != but and not link.exists():
            link.symlink_to(file.resolve())


def _computed(settings: Settings, lookbacks: Lookbacks, scale: float = 1.0) -> tuple[Dataset, float]:
    """Compute the columns of the test window; seconds without the intake and the binding.

    ``scale`` edits the finish of every column, and nothing before it.
    """
    dataset = open_dataset(settings)
    catalogue = bind_catalogue(dataset, declared(lookbacks, scale))
    window = _test_window(dataset, settings)
    began = perf_counter()
    compute_features(catalogue, [window], tuple(catalogue.columns), Store(settings.store), settings)
    return dataset, perf_counter() - began


def _test_window(dataset: Dataset, settings: Settings) -> Window:
    return plan_folds(dataset, settings.folds).final.eval


def _pass_over(dataset: Dataset, file: Path, folder: Path, threads: int) -> float:
    """Seconds of a streaming pass over the rows of the new file: all aggregates by each key of the test pairs."""
    window = _test_window(dataset, settings_for(file.parent, folder, threads))
    n_new = int(pl.scan_parquet(file).select(pl.len()).collect(engine="streaming").item())
    new = dataset.log.filter(pl.col("clock") >= window.cutoff - n_new)
    write(replace(dataset, log=new), [window], folder)
    rows = pl.scan_parquet(folder / "joined" / "*.parquet")
    job = Job(folder, file.parent, folder, 1, (window.cutoff,), (None,), "pairs", threads)
    began = perf_counter()
    for key in KEYS:
        delivered(job, window.cutoff, key, rows, states(), finish(), "streaming")
    return perf_counter() - began
