"""Rows of a table: in memory, or in files of as many rows each. Which of the two changes no value."""

from __future__ import annotations

import os
import shutil
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import mkdtemp
from typing import Protocol

import numpy as np
import numpy.typing as npt

from engine._embeddings.ids import Rows
from engine._errors import SamewiseError, TableError
from engine._store import is_full

Records = npt.NDArray[np.float32]

BLOCK_BYTES = 16 * 2**20
_GAP = 64  # rows that are read with others rather than by a call of their own
_RUNS = 1024  # runs of rows in a block beyond which it is written as a whole
# Bytes of a file that are new by one call: the system may keep them as one folio, and a change of one row costs by the
# size of its folio.
_NEW = 2**14


def block_rows_of(width: int) -> int:
    """Rows of a block of at most ``BLOCK_BYTES``, a power of two."""
    return 1 << max(BLOCK_BYTES // (4 * width), 1).bit_length() - 1


class TableRows(Protocol):
    """Records by row, Float32 (n_rows, width); blocks are ``block_rows`` of them, the last one fewer."""

    n_rows: int
    block_rows: int
    width: int

    def append(self, records: Records) -> None:
        """Put records below."""
        ...

    def at(self, rows: Rows | None) -> Records:
        """Records of rows, distinct and ascending; of None the rows themselves, to be changed there."""
        ...

    def write(self, rows: Rows, records: Records) -> None:
        """Replace the records of rows; distinct and ascending."""
        ...

    def block(self, number: int) -> Records:
        """All records of a block."""
        ...

    def cut(self, n_rows: int) -> None:
        """Forget the rows from there on."""
        ...

    def share(self, number: int, target: Path) -> bool:
        """Let a block's file have another name that keeps its content; False where there is no such file."""
        ...


class MemoryRows:
    """Rows in an array whose capacity doubles."""

    def __init__(self, width: int, block_rows: int) -> None:
        self.n_rows, self.width, self.block_rows = 0, width, block_rows
        self.all = np.zeros((0, width), dtype=np.float32)

    def capacity_for(self, n_rows: int) -> int:
        """Rows that there is room for once there are so many: twice as many as now if that is too little now."""
        return len(self.all) if n_rows <= len(self.all) else max(n_rows, 2 * len(self.all))

    def reserve(self, n_rows: int) -> None:
        """Make room for so many rows."""
        if n_rows > len(self.all):
            # Pages of zeros take no memory until a row is written there.
            more = np.zeros((self.capacity_for(n_rows), self.width), dtype=np.float32)
            more[: self.n_rows] = self.all[: self.n_rows]
            self.all = more

    def append(self, records: Records) -> None:
        """Put records below."""
        self.reserve(self.n_rows + len(records))
        self.all[self.n_rows : self.n_rows + len(records)] = records
        self.n_rows += len(records)

    def at(self, rows: Rows | None) -> Records:
        """Records of rows, or those in memory themselves."""
        return self.all[: self.n_rows] if rows is None else self.all.take(rows, axis=0)

    def write(self, rows: Rows, records: Records) -> None:
        """Replace the records of rows."""
        self.all[rows] = records

    def block(self, number: int) -> Records:
        """All records of a block."""
        return self.all[number * self.block_rows : min((number + 1) * self.block_rows, self.n_rows)]

    def cut(self, n_rows: int) -> None:
        """Forget the rows from there on."""
        self.n_rows = n_rows

    def share(self, number: int, target: Path) -> bool:
        """There is no file."""
        return False


class FileRows:
    """Rows in files, one a block, in a folder that goes with them; read and written by plain calls.

    A file that a saved state shares is never changed: the block goes to a new one. What the system keeps of files in
    its cache is not this process's memory.
    """

    def __init__(self, folder: Path, width: int, block_rows: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.width, self.block_rows = Path(mkdtemp(dir=folder)), width, block_rows
        self.n_rows, self.n_files = 0, 0
        self.files: list[Path] = []
        self.is_shared: list[bool] = []
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def append(self, records: Records) -> None:
        """Put records below."""
        while len(records):
            number, at = divmod(self.n_rows, self.block_rows)
            if number == len(self.files):
                self._place(number, b"")
            now, records = records[: self.block_rows - at], records[self.block_rows - at :]
            self._write(number, now, [(at, at + len(now))], _NEW)
            self.n_rows += len(now)

    def at(self, rows: Rows | None) -> Records:
        """Records of rows; ascending."""
        if rows is None:
            raise TypeError("rows in files are read by their numbers")
        taken = np.empty((len(rows), self.width), dtype=np.float32)
        block = np.empty((self.block_rows, self.width), dtype=np.float32)
        for number, some, runs in self._runs(rows, _GAP):
            self._read(number, block, runs)
            block.take(rows[some] - number * self.block_rows, axis=0, out=taken[some], mode="clip")
        return taken

    def write(self, rows: Rows, records: Records) -> None:
        """Replace the records of rows; distinct and ascending."""
        for number, some, runs in self._runs(rows, 1):
            if len(runs) > _RUNS:
                block = self.block(number)
                block[rows[some] - number * self.block_rows] = records[some]
                if self.is_shared[number]:
                    self._place(number, block.data.cast("B"))
                else:
                    self._write(number, block, [(0, len(block))])
            else:
                self._write(number, records[some], runs)

    def block(self, number: int) -> Records:
        """All records of a block."""
        block = np.empty(
            (min(self.block_rows, self.n_rows - number * self.block_rows), self.width), np.float32
        )
        self._read(number, block, [(0, len(block))])
        return block

    def cut(self, n_rows: int) -> None:
        """Forget the rows from there on, and what was written of them."""
        self.n_rows = n_rows
        n_blocks = -(-n_rows // self.block_rows)
        for file in self.files[n_blocks:]:
            file.unlink()
        del self.files[n_blocks:], self.is_shared[n_blocks:]
        if self.files and not self.is_shared[-1]:
            os.truncate(self.files[-1], 4 * self.width * (n_rows - (n_blocks - 1) * self.block_rows))

    def share(self, number: int, target: Path) -> bool:
        """Let a block's file have another name; False where the file system has no such links."""
        with self.files[number].open("rb") as file:
            os.fsync(file.fileno())
        try:
            target.hardlink_to(self.files[number])
        except OSError:
            return False
        self.is_shared[number] = True
        return True

    def adopt(self, source: Path, n_rows: int) -> None:
        """Take the next block from a file that stays as it is, by a link where that can be had."""
        number = len(self.files)
        path = self._new_path(number)
        try:
            path.hardlink_to(source)
        except OSError:
            self._place(number, source.read_bytes())
        else:
            self.files.append(path)
            self.is_shared.append(True)
        self.n_rows += n_rows

    def _runs(self, rows: Rows, gap: int) -> Iterator[tuple[int, slice, list[tuple[int, int]]]]:
        """Blocks that rows lie in: the number, the places of its rows, and where runs begin and end in the block.

        Rows that are at most ``gap`` apart are in one run.
        """
        numbers = rows // self.block_rows
        is_first = (np.diff(numbers, prepend=-1) > 0) | (np.diff(rows, prepend=0) > gap)
        first, last = np.flatnonzero(is_first), np.flatnonzero(np.append(is_first[1:], len(rows) > 0))
        above = numbers[first] * self.block_rows
        runs = list(zip((rows[first] - above).tolist(), (rows[last] - above + 1).tolist(), strict=True))
        edges = np.flatnonzero(np.diff(numbers[first], prepend=-1, append=-1))
        places = np.append(first, len(rows))[edges].tolist()
        of = numbers[places[:-1]].tolist()
        for number, some, (lo, hi) in zip(of, pairwise(places), pairwise(edges.tolist()), strict=True):
            yield number, slice(*some), runs[lo:hi]

    def _read(self, number: int, block: Records, runs: list[tuple[int, int]]) -> None:
        """Read runs of a block to where they lie in it."""
        row, content = 4 * self.width, block.data.cast("B")
        with self.files[number].open("rb", buffering=0) as file:
            descriptor = file.fileno()
            for first, last in runs:
                if (
                    os.preadv(descriptor, [content[first * row : last * row]], first * row)
                    != (last - first) * row
                ):
                    raise TableError(
                        f"The file {self.files[number]} of a table ends before row {last} of its block.",
                        expected=f"rows of {row} bytes",
                        todo="start again from the last state that was saved",
                    )

    def _write(
        self, number: int, records: Records, runs: list[tuple[int, int]], at_a_time: int = BLOCK_BYTES
    ) -> None:
        """Write records to the runs of a block, one after the other; a shared file is copied first."""
        if self.is_shared[number]:
            self._place(number, self.files[number].read_bytes())
        row, content = 4 * self.width, np.ascontiguousarray(records).data.cast("B")
        with disk_full(self.folder), _opened(self.files[number], os.O_WRONLY) as descriptor:
            for first, last in runs:
                n_bytes = (last - first) * row
                _write_all(descriptor, content[:n_bytes], first * row, at_a_time)
                content = content[n_bytes:]

    def _place(self, number: int, content: bytes | memoryview) -> None:
        """Give a block a new file of its own with this content."""
        path = self._new_path(number)
        with disk_full(self.folder), _opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as descriptor:
            _write_all(descriptor, memoryview(content), 0, _NEW)
        if number == len(self.files):
            self.files.append(path)
            self.is_shared.append(False)
        else:
            self.files[number].unlink()
            self.files[number], self.is_shared[number] = path, False

    def _new_path(self, number: int) -> Path:
        self.n_files += 1
        return self.folder / f"{number:06}-{self.n_files}"


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    """Open a file by a plain call, which costs a third of a file of Python."""
    descriptor = os.open(path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, content: memoryview, at: int, at_a_time: int) -> None:
    """Write to a place in a file: a disk that gets full takes a part of it before it says so."""
    while content:
        written = os.pwrite(descriptor, content[:at_a_time], at)
        content, at = content[written:], at + written


@contextmanager
def disk_full(folder: Path) -> Iterator[None]:
    """Say of a full disk that it is full."""
    try:
        yield
    except SamewiseError:
        raise
    except OSError as error:
        if not is_full(error):
            raise
        raise TableError(
            f"The disk is full: a table could not be written to {folder} ({error}).",
            expected="room for the rows that changed; the state that was saved last is whole",
            todo="free space, and go on from there",
        ) from error
