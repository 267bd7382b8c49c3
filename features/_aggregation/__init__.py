"""Aggregates of many windows in one pass over the log: tiles of the clock, keys of the pairs, sums that merge."""

from features._aggregation.batches import Frames, Work, batches, compute_aggregates
from features._aggregation.column_values import evaluate
from features._aggregation.keys import distinct, index_of, n_distinct, n_distinct_at_most
from features._aggregation.limits import LIMITS, Limits
from features._aggregation.log_rows import LogReader, RowsByPosition, history_rows, window_columns
from features._aggregation.partition_cache import digest_of_tables
from features._aggregation.plan import Plan, make_groups, make_plan
from features._aggregation.rollups import plan_rollups
from features._aggregation.threads import interleave, run_all

__all__ = [
    "LIMITS",
    "Frames",
    "Limits",
    "LogReader",
    "Plan",
    "RowsByPosition",
    "Work",
    "batches",
    "compute_aggregates",
    "digest_of_tables",
    "distinct",
    "evaluate",
    "history_rows",
    "index_of",
    "interleave",
    "make_groups",
    "make_plan",
    "n_distinct",
    "n_distinct_at_most",
    "plan_rollups",
    "run_all",
    "window_columns",
]
