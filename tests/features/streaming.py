"""Streamed learners for tests: an exponentially decayed mean by item, and ways to plant something else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from engine import EmbeddingTable, load_tables, save_tables, working_sets
from features import Column, Registry, StreamContext, streamed

STEP = 40


class DecayedMean:
    """Mean relevance of the item's exposures, each weighing half of one that is ``half_life`` rows later; 0 if none."""

    def __init__(self, half_life: float = 100.0) -> None:
        self.half_life = half_life

    def start(self, context: StreamContext) -> None:
        self.items: npt.NDArray[np.uint32] = np.empty(0, dtype=np.uint32)
        self.weights: npt.NDArray[np.float64] = np.empty(0)
        self.totals: npt.NDArray[np.float64] = np.empty(0)
        self.unknown = 0.0

    def learn(self, rows: pl.DataFrame) -> None:
        ids, relevance = rows["item_id"].to_numpy(), rows["relevance"].to_numpy()
        items = np.union1d(self.items, ids)
        of_known, at = np.searchsorted(items, self.items), np.searchsorted(items, ids)
        faded = 0.5 ** (rows.height / self.half_life)
        weights = 0.5 ** (np.arange(rows.height - 1, -1, -1) / self.half_life)
        of_weights, of_totals = (np.zeros(len(items)) for _ in range(2))
        of_weights[of_known], of_totals[of_known] = faded * self.weights, faded * self.totals
        np.add.at(of_weights, at, weights)
        np.add.at(of_totals, at, weights * relevance)
        self.items, self.weights, self.totals = items, of_weights, of_totals

    def sweep(self, chunks: Iterator[pl.DataFrame]) -> None:
        """Go half of the way from what unknown items have to the mean of all rows."""
        relevance = np.concatenate([rows["relevance"].to_numpy() for rows in chunks])
        self.unknown += (float(relevance.mean()) - self.unknown) / 2

    def transform(self, pairs: pl.DataFrame) -> dict[str, npt.NDArray[np.float64]]:
        values = np.full(pairs.height, self.unknown)
        if len(self.items):
            ids = pairs["item_id"].to_numpy()
            at = np.searchsorted(self.items, ids).clip(max=len(self.items) - 1)
            is_known = self.items[at] == ids
            values[is_known] = (self.totals / self.weights)[at[is_known]]
        return {"decayed": values}

    def save(self, folder: Path) -> None:
        np.savez(folder / "state.npz", items=self.items, weights=self.weights, totals=self.totals)

    def load(self, folder: Path) -> None:
        with np.load(folder / "state.npz", allow_pickle=False) as state:
            self.items, self.weights, self.totals = state["items"], state["weights"], state["totals"]


def one_streamed(body: type[Any] = DecayedMean, **options: Any) -> Registry:
    """A registry with one streamed learner whose only output is ``decayed``."""
    registry = Registry()
    declared = {"needs": ["item_id", "relevance"], "step": STEP, **options}
    streamed(columns={"decayed": Column(pl.Float32, range=(-1, 2))}, registry=registry, **declared)(body)
    return registry


class Products:
    """Products of vectors of users and items, learned in tables whose rows do not fit in memory."""

    GIB = 24 * 4 * 9 / 2**30  # 24 rows

    def start(self, context: StreamContext) -> None:
        self.folder = context.folder
        how: dict[str, Any] = {"noise": 0.1, "folder": context.folder, "memory_gib": self.GIB}
        self.tables = [
            EmbeddingTable(n, 8, seed=context.seed + i, **how) for i, n in enumerate(("user_id", "item_id"))
        ]

    def learn(self, rows: pl.DataFrame) -> None:
        at = [table.grow(rows[table.name]) for table in self.tables]
        is_good = torch.from_numpy((rows["relevance"].to_numpy() > 0).astype(np.float32))
        edges = range(0, rows.height, 16)
        batches = [[of_side[first : first + 16] for of_side in at] for first in edges]
        for first, (sets, batch) in zip(edges, working_sets(self.tables, batches, rate=0.1), strict=True):
            user, item = (s.take(of_side) for s, of_side in zip(sets, batch, strict=True))
            rest = torch.sigmoid((user * item).sum(dim=1)) - is_good[first : first + 16]
            for s, of_side, other in zip(sets, batch, (item, user), strict=True):
                s.learn(of_side, rest[:, None] * other)

    def transform(self, pairs: pl.DataFrame) -> dict[str, npt.NDArray[np.float32]]:
        at = [table.rows(pairs[table.name]) for table in self.tables]
        is_known = (at[0] >= 0) & (at[1] >= 0)
        values = np.zeros(pairs.height, dtype=np.float32)
        user, item = (table.read(of[is_known]) for table, of in zip(self.tables, at, strict=True))
        values[is_known] = (user * item).sum(axis=1)
        return {"product": values}

    def save(self, folder: Path) -> None:
        save_tables(folder, self.tables)

    def load(self, folder: Path) -> None:
        found, _ = load_tables(folder, scratch=self.folder, memory_gib=self.GIB)
        self.tables = list(found.values())


def streamed_tables() -> Registry:
    """A registry with a learner on tables of embeddings in files."""
    registry = Registry()
    streamed(
        columns={"product": pl.Float32},
        needs=["user_id", "item_id", "relevance"],
        step=STEP,
        registry=registry,
    )(Products)
    return registry


def learned(
    rows: pl.DataFrame, *, step: int = STEP, refine: int = 0, half_life: float = 100.0
) -> DecayedMean:
    """Give the learner after a history, by the rule and nothing else."""
    model = DecayedMean(half_life)
    model.start(StreamContext(0, Path()))
    chunks = [rows[begin : begin + step] for begin in range(0, rows.height, step)]
    for chunk in chunks:
        model.learn(chunk)
    for _ in range(refine):
        model.sweep(iter(chunks))
    return model
