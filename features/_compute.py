"""Compute columns for windows. The only place where features meet the history, which arrives here already cut."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import polars as pl

from competitions import Dataset, opened
from features._batches import Frames, Work, by_pass, compute_aggregates
from features._catalogue import Catalogue
from features._column import FeatureColumn
from features._finish import finished, guarded
from features._plan import make_plan
from features._python_bodies import run_body
from features._rows import history_rows
from validation import Window


def compute_window(
    catalogue: Catalogue,
    window: Window,
    names: Sequence[str],
    pairs: pl.DataFrame,
    given: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Compute exactly the named columns for the pairs of a window.

    ``pairs``: ``pair_id``, keys and observed columns. ``given``: ``pair_id`` and columns computed earlier that the
    named ones read. Returns ``pair_id`` and the named columns, one row a pair, in the order of ``pairs``.
    """
    before = {} if given is None else {window: given}
    return compute_windows(catalogue, names, {window: pairs}, before)[window]


def compute_windows(
    catalogue: Catalogue,
    names: Sequence[str],
    pairs: Frames,
    given: Frames | None = None,
) -> dict[Window, pl.DataFrame]:
    """Compute exactly the named columns for the pairs of several windows: aggregates in one pass for all of them.

    ``pairs``, ``given`` and the result as for ``compute_window``, by window. The values are the same as those of each
    window by itself.
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
            work = Work(dataset, plan.passes, frames)
            for window, columns, _ in by_pass(compute_aggregates(work), frames):
                values[window].append(columns)
        for window, frame in frames.items():
            for body in plan.bodies:
                values[window].append(body_values(dataset, window, body, frame))
        results = {}
        for window, parts in values.items():
            frame = with_given(pl.concat(parts, how="horizontal"), (given or {}).get(window))
            for level in plan.levels:
                frame = frame.hstack(pair_values(frame, level))
            results[window] = frame.select("pair_id", *dict.fromkeys(names))
    return results


def shown(
    dataset: Dataset, window: Window, pairs: pl.DataFrame, columns: Collection[str] | None = None
) -> pl.DataFrame:
    """Join pairs with attributes, and with cutoff and horizon of their window; all columns, or only some."""
    literals = {"cutoff": pl.lit(window.cutoff, pl.Int64), "horizon": pl.lit(window.horizon, pl.Int64)}
    found = dataset.with_attributes(pairs.lazy()).with_columns(**literals)
    names = [name for name in found.collect_schema().names() if columns is None or name in columns]
    return found.select(names).collect(engine="in-memory")


def with_given(frame: pl.DataFrame, given: pl.DataFrame | None) -> pl.DataFrame:
    """Join what was computed earlier."""
    if given is None:
        return frame
    return frame.join(given, on="pair_id", how="left", validate="1:1", maintain_order="left")


def body_values(
    dataset: Dataset, window: Window, columns: Sequence[FeatureColumn], pairs: pl.DataFrame
) -> pl.DataFrame:
    """Run the Python body that the columns share; return them in the order of ``pairs``."""
    values = run_body(columns, history_of(dataset, window), window, pairs)
    ordered = pairs.select("pair_id").join(
        values, on="pair_id", how="left", validate="1:1", maintain_order="left"
    )
    return ordered.drop("pair_id")


def history_of(dataset: Dataset, window: Window) -> pl.LazyFrame:
    """Rows before the cutoff joined with attributes, in the order of (clock, row); nothing is read yet."""
    log = window.history(dataset.log)
    if not all(
        piece.digest for piece in dataset.partitions
    ):  # partitions lie in order, tables in memory may not
        log = log.sort("clock", "row")
    literals = {"cutoff": pl.lit(window.cutoff, pl.Int64), "horizon": pl.lit(window.horizon, pl.Int64)}
    names = dataset.history_schema.names()
    return history_rows(dataset, log, names).with_columns(**literals)


def pair_values(frame: pl.DataFrame, level: Sequence[FeatureColumn]) -> pl.DataFrame:
    """Evaluate one level of per-pair columns in one projection, the rows in a fixed order."""
    order = frame["pair_id"].arg_sort()
    values = guarded(frame[order], [finished(column) for column in level], level)
    return values[order.arg_sort()]
