"""Rows of the log as aggregates read them: a partition at a time, with the attributes that are asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import Lock

import numpy as np
import polars as pl

from competitions import Dataset, Partition
from features._aggregation.keys import Lookup, make_lookup
from features._aggregation.tiling import Grid


def history_rows(dataset: Dataset, rows: pl.LazyFrame, columns: Collection[str]) -> pl.LazyFrame:
    """Select columns of the history from rows of the log, joining only the tables that have some of them."""
    c = dataset.competition
    for table, key in ((dataset.users, c.user), (dataset.items, c.item)):
        wanted = [n for n in table.collect_schema().names() if n in columns and n != key]
        if wanted:
            attributes = table.select(key, *wanted)
            rows = rows.join(attributes, on=key, how="left", validate="m:1", maintain_order="left")
    return rows.select(n for n in dataset.history_schema.names() if n in columns)


@dataclass(frozen=True)
class SliceReader:
    """Reads columns of the history, before a clock, slice by slice. ``columns``: of the log and of the attributes."""

    dataset: Dataset
    columns: frozenset[str]
    until: int

    def rows(self, piece: Partition) -> pl.DataFrame:
        """Collect the columns of a slice's rows before the clock, in the order of (clock, row)."""
        own = {*self.columns, *(one.key for one in self._attributes if one.names)}
        known = [name for name in piece.rows.collect_schema().names() if name in own]
        rows = _collected(self.dataset, piece, known, self.until)
        for one in self._attributes:
            rows = one.given_to(rows)
        return rows.select(n for n in self.dataset.history_schema.names() if n in self.columns)

    @cached_property
    def _attributes(self) -> tuple[Attributes, ...]:
        """Attributes of users and items, laid out once for all slices."""
        c = self.dataset.competition
        tables = ((self.dataset.users, c.user), (self.dataset.items, c.item))
        return tuple(Attributes.of(table, key, self.columns) for table, key in tables)


def _collected(dataset: Dataset, piece: Partition, names: Sequence[str], until: int) -> pl.DataFrame:
    """Collect some columns of a slice's rows before a clock.

    A clock that counts the rows of a partition one by one is counted and not read: it is the widest column.
    """
    first, last, n_rows = piece.first_clock, piece.last_clock, piece.n_rows
    counts = bool(piece.digest) and dataset.competition.clock.kind == "row" and "clock" in names
    if not counts or first is None or last is None or last - first + 1 != n_rows:
        return _before(piece, until).select(names).collect(engine="in-memory")
    clock = pl.int_range(first, min(last + 1, until), dtype=pl.Int64, eager=True).alias("clock")
    others = piece.rows.head(len(clock)).select(n for n in names if n != "clock").collect(engine="in-memory")
    return pl.DataFrame([clock, *others.get_columns()]).select(names)


def _before(piece: Partition, until: int) -> pl.LazyFrame:
    rows = piece.rows
    if piece.last_clock is None or piece.last_clock >= until:
        rows = rows.filter(pl.col("clock") < until)
    if not piece.digest:  # a partition lies in order; a table in memory may have been shuffled
        rows = rows.sort("clock", "row")
    return rows


@dataclass(frozen=True)
class Attributes:
    """Columns of the users or items (``table``: with the key), and where each small id has its row, if all are small.

    Reading them off is much faster than a join.
    """

    key: str
    table: pl.DataFrame
    lookup: Lookup | None

    @staticmethod
    def of(table: pl.LazyFrame, key: str, columns: Collection[str]) -> Attributes:
        """Collect what is wanted of a table."""
        names = [name for name in table.collect_schema().names() if name in columns and name != key]
        known = table.select(key, *names).collect(engine="in-memory") if names else pl.DataFrame()
        is_plain = bool(names) and not known[key].null_count() and known[key].n_unique() == known.height
        return Attributes(key, known, make_lookup(known, [key]) if is_plain else None)

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


def by_cell(rows: pl.DataFrame, grid: Grid) -> Iterator[tuple[int, pl.DataFrame]]:
    """Cut rows that are sorted by ``clock`` at the boundaries of the grid; cells without rows are left out."""
    ends = np.searchsorted(rows["clock"].to_numpy(), np.asarray(grid.bounds, dtype=np.int64), side="left")
    begin = 0
    for cell, end in enumerate(ends.tolist()):
        if end > begin:
            yield cell, rows[begin:end]
        begin = max(begin, end)


TOGETHER = 5_000_000  # rows of slices that groups take in without waiting for each other


class Piece:
    """A slice whose rows are read when somebody asks for them, and then kept until all groups are done with it.

    Groups ask in several threads.
    """

    def __init__(self, piece: Partition, reader: SliceReader) -> None:
        self.slice, self._reader = piece, reader
        self._lock = Lock()
        self._rows: pl.DataFrame | None = None

    @property
    def rows(self) -> pl.DataFrame:
        """All columns that some group reads, sorted by (clock, row)."""
        with self._lock:
            if self._rows is None:
                self._rows = self._reader.rows(self.slice)
            return self._rows

    @property
    def n_rows(self) -> int:
        """Number of rows of the slice, as its partition tells, or as they are."""
        return self.rows.height if self.slice.n_rows is None else self.slice.n_rows


def together(slices: Iterable[Partition]) -> Iterator[list[Partition]]:
    """Put slices together that come one after the other and have no more rows than TOGETHER."""
    together: list[Partition] = []
    for piece in slices:
        if together and sum(s.n_rows or TOGETHER for s in [*together, piece]) > TOGETHER:
            yield together
            together = []
        together.append(piece)
    if together:
        yield together
