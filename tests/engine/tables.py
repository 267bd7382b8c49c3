"""Tables of embeddings for tests: a program that trains one towards known targets, and looks at it and its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from hypothesis import strategies as st

from engine import EmbeddingTable, WorkingSet, working_sets

Floats = npt.NDArray[np.float32]
Index = npt.NDArray[np.int64]

DIM = 5
ROW = 4 * (DIM + 1)  # bytes
GIB = 2**30


def table_of(**how: Any) -> EmbeddingTable:
    return EmbeddingTable("things", DIM, **{"seed": 3, "noise": 0.1, **how})


def vectors_of(table: EmbeddingTable) -> Floats:
    return table.read(np.arange(len(table)))


def grown() -> EmbeddingTable:
    table = table_of()
    table.grow(pl.Series([4, 5, 6]))
    return table


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@dataclass(frozen=True)
class Program:
    """Chunks of ids that a table grows by and is trained on, in batches, towards a target for each row."""

    chunks: list[list[int]]
    batch: int
    accumulate: int

    def run(self, table: EmbeddingTable, **how: Any) -> int:
        """Train, and give the most bytes that all working sets had at a time."""
        used, most = list[WorkingSet](), 0
        for ids in self.chunks:
            rows = table.grow(pl.Series(ids, dtype=pl.Int64))
            batches = [(rows[i : i + self.batch],) for i in range(0, len(rows), self.batch)]
            for (s,), (at,) in working_sets([table], batches, rate=0.3, accumulate=self.accumulate, **how):
                s.learn(at, gradient(at, s.take(at)))
                used += [] if s in used else [s]
                most = max(most, sum(one.n_bytes for one in used))
        return most


def gradient(rows: Index, vectors: torch.Tensor) -> torch.Tensor:
    """Of half the squared distance to a target for each row."""
    target = torch.sin(torch.from_numpy(rows)[:, None] + torch.arange(DIM)).float()
    return vectors - target


programs = st.builds(
    Program,
    chunks=st.lists(st.lists(st.integers(0, 60), max_size=40), min_size=1, max_size=4),
    batch=st.integers(1, 12),
    accumulate=st.integers(1, 3),
)
