"""Rows of the log as aggregates read them: a partition at a time, with the attributes that are asked for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from threading import Lock

import polars as pl

from competitions import Dataset, Partition
from features._aggregation.keys import Lookup, make_lookup
from features._aggregation.limits import LIMITS, Limits
from validation import Window

INT64_MAX = 2**63 - 1


def window_columns(window: Window) -> dict[str, pl.Expr]:
    """Cutoff and horizon of a window as columns."""
    return {"cutoff": pl.lit(window.cutoff, pl.Int64), "horizon": pl.lit(window.horizon, pl.Int64)}


def history_rows(dataset: Dataset, rows: pl.LazyFrame, columns: Collection[str]) -> pl.LazyFrame:
    """Select columns of the history from rows of the log, joining only the tables that have some of them."""
    c = dataset.competition
    for table, key in ((dataset.users, c.user), (dataset.items, c.item)):
        names = [n for n in table.collect_schema().names() if n in columns and n != key]
        if names:
            attributes = table.select(key, *names)
            rows = rows.join(attributes, on=key, how="left", validate="m:1", maintain_order="left")
    return rows.select(n for n in dataset.history_schema.names() if n in columns)


@dataclass(frozen=True)
class LogReader:
    """Reads columns of the history, before a clock, a partition at a time.

    ``columns``: of the log and of the attributes.
    """

    dataset: Dataset
    columns: frozenset[str]
    until: int = INT64_MAX
    limits: Limits = LIMITS

    def read(self, partition: Partition) -> pl.DataFrame:
        """Collect the columns of a partition's rows before the clock, in the order of (clock, row)."""
        rows = partition.rows
        if partition.last_clock is None or partition.last_clock >= self.until:
            rows = rows.filter(pl.col("clock") < self.until)
        if not partition.digest:  # a partition lies in order; a table in memory may have been shuffled
            rows = rows.sort("clock", "row")
        return self.collected(rows)

    def collected(self, rows: pl.LazyFrame) -> pl.DataFrame:
        """Collect the columns of rows of the log, and those of their users and items."""
        names = rows.collect_schema().names()
        found = rows.select(n for n in names if n in self.own).collect(engine="in-memory")
        for one in self._attributes:
            found = one.given_to(found)
        return found.select(n for n in self.dataset.history_schema.names() if n in self.columns)

    @cached_property
    def own(self) -> frozenset[str]:
        """Columns of the log that are read: those asked for, and the keys that attributes are found by."""
        return self.columns | {one.key for one in self._attributes if one.names}

    @cached_property
    def _attributes(self) -> tuple[Attributes, ...]:
        """Attributes of users and items, laid out once for all partitions."""
        c = self.dataset.competition
        tables = ((self.dataset.users, c.user), (self.dataset.items, c.item))
        return tuple(Attributes.of(table, key, self.columns, self.limits) for table, key in tables)


@dataclass(frozen=True)
class Attributes:
    """Columns of the users or items (``table``: with the key), and where each small id has its row, if all are small.

    Reading them off is much faster than a join.
    """

    key: str
    table: pl.DataFrame
    lookup: Lookup | None

    @staticmethod
    def of(table: pl.LazyFrame, key: str, columns: Collection[str], limits: Limits = LIMITS) -> Attributes:
        """Collect those of some columns that a table has."""
        names = [name for name in table.collect_schema().names() if name in columns and name != key]
        known = table.select(key, *names).collect(engine="in-memory") if names else pl.DataFrame()
        is_plain = bool(names) and not known[key].null_count() and known[key].n_unique() == known.height
        return Attributes(key, known, make_lookup(known, [key], limits) if is_plain else None)

    @property
    def names(self) -> list[str]:
        """Columns that rows are given."""
        return [name for name in self.table.columns if name != self.key]

    def given_to(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Give rows the attributes of their id; null where it is unknown. Ids have the table's dtype."""
        if not self.names:
            return rows
        if self.lookup is None:
            return rows.join(self.table, on=self.key, how="left", validate="m:1", maintain_order="left")
        where, values = self.lookup.codes(rows), self.table.select(self.names)
        if where.max(initial=0) == self.lookup.n_keys:
            values = pl.concat([values, values.clear(1)])
        return rows.hstack(values[pl.Series(where, dtype=pl.UInt32)])


class RowsByPosition:
    """Columns of the history by the position of its rows in the order of (clock, row), from 0.

    Partitions in files are read slice by slice. What is in memory may lie in any order: it is sorted once.
    """

    def __init__(self, dataset: Dataset, columns: Collection[str]) -> None:
        self._reader = LogReader(dataset, frozenset(columns))
        self._partitions = dataset.partitions
        self._sorted: dict[int, pl.LazyFrame] = {}

    def read(self, begin: int, end: int) -> pl.DataFrame:
        """Collect the rows from one position up to another; at least one."""
        found, at = [], 0
        for number, height in enumerate(self._heights):
            first, last = max(begin - at, 0), min(end - at, height)
            if first < last:
                found.append(self._rows(number).slice(first, last - first))
            at += height
        return self._reader.collected(pl.concat(found))

    def _rows(self, number: int) -> pl.LazyFrame:
        partition = self._partitions[number]
        if partition.digest:
            return partition.rows
        if number not in self._sorted:
            names = [n for n in partition.rows.collect_schema().names() if n in self._reader.own]
            rows = partition.rows.sort("clock", "row").select(names).collect(engine="in-memory")
            self._sorted[number] = rows.lazy()
        return self._sorted[number]

    @cached_property
    def _heights(self) -> tuple[int, ...]:
        return tuple(
            one.rows.select(pl.len()).collect(engine="streaming").item() if one.n_rows is None else one.n_rows
            for one in self._partitions
        )


class PartitionRows:
    """The rows of a partition, read when some group asks for them, and in memory until all groups are done.

    Groups ask in several threads.
    """

    def __init__(self, partition: Partition, reader: LogReader) -> None:
        self.partition, self._reader = partition, reader
        self._lock = Lock()
        self._rows: pl.DataFrame | None = None

    @property
    def rows(self) -> pl.DataFrame:
        """All columns that some group reads, sorted by (clock, row)."""
        with self._lock:
            if self._rows is None:
                self._rows = self._reader.read(self.partition)
            return self._rows

    @property
    def n_rows(self) -> int:
        """Number of rows of the partition, as it tells, or as they are."""
        return self.rows.height if self.partition.n_rows is None else self.partition.n_rows
