"""Slices of the log on their way to the groups that take them in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from threading import Lock

import polars as pl

from competitions import Partition
from features._rows import SliceReader

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
