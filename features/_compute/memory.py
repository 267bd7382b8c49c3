"""Estimate the memory of work before it starts: how much may run at the same time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import polars as pl

from competitions import Dataset
from engine import Settings, console
from features._catalogue import FeatureColumn, PythonBody
from validation import Window

COPIES = 3.0  # of what a body reads at its peak: as read, sorted or coded, and what it makes of it
WORK_BYTES = 24  # a row, of codes, weights and matrices that bodies make
BASE_GIB = 0.5  # of a worker with its libraries loaded
STATE_BYTES = 2_048  # a user or item, of what a streamed learner knows of it
_BYTES_OF_TEXT, _BYTES_OF_LIST = 24, 40


def body_gib(dataset: Dataset, window: Window, columns: Sequence[FeatureColumn]) -> float:
    """Estimate the memory of one Python body in one window: rows before the cutoff times the width of what it reads.

    Of a streamed one: the rows of a chunk, where the log lies in files, and its state, taken to be ``STATE_BYTES`` for
    each user and item. Vectors of users and items (arrays) are counted once for each, not for each row: a body takes
    them once.
    """
    body = columns[0].body
    needs = set(body.needs) if isinstance(body, PythonBody) and body.needs else set(dataset.history_schema)
    read = {n: d for n, d in dataset.history_schema.items() if n in {*needs, "clock", "row"}}
    vectors, is_streamed = 0.0, columns[0].kind == "streamed"
    for table in (dataset.users, dataset.items):
        own = [
            name
            for name, dtype in table.collect_schema().items()
            if isinstance(dtype, pl.Array) and name in read
        ]
        if own or is_streamed:
            height = table.select(pl.len()).collect(engine="streaming").item()
            vectors += height * STATE_BYTES if is_streamed else 0
            vectors += COPIES * height * sum(bytes_of(read.pop(name)) for name in own)
    width = sum(bytes_of(dtype) for dtype in read.values())
    rows = rows_before(dataset, window.cutoff)
    if is_streamed and all(partition.digest for partition in dataset.partitions):
        rows = min(rows, columns[0].declaration.options["step"])
    return BASE_GIB + (rows * (COPIES * width + WORK_BYTES) + vectors) / 2**30


def pairs_gib(n_pairs: int, n_columns: int) -> float:
    """Estimate the memory of per-pair columns of one window: what they read and what they make, as Float64."""
    return BASE_GIB + n_pairs * n_columns * COPIES * 8 / 2**30


def threads_per_job(gib: float, settings: Settings) -> int:
    """Give each job so many threads that all that run at once fit ``memory_gib``."""
    n_at_once = max(1, min(settings.threads, int(settings.memory_gib / gib)))
    return math.ceil(settings.threads / n_at_once)


def tell_if_too_large(gib: float, settings: Settings) -> None:
    """Say before it starts that one job alone may need more than ``memory_gib``."""
    if gib > settings.memory_gib:
        console.print(
            f"One of these needs up to {gib:.1f} GiB, more than memory_gib = {settings.memory_gib:g}. It is tried all "
            "the same, by itself; raise memory_gib or leave features out if it fails.",
            style="yellow",
        )


def rows_before(dataset: Dataset, cutoff: int) -> int:
    """Count the rows of the log before a clock; partitions tell theirs without being read."""
    return rows_before_each(dataset, [cutoff])[cutoff]


def rows_before_each(dataset: Dataset, cutoffs: Iterable[int]) -> dict[int, int]:
    """Count the rows of the log before each of some clocks; a partition's clocks are read once for all of them."""
    n_rows = dict.fromkeys(cutoffs, 0)
    for partition in dataset.partitions:
        n, first, last = partition.n_rows, partition.first_clock, partition.last_clock
        within = [cutoff for cutoff in n_rows if first is None or first < cutoff]
        if n is not None and last is not None:
            for cutoff in within:
                n_rows[cutoff] += n if last < cutoff else 0
            within = [cutoff for cutoff in within if last >= cutoff]
        if within:
            before = [(pl.col("clock") < cutoff).sum().alias(str(cutoff)) for cutoff in within]
            counted = partition.rows.select(before).collect(engine="streaming").row(0)
            for cutoff, count in zip(within, counted, strict=True):
                n_rows[cutoff] += count
    return n_rows


def bytes_of(dtype: pl.DataType) -> int:
    """Bytes of a value in memory, about."""
    if isinstance(dtype, pl.Array):
        return dtype.size * bytes_of(dtype.inner if isinstance(dtype.inner, pl.DataType) else dtype.inner())
    if dtype.is_nested():
        return _BYTES_OF_LIST
    if dtype == pl.String:
        return _BYTES_OF_TEXT
    return {pl.Int8: 1, pl.UInt8: 1, pl.Boolean: 1, pl.Int16: 2, pl.UInt16: 2, pl.Int32: 4, pl.UInt32: 4,
            pl.Float32: 4}.get(type(dtype), 8)  # fmt: skip
