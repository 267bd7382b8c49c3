"""Training of tables: working sets of the rows that a group of batches reads, and row-wise Adagrad."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import numpy.typing as npt

from engine._embeddings.ids import MOST, Rows
from engine._embeddings.rows import FileRows
from engine._embeddings.table import GIB, EmbeddingTable
from engine._errors import TableError

if TYPE_CHECKING:
    from torch import Tensor

AnyRows = npt.NDArray[np.int64] | npt.NDArray[np.int32]
Batch = Sequence[Rows]  # rows of each table, in any order, as often as they come

EPSILON = 1e-8  # as FBGEMM's
_FEW = (
    64  # of so many rows one: fewer are found by searching for them, others by an array as long as the table
)


class WorkingSet:
    """Rows of a table that are trained now: all of a table in memory, else those of a group of batches.

    Attributes
    ----------
    rows
        Distinct rows of the table, ascending; None = all.
    records
        Vectors, each followed by its mean of squared gradients: Float32 (n, dim + 1), on the device.
    """

    def __init__(self, table: EmbeddingTable, touched: Touched | None, device: str) -> None:
        import torch

        self.table, self.device, self.rows = table, device, None
        if touched is not None:
            self.rows = np.flatnonzero(touched.is_touched)
            self.places = None
            if _FEW * len(self.rows) > len(table):
                self.places = np.full(len(table) + 1, -1, dtype=np.int32)  # the last one stands for no row
                self.places[self.rows] = np.arange(len(self.rows))
        self.records = torch.from_numpy(table.records.at(self.rows)).to(device)
        self.waiting: list[tuple[Tensor, Tensor]] = []

    @property
    def n_bytes(self) -> int:
        """Bytes of the records."""
        return 4 * self.records.numel()

    def take(self, rows: Rows) -> Tensor:
        """Vectors of rows: Float32 (n, dim), a copy on the device."""
        return self.records.index_select(0, self._at(rows))[:, : self.table.dim]

    def learn(self, rows: Rows, gradients: Tensor) -> None:
        """Take in the gradients of vectors (n, dim); they count at the end of the batch, or of those before a step."""
        if gradients.shape != (len(rows), self.table.dim):
            raise TableError(
                f"Table {self.table.name!r}: gradients of shape {tuple(gradients.shape)} are given for "
                f"{len(rows):,} rows.",
                expected=f"shape ({len(rows)}, {self.table.dim})",
            )
        self.waiting.append((self._at(rows), gradients.detach()))

    def step(self, rate: float, place: str) -> None:
        """Move the rows by row-wise Adagrad with what was learned since the last step.

        The gradients g of a row are summed in the order they came in; then ``s += mean(g**2)`` and
        ``row -= rate * g / (sqrt(s) + EPSILON)``: one number s a row (Gupta, Bengio, Weston 2014; EXACT_ROWWISE_ADAGRAD
        of FBGEMM, arXiv 2104.05158, as in DLRM).
        """
        if not any(len(at) for at, _ in self.waiting):
            self.waiting = []
            return
        import torch
        from torch.nn.functional import embedding_bag

        at, gradients = (torch.cat(parts) for parts in zip(*self.waiting, strict=True))
        self.waiting = []
        ordered, order = torch.sort(at, stable=True)
        distinct, counts = torch.unique_consecutive(ordered, return_counts=True)
        # Each bag is summed by one thread, from its first to its last.
        total = embedding_bag(order, gradients, counts.cumsum(0) - counts, mode="sum")
        squares = total.square().mean(dim=1)
        if not bool(torch.isfinite(squares).all()):
            self._refuse(distinct[~torch.isfinite(squares)], place)
        records, dim = self.records.index_select(0, distinct), self.table.dim
        records[:, dim] += squares
        records[:, :dim] -= total * (rate / (records[:, dim].sqrt() + EPSILON))[:, None]
        self.records.index_copy_(0, distinct, records)

    def put_back(self) -> None:
        """Write the rows to the table, and hold none of them any more: whoever has seen the set may still have it."""
        if self.rows is not None:
            self.table.records.write(self.rows, self.records.cpu().numpy())
            self.rows, self.places = self.rows[:0].copy(), None
        self.records = self.records[:0].clone()

    def _at(self, rows: Rows) -> Tensor:
        import torch

        at = np.array(self._places(rows), dtype=np.int64)
        if self.rows is not None and at.min(initial=0) < 0:
            raise TableError(
                f"Table {self.table.name!r}: row {int(rows[at.argmin()])} is in no batch of this group.",
                expected="rows of the batch, those that are drawn included",
                todo="let the batches name every row that they read",
            )
        return torch.from_numpy(at).to(self.device)

    def _places(self, rows: Rows) -> AnyRows:
        """Where rows lie in the set, -1 for those that do not."""
        if self.rows is None:
            return rows
        if self.places is not None:
            return self.places[rows]
        at = np.searchsorted(self.rows, rows)
        is_there = (
            self.rows.take(at, mode="clip") == rows if len(self.rows) else np.zeros(len(rows), np.bool_)
        )
        return np.where(is_there, at, -1)

    def _refuse(self, at: Tensor, place: str) -> None:
        first = int(at[0]) if self.rows is None else int(self.rows[int(at[0])])
        raise TableError(
            f"Table {self.table.name!r}: the gradients of {len(at):,} rows are not finite{place}, the first those of "
            f"row {first} (id {self.table.index.between(first, first + 1)[0]!r}).",
            expected="finite gradients, and so a finite loss",
            todo="look for what is not finite or very large in the inputs there, or take a lower rate",
        )


def working_sets(
    tables: Sequence[EmbeddingTable],
    batches: Iterable[Batch],
    *,
    rate: float,
    accumulate: int = 1,
    device: str = "cpu",
    device_gib: float | None = None,
    place: str = "",
) -> Iterator[tuple[list[WorkingSet], Batch]]:
    """Give the batches one after the other, each with the working sets that its rows lie in.

    Rows of a table that is not in memory are gathered for as many batches as ``memory_gib`` of the table and
    ``device_gib`` allow, and written back once. Only whole steps share a working set, so that no
    limit changes a bit::

        for (users, items), (u, i) in working_sets([user_table, item_table], batches, rate=0.1):
            of_users, of_items = gradients(users.take(u), items.take(i))
            users.learn(u, of_users)
            items.learn(i, of_items)

    Go through to the end: where the loop is left before, or an error leaves it, the last group is not written back.

    Parameters
    ----------
    batches
        For each table the rows that a batch reads of it, Int64 (n,); they may repeat.
    rate
        Step of row-wise Adagrad.
    accumulate
        Batches whose gradients are summed before a step.
    device, device_gib
        Where working sets lie, and what each may take there.
    place
        Where the batches come from, for messages: ``"rows 100,000 to 200,000"``.

    Raises TableError for rows that a table lacks, gradients that are not finite, and a step that no working set holds.
    """
    if accumulate < 1 or not 0 <= rate < float("inf"):
        raise TableError(
            f"Tables are to be trained with rate = {rate}, accumulate = {accumulate}.",
            expected="a finite rate and at least one batch a step",
        )
    place, number = f", {place}" if place else "", 0
    with _lent(tables):
        for group, touched in _groups(tables, batches, accumulate, (device, device_gib), place):
            sets = [WorkingSet(table, of, device) for table, of in zip(tables, touched, strict=True)]
            for i, batch in enumerate(group, start=1):
                yield sets, batch
                number += 1
                if i % accumulate == 0 or i == len(group):
                    for s in sets:
                        s.step(rate, f" in batch {number:,}{place}")
            for s in sets:
                s.put_back()


@contextmanager
def _lent(tables: Sequence[EmbeddingTable]) -> Iterator[None]:
    for table in tables:
        if table.is_lent:
            raise TableError(f"Table {table.name!r} is trained already.", todo="end that loop first")
        table.is_lent = True
    try:
        yield
    finally:
        for table in tables:
            table.is_lent = False


class Touched:
    """Distinct rows of a table that a group of batches reads, at most so many as fit."""

    def __init__(self, table: EmbeddingTable, gib: float) -> None:
        self.table, self.gib = table, gib
        self.most = int(min(gib * GIB / (4 * table.records.width), MOST))
        self.clear()

    def clear(self) -> None:
        """Begin another group."""
        self.n_rows, self.is_touched = 0, np.zeros(len(self.table), dtype=np.bool_)

    def takes(self, rows: Rows) -> bool:
        """Add rows, unless they do not fit beside those that are there."""
        new = np.unique(rows[~self.is_touched[rows]])
        if self.n_rows + len(new) > self.most:
            return False
        self.is_touched[new] = True
        self.n_rows += len(new)
        return True

    def refuse(self, rows: Rows, accumulate: int, place: str) -> NoReturn:
        """Say that the rows of one step do not fit."""
        n_rows = len(np.unique(rows))
        raise TableError(
            f"Table {self.table.name!r}: a step reads {n_rows:,} rows of "
            f"{4 * self.table.records.width:,} bytes{place}.",
            expected=f"at most {self.most:,}, which is what {self.gib:g} GiB hold",
            todo="take smaller batches"
            + (" or accumulate fewer" if accumulate > 1 else "")
            + ", or a larger limit",
        )


def _groups(
    tables: Sequence[EmbeddingTable],
    batches: Iterable[Batch],
    accumulate: int,
    on: tuple[str, float | None],
    place: str,
) -> Iterator[tuple[list[Batch], list[Touched | None]]]:
    """Steps that fit together, and for each table that is not all there which rows these are."""
    touched = [_touched(table, *on) for table in tables]
    gathered = [(i, of) for i, of in enumerate(touched) if of is not None]
    group = list[Batch]()
    batches = iter(batches)
    while step := list(islice(batches, accumulate)):
        rows = [np.concatenate(of_table) for of_table in zip(*step, strict=True)]
        for table, of in zip(tables, rows, strict=True):
            table.check(of, place)
            table.changed(of)
        if group and not (gathered and all(of.takes(rows[i]) for i, of in gathered)):
            yield group, touched
            group = []
            for _, of_table in gathered:
                of_table.clear()
        if not group:
            for i, of_table in gathered:
                if not of_table.takes(rows[i]):
                    of_table.refuse(rows[i], accumulate, place)
        group += step
    if group:
        yield group, touched


def _touched(table: EmbeddingTable, device: str, device_gib: float | None) -> Touched | None:
    """None for a table that is trained where it is."""
    limits = [table.memory_gib] if isinstance(table.records, FileRows) else []
    limits += [] if device_gib is None else [device_gib]
    return Touched(table, min(limits, default=float("inf"))) if limits or device != "cpu" else None


def bucket_order(left: AnyRows, right: AnyRows, rows: int) -> Rows:
    """Order of pairs by buckets, Int64 (n,): together are those that lie in the same ``rows`` rows of both tables.

    Within a bucket the order stays; a bucket shares its rows of one table with the next (PyTorch-BigGraph, arXiv
    1903.12287). So the rows of a group of batches lie near each other, and there are fewer of them.
    """
    part, other = left // rows, right // rows
    n_parts = int(other.max(initial=0)) + 1
    bucket = part * n_parts + np.where(part % 2 == 0, other, n_parts - 1 - other)
    return np.argsort(bucket.astype(np.uint16 if bucket.max(initial=0) < 2**16 else np.int64), kind="stable")
