"""What a competition gives: tables, roles, clock, target, metric, file format. One plain file each.

A new competition is a new file in this folder that defines a ``Competition``; nothing else has to be edited.
"""

from competitions._competition import (
    Clock,
    ClockKind,
    Competition,
    LogFile,
    LogShare,
    Metric,
    RawTables,
    SubmissionFormat,
    Threshold,
    every_file,
)
from competitions._dataset import Dataset, Partition, PartitionedLog, opened, pointer_to
from competitions._declaration import (
    NUMBERS_OF_CATEGORIES,
    is_rowwise,
    keeps_rows,
    numbers_categories,
    runs_python,
)
from competitions._dense import DenseOutcome, dense_outcome
from competitions._discover import competitions, get_competition
from competitions._generate import random_tables
from competitions._intake import (
    in_share,
    open_dataset,
    oracle,
    order_blind,
    schema_of,
    solution,
    statistician,
    take_in,
    with_clock,
)
from competitions._sources import (
    fetch_wheel,
    find_layout,
    in_groups,
    layouts_in_words,
    scan_file,
    split_lines,
)
from competitions.simulator import Ceiling, ceiling, simulate

__all__ = [
    "NUMBERS_OF_CATEGORIES",
    "Ceiling",
    "Clock",
    "ClockKind",
    "Competition",
    "Dataset",
    "DenseOutcome",
    "LogFile",
    "LogShare",
    "Metric",
    "Partition",
    "PartitionedLog",
    "RawTables",
    "SubmissionFormat",
    "Threshold",
    "ceiling",
    "competitions",
    "dense_outcome",
    "every_file",
    "fetch_wheel",
    "find_layout",
    "get_competition",
    "in_groups",
    "in_share",
    "is_rowwise",
    "keeps_rows",
    "layouts_in_words",
    "numbers_categories",
    "open_dataset",
    "opened",
    "oracle",
    "order_blind",
    "pointer_to",
    "random_tables",
    "runs_python",
    "scan_file",
    "schema_of",
    "simulate",
    "solution",
    "split_lines",
    "statistician",
    "take_in",
    "with_clock",
]
