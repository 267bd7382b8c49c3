"""Rows of numbers that a net reads batch by batch: from memory while they are few, from a file when they are many."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float32]
Index = npt.NDArray[np.int64]

# Matrices from this size on lie in a file, in panels of so many columns: the memory that one panel takes is what it
# takes to write the file, and reading a group of pairs takes one call a panel.
FILE_FROM_BYTES = 2**28
PANEL = 32


class NumberRows(Protocol):
    """Rows (n_rows, n_columns) of Float32."""

    def take(self, rows: Index) -> Numbers:
        """Read rows by their numbers: Float32 (n, n_columns), writable."""
        ...


@dataclass(frozen=True)
class RowsInMemory:
    """All rows at once."""

    numbers: Numbers

    def take(self, rows: Index) -> Numbers:
        """Read rows by their numbers."""
        return self.numbers[rows]


@dataclass(frozen=True)
class RowsInFile:
    """Rows in a file without a name, which vanishes with the process: panels of columns one after the other.

    It is read with plain calls and not mapped: what the system keeps of it in its cache is not this process's memory.
    """

    descriptor: int
    n_rows: int
    n_columns: int

    def take(self, rows: Index) -> Numbers:
        """Read rows by their numbers; rows that follow each other are read at once."""
        taken = np.empty((len(rows), self.n_columns), dtype=np.float32)
        starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
        runs = list(zip(starts.tolist(), np.append(starts, len(rows))[1:].tolist(), strict=True))
        for first, last in panels(self.n_columns):
            width = last - first
            for lo, hi in runs:
                at = 4 * (self.n_rows * first + int(rows[lo]) * width)
                read = os.pread(self.descriptor, 4 * (hi - lo) * width, at)
                taken[lo:hi, first:last] = np.frombuffer(read, dtype=np.float32).reshape(hi - lo, width)
        return taken


def panels(n_columns: int) -> Iterator[tuple[int, int]]:
    """First and last column (exclusive) of each panel."""
    for first in range(0, n_columns, PANEL):
        yield first, min(first + PANEL, n_columns)


def gather_rows(columns: Iterator[Numbers], n_rows: int, n_columns: int, scratch: Path | None) -> NumberRows:
    """Lay columns side by side as rows, without holding more of them than a panel if they are many.

    Parameters
    ----------
    columns
        The columns in their order, Float32 (n_rows,) each; asked for one at a time.
    scratch
        Folder for the file; None = in memory, whatever the size.
    """
    if scratch is None or 4 * n_rows * n_columns < FILE_FROM_BYTES:
        numbers = np.empty((n_rows, n_columns), dtype=np.float32)
        for i, column in enumerate(columns):
            numbers[:, i] = column
        return RowsInMemory(numbers)
    descriptor, name = tempfile.mkstemp(dir=scratch)
    Path(name).unlink()
    rows = RowsInFile(descriptor, n_rows, n_columns)
    weakref.finalize(rows, os.close, descriptor)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        for first, last in panels(n_columns):
            panel = np.empty((n_rows, last - first), dtype=np.float32)
            for i in range(last - first):
                panel[:, i] = next(columns)
            panel.tofile(file)
    return rows
