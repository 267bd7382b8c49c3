"""A competition's data after intake: validated, clocked, sorted, fingerprinted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl
from blake3 import blake3

from competitions._competition import Competition


@dataclass(frozen=True)
class Partition:
    """A contiguous stretch of the log: all its rows come before those of the next partition, by (clock, row).

    ``first_clock`` and ``last_clock`` are those of its first and last row, both included; None = not known without
    reading. ``digest`` is of the rows' content; empty for tables that are only in memory, which nothing is stored of.
    """

    rows: pl.LazyFrame
    first_clock: int | None = None
    last_clock: int | None = None
    n_rows: int | None = None
    digest: str = ""


@dataclass(frozen=True)
class PartitionedLog:
    """The partitions of a log and the LazyFrame that is their concatenation."""

    log: pl.LazyFrame
    partitions: tuple[Partition, ...]


@dataclass(frozen=True)
class Dataset:
    """Everything below the features reads the competition through this.

    Attributes
    ----------
    log
        Interactions *before the test window*, sorted by (clock, row), joined with nothing. Columns: ``row`` UInt32
        (number of the row in the file, unique), ``clock`` Int64, keys, observed columns, outcomes, derived columns,
        ``relevance`` Int8. The test window's rows are not in it.
    users, items
        Attributes, one row per key; key columns have the dtype they have in the log. Where the competition declares
        none, the keys of the log and the pairs.
    test_pairs
        The pairs to submit: ``pair_id`` UInt32, keys and observed columns (no outcomes), in file order.
    test_start, test_until
        Clock of the test window's targets, half-open.
    fingerprint
        Hash of the input files' contents and of the code that reads them; of the share too, for a sample of the users.
    sample_pairs
        Share of the users of each window whose pairs are scored; 1 = all. The history is whole all the same.
    all_new
        Keys (of users, of items) of which no test pair has one with a row in the log.
    out_of_range
        Observed numbers that run on with time: nearly all test pairs have one below or above all of the log.
    partitioned
        The partitions that ``log`` is the concatenation of, if it lies in partitions. What replaces ``log`` need not
        touch it: partitions of another log are not used.
    """

    competition: Competition
    log: pl.LazyFrame
    users: pl.LazyFrame
    items: pl.LazyFrame
    test_pairs: pl.LazyFrame
    test_start: int
    test_until: int
    fingerprint: str
    sample_pairs: float = 1.0
    all_new: tuple[str, ...] = ()
    out_of_range: tuple[str, ...] = ()
    partitioned: PartitionedLog | None = None

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """The partitions of the log, earliest first; a log in memory is one."""
        if self.partitioned is not None and self.partitioned.log is self.log:
            return self.partitioned.partitions
        return (Partition(self.log),)

    @property
    def horizon(self) -> int:
        """Length of the test window in clock units."""
        return self.test_until - self.test_start

    @cached_property
    def never_null(self) -> frozenset[str]:
        """Columns of the log that the intake refuses nulls in: row, clock, relevance, user, item, those declared so."""
        c = self.competition
        declared = {name for name, column in c.interactions.columns().items() if not column.nullable}
        return frozenset({"row", "clock", "relevance", c.user, c.item, *declared})

    @cached_property
    def history_schema(self) -> pl.Schema:
        """Columns and dtypes of the log joined with the attributes of users and items."""
        return self.with_attributes(self.log).collect_schema()

    @cached_property
    def pair_schema(self) -> pl.Schema:
        """Columns and dtypes of the pairs joined with attributes: ``pair_id``, keys, observed; no outcomes."""
        return self.with_attributes(self.test_pairs).collect_schema()

    @property
    def numeric_outcomes(self) -> tuple[str, ...]:
        """Outcomes that are numbers, ``relevance`` aside; each by its own name only."""
        c, schema = self.competition, self.history_schema
        again = {name for name, own in c.reactions.items() if name != own}
        outcomes = [name for name, role in c.roles.items() if role == "outcome" and name not in again]
        return tuple(name for name in outcomes if schema[name].is_numeric())

    def with_attributes(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Join the attributes of users and items to rows that hold the keys; the order of the rows stays.

        A row whose user or item has no attributes gets nulls.
        """
        c = self.competition
        return rows.join(self.users, on=c.user, how="left", validate="m:1", maintain_order="left").join(
            self.items, on=c.item, how="left", validate="m:1", maintain_order="left"
        )


def pointer_to(what: str, competition: str, data: Path) -> str:
    """Name the store's pointer to the last ``what`` of a competition whose files lie in the folder ``data``.

    Two competitions do not take each other's, nor does one competition with files in two folders.
    """
    return f"{what}_{competition}_{blake3(str(data.resolve()).encode()).hexdigest()[:16]}"


_opened: ContextVar[Dataset | None] = ContextVar("opened_dataset", default=None)


@contextmanager
def opened(dataset: Dataset) -> Iterator[Dataset]:
    """Make ``dataset`` the one that ``open_dataset`` answers with, for the time of the block.

    Audits use it: a feature that opens the whole log by itself then sees the altered log, and its leak shows.
    """
    token = _opened.set(dataset)
    try:
        yield dataset
    finally:
        _opened.reset(token)


def currently_opened() -> Dataset | None:
    """The data set of the innermost ``opened`` block, None outside of any."""
    return _opened.get()
