"""Rows of the log as aggregates read them: one slice at a time, joined with the attributes that are asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import polars as pl

from competitions import Dataset, LogSlice
from features._grid import Grid


def history_rows(dataset: Dataset, rows: pl.LazyFrame, columns: Collection[str]) -> pl.LazyFrame:
    """Select columns of the history from rows of the log, joining only the tables that have some of them."""
    c = dataset.competition
    for table, key in ((dataset.users, c.user), (dataset.items, c.item)):
        wanted = [n for n in table.collect_schema().names() if n in columns and n != key]
        if wanted:
            attributes = table.select(key, *wanted)
            rows = rows.join(attributes, on=key, how="left", validate="m:1", maintain_order="left")
    return rows.select(n for n in dataset.history_schema.names() if n in columns)


def slice_rows(dataset: Dataset, piece: LogSlice, columns: Collection[str], until: int) -> pl.DataFrame:
    """Collect the columns of a slice's rows before a clock, in the order of (clock, row)."""
    rows = piece.rows
    if piece.last_clock is None or piece.last_clock >= until:
        rows = rows.filter(pl.col("clock") < until)
    if not piece.digest:  # a partition lies in order; a table in memory may have been shuffled
        rows = rows.sort("clock", "row")
    return history_rows(dataset, rows, columns).collect(engine="in-memory")


def by_cell(rows: pl.DataFrame, grid: Grid) -> Iterator[tuple[int, pl.DataFrame]]:
    """Cut rows that are sorted by ``clock`` at the boundaries of the grid; cells without rows are left out."""
    ends = np.searchsorted(rows["clock"].to_numpy(), np.asarray(grid.bounds, dtype=np.int64), side="left")
    begin = 0
    for cell, end in enumerate(ends.tolist()):
        if end > begin:
            yield cell, rows[begin:end]
        begin = max(begin, end)
