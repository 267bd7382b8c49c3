"""Keep the memory budget: how many windows may be computed at the same time."""

from __future__ import annotations

import math

import polars as pl

from competitions import Dataset
from engine import Settings, console

COPIES = 3.0  # of the history at the peak of a window: as read, sorted, and the states beside it
BASE_GIB = 0.4  # of a worker with its libraries loaded
_BYTES_OF_TEXT, _BYTES_OF_LIST = 24, 40


def threads_per_window(dataset: Dataset, cutoff: int, settings: Settings) -> int:
    """Give each window so many threads that all that run at once fit ``memory_gib``; say so if one alone does not."""
    need = estimated_gib(dataset, cutoff)
    n_at_once = max(1, min(settings.threads, int(settings.memory_gib / need)))
    if need > settings.memory_gib:
        console.print(
            f"[yellow]One window needs about {need:.1f} GiB, more than memory_gib = {settings.memory_gib:g}.[/] "
            "It is tried all the same; raise memory_gib or leave features out if it fails."
        )
    return math.ceil(settings.threads / n_at_once)


def estimated_gib(dataset: Dataset, cutoff: int) -> float:
    """Estimate the memory of one window from the rows before its cutoff and the width of a row."""
    n_rows = dataset.log.filter(pl.col("clock") < cutoff).select(pl.len()).collect(engine="streaming").item()
    width = sum(map(_bytes, dataset.history_schema.dtypes()))
    return BASE_GIB + COPIES * float(n_rows) * width / 2**30


def _bytes(dtype: pl.DataType) -> int:
    if isinstance(dtype, pl.Array):
        return dtype.size * _bytes(dtype.inner if isinstance(dtype.inner, pl.DataType) else dtype.inner())
    if dtype.is_nested():
        return _BYTES_OF_LIST
    return _BYTES_OF_TEXT if dtype == pl.String else 8
