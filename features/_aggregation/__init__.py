"""Aggregates of many windows in one pass over the log: tiles of the clock, keys of the pairs, sums that merge."""

from features._aggregation.batches import SHARE, Frames, Work, batches, by_pass, compute_aggregates
from features._aggregation.column_values import finished, guarded
from features._aggregation.keys import Codes, KeyIndex, distinct, index_of, n_distinct, n_distinct_at_most
from features._aggregation.log_rows import TOGETHER, Piece, SliceReader, history_rows, together
from features._aggregation.partial_states import Cells, Partials, can_reduce, reduced
from features._aggregation.partition_cache import Kept, PartNames, recut
from features._aggregation.plan import Group, Plan, make_groups, make_plan
from features._aggregation.rollups import Rollup, plan_rollups
from features._aggregation.scan import Running
from features._aggregation.threads import all_done, all_gone_on, in_turns
from features._aggregation.tiling import Grid

__all__ = [
    "SHARE",
    "TOGETHER",
    "Cells",
    "Codes",
    "Frames",
    "Grid",
    "Group",
    "Kept",
    "KeyIndex",
    "PartNames",
    "Partials",
    "Piece",
    "Plan",
    "Rollup",
    "Running",
    "SliceReader",
    "Work",
    "all_done",
    "all_gone_on",
    "batches",
    "by_pass",
    "can_reduce",
    "compute_aggregates",
    "distinct",
    "finished",
    "guarded",
    "history_rows",
    "in_turns",
    "index_of",
    "make_groups",
    "make_plan",
    "n_distinct",
    "n_distinct_at_most",
    "plan_rollups",
    "recut",
    "reduced",
    "together",
]
