"""A table of embeddings: a row for each id, which comes when the id does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from engine._embeddings.ids import MOST, IdIndex, Rows
from engine._embeddings.rows import FileRows, MemoryRows, Records, TableRows, block_rows_of
from engine._errors import TableError
from engine._tasks import capped_threads

GIB = 2**30
_DRAWS = 8  # numbers of 32 bits that one step of the counter gives


class EmbeddingTable:
    """Vectors by id, Float32, each with one number of its optimiser: a record is a vector followed by that.

    Rows are numbered as their ids come, and start at a given vector plus noise. What they hold depends on that
    order alone, and neither on the ids nor on where rows lie: in memory, or in files once they outgrow it.

    Parameters
    ----------
    name
        What the table is called in messages and in a saved state.
    dim
        Width of the vectors.
    noise
        Standard deviation of the noise that a row starts with, uniform and drawn by the row's number and ``seed``.
    folder
        For rows that do not fit in memory; None = all in memory. What lies there goes with the table.
    memory_gib
        What rows may take of memory at a time: all of them, as long as their capacity fits; after that, those of a
        working set.
    block_rows
        Rows of a file; 0 = as many as 4 MiB hold. No value depends on it.
    """

    def __init__(
        self,
        name: str,
        dim: int,
        *,
        seed: int = 0,
        noise: float = 0.0,
        folder: Path | None = None,
        memory_gib: float = 1.0,
        block_rows: int = 0,
    ) -> None:
        if dim < 1 or noise < 0 or not np.isfinite(noise) or seed < 0:
            raise TableError(
                f"Table {name!r}: dim = {dim}, noise = {noise}, seed = {seed}.",
                expected="a width of at least 1, a finite noise and a seed of at least 0",
            )
        self.name, self.dim, self.seed, self.noise = name, dim, seed, noise
        self.folder, self.memory_gib = folder, memory_gib
        self.index = IdIndex()
        self.records: TableRows = MemoryRows(dim + 1, block_rows or block_rows_of(dim + 1))
        self.is_lent = False  # to a training that writes to it
        self.digests: dict[int, str] = {}  # of blocks that did not change since they were saved

    def __len__(self) -> int:
        return self.records.n_rows

    @property
    def ids(self) -> pl.Series:
        """Ids in the order of their rows."""
        return self.index.between(0, len(self))

    @property
    def capacity(self) -> int:
        """Rows that there is room for in memory."""
        return len(self.records.all) if isinstance(self.records, MemoryRows) else 0

    @property
    def memory_bytes(self) -> int:
        """Most bytes of rows that may be in memory."""
        return int(self.memory_gib * GIB)

    def rows(self, ids: pl.Series) -> Rows:
        """Row of each id, Int64 (n,); -1 where an id is null or was never seen. No row is made."""
        return self.index.rows(self.index.plain(ids, self.name))

    def unseen(self, ids: pl.Series) -> pl.Series:
        """Distinct ids without a row, in the order in which they come first; null is none of them."""
        return self.index.unseen(self.index.plain(ids, self.name))

    def grow(self, ids: pl.Series, vectors: Records | None = None) -> Rows:
        """Make a row for each id that has none, in the order in which they come, and give the rows of all.

        Parameters
        ----------
        ids
            Integers or texts (n,). A null id gets no row.
        vectors
            Where new rows start: Float32 (n, dim), finite; of an id that comes several times the first one counts. None
            = at zero. Noise is added to it.

        Returns
        -------
        Rows
            Int64 (n,); -1 for null.
        """
        if self.is_lent:
            raise TableError(f"Table {self.name!r} cannot grow while it is trained.", todo="grow it before")
        plain = self.index.plain(ids, self.name)
        rows = self.index.rows(plain)
        if vectors is not None and vectors.shape != (len(plain), self.dim):
            raise TableError(
                f"Table {self.name!r}: vectors of shape {vectors.shape} are given for {len(plain):,} ids.",
                expected=f"shape ({len(plain)}, {self.dim})",
            )
        missing = np.flatnonzero(rows < 0)
        ids = plain.gather(missing)
        is_new = ids.is_first_distinct() & ids.is_not_null()
        if is_new.any():
            new = ids.filter(is_new)
            at = missing[is_new.to_numpy()]
            self._append(new, None if vectors is None else self._finite(vectors.take(at, axis=0), new))
            rows[missing] = self.index.rows(ids)
        return rows

    def read(self, rows: Rows) -> Records:
        """Vectors of rows in any order, Float32 (n, dim). Raises TableError for a row that is not there."""
        self.check(rows)
        if isinstance(self.records, MemoryRows):
            return self.records.all[: len(self), : self.dim].take(rows, axis=0)
        distinct, places = np.unique(rows, return_inverse=True)
        return self.records.at(distinct)[:, : self.dim].take(places, axis=0)

    def check(self, rows: Rows, place: str = "") -> None:
        """Raise TableError unless all rows are there."""
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(self)):
            wrong = int(rows[(rows < 0) | (rows >= len(self))][0])
            raise TableError(
                f"Table {self.name!r} has no row {wrong}{place}: it has {len(self):,}.",
                expected="rows of ids that it has seen; those of others are -1",
                todo="leave out what is -1, or grow the table first",
            )

    def blocks(self) -> Iterator[tuple[int, Records]]:
        """Every block of records with its first row."""
        for first in range(0, len(self), self.records.block_rows):
            yield first, self.records.block(first // self.records.block_rows)

    def changed(self, rows: Rows) -> None:
        """Forget the digests of the blocks of these rows."""
        if self.digests:
            is_changed = np.zeros(len(self) // self.records.block_rows + 1, dtype=np.bool_)
            is_changed[rows // self.records.block_rows] = True
            for block in np.flatnonzero(is_changed).tolist():
                self.digests.pop(block, None)

    def spill(self) -> FileRows:
        """Let rows lie in files from now on."""
        if isinstance(self.records, FileRows):
            return self.records
        if self.folder is None:
            raise TableError(f"Table {self.name!r} has no folder for rows.", todo="give it one")
        files = FileRows(self.folder, self.dim + 1, self.records.block_rows)
        for _, records in self.blocks():
            files.append(records)
        self.records = files
        return files

    def reduced(self, dim: int, folder: Path | None = None) -> EmbeddingTable:
        """Table of the same ids with fewer dimensions: the principal components of the vectors, largest first.

        Mean and covariance are summed by blocks in Float64. Of each component the largest weight is positive.

        Parameters
        ----------
        folder
            As of the table itself.
        """
        if not 1 <= dim <= self.dim or not len(self):
            raise TableError(
                f"Table {self.name!r}: {len(self):,} vectors of {self.dim} cannot be reduced to {dim}.",
                expected=f"1 to {self.dim} dimensions, and a row at least",
            )
        with capped_threads(1):
            mean, axes = self._components(dim)
            table = EmbeddingTable(self.name, dim, seed=self.seed, folder=folder, memory_gib=self.memory_gib)
            for first, records in self.blocks():
                vectors = (records[:, : self.dim] - mean) @ axes
                table.grow(self.index.between(first, first + len(records)), vectors.astype(np.float32))
        return table

    def _components(self, dim: int) -> tuple[Records, Records]:
        """Mean (dim,) and components (self.dim, dim), Float64."""
        total = sum(records[:, : self.dim].sum(axis=0, dtype=np.float64) for _, records in self.blocks())
        mean = total / len(self)
        covariance = np.zeros((self.dim, self.dim))
        for _, records in self.blocks():
            rest = records[:, : self.dim] - mean
            covariance += rest.T @ rest
        axes = np.linalg.eigh(covariance)[1][:, ::-1][:, :dim]
        largest = np.abs(axes).argmax(axis=0)
        return mean, axes * np.where(axes[largest, np.arange(dim)] < 0, -1.0, 1.0)

    def _finite(self, vectors: Records, new: pl.Series) -> Records:
        wrong = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(wrong):
            raise TableError(
                f"Table {self.name!r}: {len(wrong):,} of {len(new):,} vectors that rows start at are not finite, "
                f"the first that of id {new[int(wrong[0])]!r}.",
                expected="finite numbers",
                todo="fill what is unknown, for example by the mean of its source",
            )
        return vectors

    def _append(self, new: pl.Series, vectors: Records | None) -> None:
        first, last = len(self), len(self) + len(new)
        if last > MOST:
            raise TableError(f"Table {self.name!r} would have {last:,} rows.", expected=f"at most {MOST:,}")
        if isinstance(self.records, MemoryRows):
            capacity = self.records.capacity_for(last)
            if self.folder is not None and 4 * (self.dim + 1) * capacity > self.memory_bytes:
                self.spill()
            else:
                self.records.reserve(last)
        self.changed(np.array([first]))
        step = self.records.block_rows
        try:
            for begin in range(first, last, step):
                end = min(begin + step, last)
                start = None if vectors is None else vectors[begin - first : end - first]
                self.records.append(self._start(begin, end, start))
        except BaseException:
            self.records.cut(first)
            raise
        self.index.add(new)

    def _start(self, first: int, last: int, vectors: Records | None) -> Records:
        """Records that new rows start with: each row has its own steps of the counter, however many come at a time."""
        records = np.zeros((last - first, self.dim + 1), dtype=np.float32)
        if vectors is not None:
            records[:, : self.dim] = vectors
        if self.noise:
            steps = -(-self.dim // _DRAWS)
            bits = np.random.Philox(key=self.seed, counter=first * steps).random_raw(
                (last - first) * steps * 4
            )
            draws = bits.view(np.uint32).reshape(last - first, -1)[:, : self.dim] >> 8
            unit = np.float32(self.noise * 12**0.5 * 2**-24)
            records[:, : self.dim] += (draws.astype(np.float32) - np.float32(2**23 - 0.5)) * unit
        return records
