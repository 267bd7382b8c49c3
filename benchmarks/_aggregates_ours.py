"""Samewise's own engine in the aggregates benchmark: the 15 aggregates as a user declares them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import polars as pl

from benchmarks._aggregates_job import KEYS, OUTCOMES, VALUES, Engine, Job, Key, ResultTable
from competitions import Dataset, open_dataset
from features import (
    Aggregate,
    Catalogue,
    Log,
    Lookback,
    Registry,
    aggregate,
    bind_catalogue,
    compute_windows,
    count,
    first,
    horizon,
    last,
    mean,
    std,
    total,
)
from validation import Window

Body: TypeAlias = Callable[[Log], Aggregate]


def declared(lookbacks: tuple[int | None, ...]) -> Registry:
    """Declare the 15 aggregates by every key and lookback."""
    registry = Registry()
    grid: tuple[Lookback | None, ...] = tuple(None if n is None else horizon(n) for n in lookbacks)
    keys = [key[0] if len(key) == 1 else key for key in KEYS]

    def n(log: Log) -> Aggregate:
        """Rows."""
        del log
        return count()

    def last_clock(log: Log) -> Aggregate:
        """Clock of the last row."""
        return last(log.clock)

    def first_clock(log: Log) -> Aggregate:
        """Clock of the first row."""
        return first(log.clock)

    def timespent_std(log: Log) -> Aggregate:
        """Standard deviation of the seconds watched."""
        return std(log.timespent)

    def watch_share(log: Log) -> Aggregate:
        """Seconds watched over seconds shown."""
        return total(log.timespent) / total(log.duration)

    own: list[Body] = [n, last_clock, first_clock, timespent_std, watch_share]
    for body in (*own, *(body for name in OUTCOMES for body in _of_outcome(name))):
        aggregate(keys=keys, lookbacks=grid, registry=registry)(body)
    return registry


def _of_outcome(name: str) -> list[Body]:
    def outcome_sum(log: Log) -> Aggregate:
        """Sum of an outcome."""
        return total(log[name])

    def outcome_mean(log: Log) -> Aggregate:
        """Mean of an outcome."""
        return mean(log[name])

    outcome_sum.__name__, outcome_mean.__name__ = f"{name}_sum", f"{name}_mean"
    return [outcome_sum, outcome_mean]


def deliver(job: Job) -> Iterator[ResultTable]:
    """Open the data set and bind the declarations; the first row is read when the first table is asked for."""
    catalogue = bind_catalogue(open_dataset(job.settings()), declared(job.lookbacks))
    windows = [Window(cutoff, cutoff, cutoff + job.horizon) for cutoff in job.cutoffs]
    return _values(job, catalogue, windows)


def _values(job: Job, catalogue: Catalogue, windows: list[Window]) -> Iterator[ResultTable]:
    shown = {window: _shown_pairs(job, catalogue.dataset, window.cutoff) for window in windows}
    for window, values in compute_windows(catalogue, tuple(catalogue.columns), shown).items():
        for key in KEYS:
            for lookback in job.lookbacks:
                columns = {name: pl.col(_column(name, key, lookback)) for name in VALUES}
                yield ResultTable(key, window.cutoff, lookback, values.select("pair_id", **columns))


def _shown_pairs(job: Job, dataset: Dataset, cutoff: int) -> pl.DataFrame:
    """Read the pairs of a window as our engine takes them: keys and observed columns, no attributes."""
    return pl.read_parquet(job.pairs_file(cutoff), columns=dataset.test_pairs.collect_schema().names())


def _column(name: str, key: Key, lookback: int | None) -> str:
    return f"{name}__{'_x_'.join(key)}{'' if lookback is None else f'__h{lookback}'}"


ENGINES: dict[str, Engine] = {"samewise": deliver}
