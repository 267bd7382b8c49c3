"""Take a log in that is ordered by time or per user: all of it is in memory, since its rows must be sorted."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from competitions._competition import Competition, RawTables
from competitions._intake.clock import end_of, with_clock
from competitions._intake.parts import Part, write_parts
from competitions._intake.rows import check_not_empty, interaction_rules, log_rows, no_rows
from competitions._intake.sample import in_share
from competitions._intake.streamed import Cut
from competitions._intake.test_window import LogEnd, TestWindow, cut_window, given_window, horizon_of
from competitions._intake.validate import validated


def whole_log(
    c: Competition, tables: RawTables, cut: Cut, folder: Path
) -> tuple[tuple[Part, ...], TestWindow]:
    """Check, clock, sort and write the log as partitions into a new ``folder``; returns them and the test window.

    Raises DataError if a table breaks its rules, or there is nothing to learn from or to score.
    """
    log = _sorted_log(c, tables.interactions, cut)
    end, first = end_of(log.lazy(), c.clock), int(log["clock"][0])
    if tables.pairs is not None:
        log_end = LogEnd(int(log["row"].max()), end, end - first, log.head(0))  # type: ignore[arg-type]  # not empty
        window = given_window(c, tables, tables.pairs, log_end, cut.sample_users)
        return write_parts(c, log, folder, cut.partition_rows), window
    start = end - horizon_of(c, end - first, is_within=True)
    before = log.filter(pl.col("clock") < start)
    targets = log.filter(pl.col("clock") >= start)
    window = cut_window(c, targets, n_before=before.height, start=start, until=end)
    return write_parts(c, before, folder, cut.partition_rows), window


def _sorted_log(c: Competition, interactions: pl.LazyFrame, cut: Cut) -> pl.DataFrame:
    check_not_empty(c, interactions)
    rules = interaction_rules(c)
    rows = validated(interactions, rules)
    if cut.sample_users < 1:
        kept = rows.filter(in_share(pl.col(c.user), rows.schema[c.user], cut.sample_users))
        rows = kept.sort("row").with_columns(row=pl.int_range(pl.len(), dtype=pl.UInt32))
    if rows.is_empty():
        raise no_rows(c, cut.sample_users)
    clocked = with_clock(rows.lazy(), c.clock, c.user).collect(engine="streaming")
    return log_rows(c, clocked).sort("clock", "row")
