"""Rows of numbers that a net reads batch by batch: from memory while they are few, from a file when they are many."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float32]
Index = npt.NDArray[np.int64]


# Reads rows by their numbers: Int64 (n,) -> Float32 (n, n_columns), writable.
NumberRows = Callable[[Index], Numbers]


@dataclass(frozen=True)
class RowsInFile:
    """Rows in a file without a name, which vanishes with the process: panels of columns one after the other.

    ``panel``: columns of a panel. The memory that one panel takes is what it takes to write the file, and reading a
    group of rows takes one call a panel. The file is read with plain calls and not mapped: what the system keeps of
    it in its cache is not this process's memory.
    """

    descriptor: int
    n_rows: int
    n_columns: int
    panel: int

    @property
    def panels(self) -> list[tuple[int, int]]:
        """First and last column (exclusive) of each panel."""
        return [(i, min(i + self.panel, self.n_columns)) for i in range(0, self.n_columns, self.panel)]

    def __call__(self, rows: Index) -> Numbers:
        """Read rows by their numbers; rows that follow each other are read at once."""
        taken = np.empty((len(rows), self.n_columns), dtype=np.float32)
        starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
        runs = list(zip(starts.tolist(), np.append(starts, len(rows))[1:].tolist(), strict=True))
        for first, last in self.panels:
            width = last - first
            for lo, hi in runs:
                at = 4 * (self.n_rows * first + int(rows[lo]) * width)
                read = os.pread(self.descriptor, 4 * (hi - lo) * width, at)
                taken[lo:hi, first:last] = np.frombuffer(read, dtype=np.float32).reshape(hi - lo, width)
        return taken


def gather_rows(
    columns: Iterator[Numbers], n_rows: int, n_columns: int, folder: Path | None, panel: int = 32
) -> NumberRows:
    """Lay columns side by side as rows: in memory, or in a file, without holding more of them than a panel.

    Parameters
    ----------
    columns
        The columns in their order, Float32 (n_rows,) each; asked for one at a time.
    folder
        Folder for the file; None = in memory.
    """
    if folder is None:
        numbers = np.empty((n_rows, n_columns), dtype=np.float32)
        for i, column in enumerate(columns):
            numbers[:, i] = column
        return lambda rows: numbers[rows]
    descriptor, name = tempfile.mkstemp(dir=folder)
    Path(name).unlink()
    rows = RowsInFile(descriptor, n_rows, n_columns, panel)
    weakref.finalize(rows, os.close, descriptor)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        for first, last in rows.panels:
            numbers = np.empty((n_rows, last - first), dtype=np.float32)
            for i in range(last - first):
                numbers[:, i] = next(columns)
            numbers.tofile(file)
    return rows
