"""Compute columns for windows. The only place where features meet the history, which arrives here already cut."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import polars as pl

from competitions import Dataset, opened
from features._aggregation import (
    LIMITS,
    Frames,
    Limits,
    Work,
    compute_aggregates,
    evaluate,
    history_rows,
    make_plan,
    window_columns,
)
from features._catalogue import Catalogue, FeatureColumn
from features._compute.bodies import in_order_of, run_body
from features._compute.streams import streamed_values
from validation import Window


def compute_window(
    catalogue: Catalogue,
    window: Window,
    names: Sequence[str],
    pairs: pl.DataFrame,
) -> pl.DataFrame:
    """Compute exactly the named columns for the pairs of a window.

    ``pairs``: ``pair_id``, keys and observed columns. Returns ``pair_id`` and the named columns, one row a pair, in
    the order of ``pairs``.
    """
    return compute_windows(catalogue, names, {window: pairs})[window]


def compute_windows(
    catalogue: Catalogue,
    names: Sequence[str],
    pairs: Frames,
    limits: Limits = LIMITS,
) -> dict[Window, pl.DataFrame]:
    """Compute exactly the named columns for the pairs of several windows: aggregates in one pass for all of them.

    ``pairs`` and the result as for ``compute_window``, by window. The values are the same as those of each
    window by itself, and with any ``limits``: they choose between ways of computing.
    """
    if not pairs:
        return {}
    plan = make_plan(catalogue, names)
    dataset = catalogue.dataset
    with opened(dataset):
        alone = not plan.bodies and not plan.levels
        needed = {"pair_id", *(name for one in plan.passes for name in one.key)} if alone else None
        frames = {window: shown(dataset, window, rows, needed) for window, rows in pairs.items()}
        values = {window: [frame] for window, frame in frames.items()}
        if plan.passes:
            work = Work(dataset, plan.passes, frames, limits=limits)
            for window, columns, _ in compute_aggregates(work):
                values[window].append(columns)
        for body in plan.bodies:
            for window, columns in _python_values(dataset, body, frames):
                values[window].append(columns)
        results = {}
        for window, found in values.items():
            frame = pl.concat(found, how="horizontal")
            for level in plan.levels:
                frame = frame.hstack(pair_values(frame, level))
            results[window] = frame.select("pair_id", *dict.fromkeys(names))
    return results


def shown(
    dataset: Dataset, window: Window, pairs: pl.DataFrame, columns: Collection[str] | None = None
) -> pl.DataFrame:
    """Join pairs with attributes, and with cutoff and horizon of their window; all columns, or only some."""
    found = dataset.with_attributes(pairs.lazy()).with_columns(**window_columns(window))
    names = [name for name in found.collect_schema().names() if columns is None or name in columns]
    return found.select(names).collect(engine="in-memory")


def _python_values(
    dataset: Dataset, body: Sequence[FeatureColumn], frames: Frames
) -> Iterator[tuple[Window, pl.DataFrame]]:
    """Run one Python body for windows: in each by itself, or through the log once."""
    if body[0].kind == "streamed":
        for window, values in streamed_values(dataset, body, frames):
            yield window, values.drop("pair_id")
        return
    for window, frame in frames.items():
        yield window, body_values(dataset, window, body, frame)


def body_values(
    dataset: Dataset, window: Window, columns: Sequence[FeatureColumn], pairs: pl.DataFrame
) -> pl.DataFrame:
    """Run the Python body that the columns share; return them in the order of ``pairs``."""
    values = run_body(columns, history_of(dataset, window), window, pairs)
    return in_order_of(pairs, values).drop("pair_id")


def history_of(dataset: Dataset, window: Window) -> pl.LazyFrame:
    """Rows before the cutoff joined with attributes, in the order of (clock, row); nothing is read yet."""
    log = window.history(dataset.log)
    if not all(partition.digest for partition in dataset.partitions):  # a table in memory may be in any order
        log = log.sort("clock", "row")
    rows = history_rows(dataset, log, dataset.history_schema.names())
    return rows.with_columns(**window_columns(window))


def pair_values(frame: pl.DataFrame, level: Sequence[FeatureColumn]) -> pl.DataFrame:
    """Evaluate one level of per-pair columns in one projection, the rows in a fixed order."""
    order = frame["pair_id"].arg_sort()
    values = evaluate(frame[order], level)
    return values[order.arg_sort()]
