"""Streamed learners for tests: an exponentially decayed mean by item, and what is planted in its place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from features import Column, Registry, StreamContext, streamed

STEP = 40


class DecayedMean:
    """Mean relevance of the item's exposures, each weighing half of one that is ``half_life`` rows later."""

    def __init__(self, half_life: float = 100.0) -> None:
        self.half_life = half_life

    def start(self, context: StreamContext) -> None:
        self.items: npt.NDArray[np.uint32] = np.empty(0, dtype=np.uint32)
        self.weights: npt.NDArray[np.float64] = np.empty(0)
        self.totals: npt.NDArray[np.float64] = np.empty(0)
        self.overall = 0.0

    def learn(self, rows: pl.DataFrame) -> None:
        ids = rows["item_id"].to_numpy()
        items = np.union1d(self.items, ids)
        of_known, at = np.searchsorted(items, self.items), np.searchsorted(items, ids)
        faded = 0.5 ** (rows.height / self.half_life)
        weights = 0.5 ** (np.arange(rows.height - 1, -1, -1) / self.half_life)
        of_weights, of_totals = (
            np.bincount(at, weights, len(items)),
            np.bincount(at, weights * rows["relevance"].to_numpy(), len(items)),
        )
        of_weights[of_known] += faded * self.weights
        of_totals[of_known] += faded * self.totals
        self.items, self.weights, self.totals = items, of_weights, of_totals

    def sweep(self, chunks: Iterator[pl.DataFrame]) -> None:
        """Learn the mean of all rows, for items without any."""
        n, total = 0, 0
        for rows in chunks:
            n, total = n + rows.height, total + int(rows["relevance"].cast(pl.Int64).sum())
        self.overall = total / n

    def transform(self, pairs: pl.DataFrame) -> dict[str, npt.NDArray[np.float64]]:
        values = np.full(pairs.height, self.overall)
        if len(self.items):
            at = np.searchsorted(self.items, pairs["item_id"].to_numpy()).clip(max=len(self.items) - 1)
            is_known = self.items[at] == pairs["item_id"].to_numpy()
            values[is_known] = (self.totals / self.weights)[at[is_known]]
        return {"decayed": values}

    def save(self, folder: Path) -> None:
        np.savez(folder / "state.npz", items=self.items, weights=self.weights, totals=self.totals)

    def load(self, folder: Path) -> None:
        with np.load(folder / "state.npz", allow_pickle=False) as state:
            self.items, self.weights, self.totals = state["items"], state["weights"], state["totals"]


def one_streamed(
    body: type = DecayedMean, *, step: int = STEP, refine: int = 0, variants: object = None
) -> Registry:
    """A registry with one streamed learner, ``decayed``."""
    registry = Registry()
    streamed(
        columns={"decayed": Column(pl.Float32, range=(0, 1))},
        needs=["item_id", "relevance"],
        step=step,
        refine=refine,
        variants=variants,  # type: ignore[arg-type]
        registry=registry,
    )(body)
    return registry
