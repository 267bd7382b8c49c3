"""What the tables of ``tables.py`` are trained on: a simulated log, and pairs with drawn negatives by logistic loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from engine import EmbeddingTable, bucket_order, load_tables, save_tables, working_sets

Index = npt.NDArray[np.int64] | npt.NDArray[np.int32]
Rows = npt.NDArray[np.int64]
BATCH, SHARING, DRAWN, NEGATIVES = (
    8192,
    64,
    32,
    5,
)  # pairs; pairs that share negatives; so many; what they count as
CHUNK = 1_000_000  # ids that are looked up, or drawn, at a time
GROUPS = 200  # of users and items that go together
RATE, NOISE = 0.1, 0.01


def drawn_pairs(n_left: int, n_right: int, first: int, last: int, seed: int) -> tuple[Index, Index]:
    """Pairs ``first`` to ``last`` of a log: 8 of 10 are of one group, and few ids on the right take part in many."""
    rng = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, first, 1]))
    left = rng.integers(0, n_left, last - first)
    rank = (n_right * rng.random(last - first) ** 2).astype(np.int64)
    is_own = rng.random(last - first) < 0.8
    rank[is_own] = np.minimum(rank - rank % GROUPS + left % GROUPS, n_right - 1)[is_own]
    return (
        left,
        rank * 7_368_787 % n_right,
    )  # a prime: which ids are popular has nothing to do with their order


@dataclass
class PairTables:
    """Vectors of both sides, and pairs that were learned."""

    left: EmbeddingTable
    right: EmbeddingTable
    n_done: int = 0

    @classmethod
    def of(cls, dim: int, folder: Path | None, memory_gib: float) -> PairTables:
        """Begin with empty tables; without a folder they stay in memory."""
        left, right = (
            EmbeddingTable(name, dim, seed=seed, noise=NOISE, folder=folder, memory_gib=memory_gib)
            for seed, name in enumerate(("left", "right"))
        )
        return cls(left, right)

    def learn(self, left: Index, right: Index, part_rows: int, place: str = "") -> None:
        """Train on a chunk of pairs of ids, by buckets."""
        of_left, of_right = rows_of(self.left, left), rows_of(self.right, right)
        order = bucket_order(of_left, of_right, part_rows)
        batches = batches_of(of_left[order], of_right[order], self.n_done)
        del of_left, of_right, order
        for (lefts, rights), (u, v) in working_sets([self.left, self.right], batches, rate=RATE, place=place):
            to_left, to_right = gradients(lefts.take(u), rights.take(v))
            lefts.learn(u, to_left)
            rights.learn(v, to_right)
        self.n_done += len(left)

    def save(self, folder: Path) -> None:
        """Save both as one state."""
        save_tables(folder, [self.left, self.right], {"n_done": self.n_done})

    @classmethod
    def load(cls, folder: Path, scratch: Path, memory_gib: float) -> PairTables:
        """Go on from a state."""
        tables, notes = load_tables(folder, scratch=scratch, memory_gib=memory_gib)
        return cls(tables["left"], tables["right"], notes["n_done"])

    def scores(self, left: Index, right: Index) -> npt.NDArray[np.float64]:
        """Products of vectors by ids, (n,); 0 where one was never seen."""
        u, v = self.left.rows(pl.Series(left)), self.right.rows(pl.Series(right))
        is_seen = (u >= 0) & (v >= 0)
        products = np.zeros(len(u))
        products[is_seen] = np.einsum("nd,nd->n", self.left.read(u[is_seen]), self.right.read(v[is_seen]))
        return products


def rows_of(table: EmbeddingTable, ids: Index) -> npt.NDArray[np.int32]:
    """Rows of ids, those of a chunk after the other; as small as they fit, since there are many."""
    rows = np.empty(len(ids), dtype=np.int32)
    for first in range(0, len(ids), CHUNK):
        rows[first : first + CHUNK] = table.grow(pl.Series(ids[first : first + CHUNK]))
    return rows


def batches_of(left: Index, right: Index, seed: int) -> Iterator[tuple[Rows, Rows]]:
    """Batches of pairs; below the right rows are those of the negatives, drawn among the batch's own by its place."""
    for first in range(0, len(left), BATCH):
        u, v = (rows[first : first + BATCH].astype(np.int64) for rows in (left, right))
        rng = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, first, 2]))
        yield u, np.concatenate([v, v[rng.integers(0, len(v), len(v) // sharing(len(v)) * DRAWN)]])


def sharing(n_pairs: int) -> int:
    """Pairs that share negatives: of an odd last batch, all of it."""
    return SHARING if n_pairs % SHARING == 0 else n_pairs


def gradients(left: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of the logistic loss: (n, dim) of the left vectors, (n + n_drawn, dim) of the right ones.

    ``-log s(u v) - (NEGATIVES / DRAWN) sum log s(-u w)`` over the drawn w of its ``SHARING`` pairs (Mikolov et al.
    2013; that pairs share them is from PyTorch-BigGraph).
    """
    n, dim = left.shape
    right, drawn = right[:n], right[n:].reshape(-1, DRAWN, dim)
    shared = left.reshape(len(drawn), -1, dim)
    of_pair = (torch.sigmoid((left * right).sum(dim=1)) - 1)[:, None]
    of_drawn = torch.sigmoid(torch.bmm(shared, drawn.transpose(1, 2))).mul_(NEGATIVES / DRAWN)
    of_left = torch.bmm(of_drawn, drawn).reshape(n, dim).addcmul_(of_pair, right)
    of_others = torch.bmm(of_drawn.transpose(1, 2), shared).reshape(-1, dim)
    return of_left, torch.cat([of_pair * left, of_others])
