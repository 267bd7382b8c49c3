"""The files that the engines of the aggregates benchmark read, made once from the data set of the competition."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from benchmarks._aggregates_job import ITEM_COLUMNS, KEYS, LOG_COLUMNS, Job, settings_for
from competitions import Dataset, open_dataset
from validation import Window, window_pairs

N_CUTOFFS = 5
LOOKBACKS = (None, 1, 2)


@dataclass(frozen=True)
class Inputs:
    """The jobs' common part, and how large the data are."""

    job: Job
    n_rows: int
    n_pairs: int
    n_keys: dict[str, int]


def prepared(data: Path, cache: Path, threads: int, sample_users: float = 1.0) -> Inputs:
    """Take the data in, and write the files of the other engines beside it, unless they are there.

    The cutoffs are the test window's and those one, two, ... horizons earlier.
    """
    store = cache / "store"
    dataset = open_dataset(settings_for(data, store, threads, sample_users))
    inputs = cache / "inputs" / dataset.fingerprint[:16]
    windows = [_window(dataset, steps) for steps in range(N_CUTOFFS)]
    if not inputs.exists():
        inputs.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=inputs.parent) as temporary:
            fresh = Path(temporary, "inputs")
            write(dataset, windows, fresh)
            fresh.rename(inputs)
    cutoffs = tuple(window.cutoff for window in windows)
    job = Job(
        inputs, data, store, dataset.horizon, cutoffs, LOOKBACKS, "all", threads, sample_users=sample_users
    )
    return Inputs(job, *_sizes(job))


def _window(dataset: Dataset, steps: int) -> Window:
    start = dataset.test_start - steps * dataset.horizon
    return Window(start, start, start + dataset.horizon)


def write(dataset: Dataset, windows: list[Window], folder: Path) -> None:
    """Write the log by its partitions, with and without the attributes of the items, and the windows' pairs."""
    for name in ("joined", "log", "pairs"):
        (folder / name).mkdir(parents=True)
    dataset.items.select(ITEM_COLUMNS).sink_parquet(folder / "items.parquet", engine="streaming")
    for number, part in enumerate(dataset.partitions):
        file = f"part-{number:05}.parquet"
        joined = dataset.with_attributes(part.rows).select(*LOG_COLUMNS, *ITEM_COLUMNS[1:])
        joined.sink_parquet(folder / "joined" / file, engine="streaming")
        part.rows.select(LOG_COLUMNS).sink_parquet(folder / "log" / file, engine="streaming")
    columns = ["pair_id", *{name: None for key in KEYS for name in key}]
    for window in windows:
        pairs = dataset.with_attributes(window_pairs(dataset, window).lazy())
        pairs.select(columns).collect(engine="streaming").write_parquet(
            folder / "pairs" / f"{window.cutoff}.parquet"
        )


def _sizes(job: Job) -> tuple[int, int, dict[str, int]]:
    log = pl.scan_parquet(job.inputs / "joined" / "*.parquet")
    pairs = pl.scan_parquet(job.inputs / "pairs" / "*.parquet")
    n_rows, n_pairs = (
        int(frame.select(pl.len()).collect(engine="streaming").item()) for frame in (log, pairs)
    )
    n_keys = {
        "_x_".join(key): int(log.select(key).unique().select(pl.len()).collect(engine="streaming").item())
        for key in KEYS
    }
    return n_rows, n_pairs, n_keys
