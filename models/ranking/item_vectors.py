"""Vectors of items that a feature learned anew for each window, brought to the coordinates of the first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from engine import nets
from models._pair_frame import PairFrame
from models.ranking.starts import Vectors, distinct_vectors

WIDTH = 16  # of vectors, at most: what is learned over them grows with its fourth power

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ItemVectors:
    """Vectors of items, and for items without one the means of their sources.

    ``table``: Float32 (1 + n_items + n_sources, d): zeros for what is not known, then those of ``items`` and those of
    ``sources``.
    """

    items: nets.Vocabulary
    sources: nets.Vocabulary
    table: Vectors

    @classmethod
    def of(cls, rows: PairFrame, column: str) -> ItemVectors:
        """Take the vectors of the items of a frame, of mean square 1.

        Of an item that several windows ask for it is the earliest one's: later ones have seen its labels. A later
        window's vectors are turned by the rotation that brings those of the items so far nearest to what they are
        (orthogonal Procrustes, Schoenemann 1966), since a factorisation says nothing of its axes; without as many
        common items as vectors are wide, no new ones are taken of it. Vectors wider than ``WIDTH`` are brought to so
        many principal components.
        """
        items, vectors = _of_windows(rows, column)
        if vectors.shape[1] > WIDTH:
            square = vectors.T.astype(np.float64) @ vectors
            vectors = (vectors @ np.linalg.eigh(square)[1][:, : -WIDTH - 1 : -1]).astype(np.float32)
        known, of_items = nets.Vocabulary.of(items), np.empty_like(vectors)
        of_items[known.rows(items) - 1] = vectors
        sources, of_sources = _of_sources(rows, known, of_items)
        table = np.concatenate([np.zeros((1, vectors.shape[1]), np.float32), of_items, of_sources])
        scale = np.sqrt(np.square(vectors, dtype=np.float64).mean()) if len(vectors) else 0.0
        return cls(known, sources, (table / np.float32(scale or 1.0)).astype(np.float32))

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return int(self.table.shape[1])

    def at(self, items: pl.Series, sources: pl.Series | None) -> Places:
        """Rows of the table for items of these sources, 0 where neither is known: (n,)."""
        at = self.items.rows(items)
        if sources is None:
            return at
        of = self.sources.rows(sources)
        return np.where((at == 0) & (of > 0), of + len(self.items), at)

    def save(self, folder: Path) -> None:
        """Write two Parquet files of ids and an ``.npz`` file."""
        self.items.values.to_frame().write_parquet(folder / "items.parquet")
        self.sources.values.to_frame().write_parquet(folder / "sources.parquet")
        np.savez(folder / "vectors.npz", table=self.table)

    @classmethod
    def load(cls, folder: Path) -> ItemVectors:
        """Read what ``save`` wrote."""
        items, sources = (
            nets.Vocabulary(pl.read_parquet(folder / f"{of}.parquet")["value"]) for of in ("items", "sources")
        )
        with np.load(folder / "vectors.npz", allow_pickle=False) as saved:
            return cls(items, sources, saved["table"])


def _of_windows(rows: PairFrame, column: str) -> tuple[pl.Series, Vectors]:
    """Distinct items with a finite vector, and their vectors (n, d) in the coordinates of the first window."""
    ids, vectors = distinct_vectors(rows.take(pl.lit(value=False)), rows.item, column)
    for window in rows.table["window"].unique().sort():
        new, of_new = distinct_vectors(rows.take(pl.col("window") == window), rows.item, column)
        found = new.to_frame("id").join(
            ids.to_frame("id").with_row_index("at"), on="id", how="left", maintain_order="left"
        )["at"]
        is_known = found.is_not_null().to_numpy()
        if len(ids):
            if is_known.sum() < vectors.shape[1]:
                continue
            of_new = of_new @ _rotation(of_new[is_known], vectors[found.drop_nulls().to_numpy()])
        ids = pl.concat([ids, new.filter(~is_known)])
        vectors = np.concatenate([vectors, of_new[~is_known]])
    return ids, vectors


def _rotation(source: Vectors, target: Vectors) -> Vectors:
    """Orthogonal (d, d) matrix with which ``source @ matrix`` is nearest to ``target``, both (n, d)."""
    u, _, v = np.linalg.svd(source.T.astype(np.float64) @ target)
    rotation: Vectors = (u @ v).astype(np.float32)
    return rotation


def _of_sources(rows: PairFrame, items: nets.Vocabulary, vectors: Vectors) -> tuple[nets.Vocabulary, Vectors]:
    """Sources of the items, and the means of the vectors of each one's distinct items."""
    if rows.source is None:
        return nets.Vocabulary.of(pl.Series(dtype=pl.Int64)), vectors[:0]
    pairs = pl.DataFrame({"item": items.rows(rows.column(rows.item)), "source": rows.column(rows.source)})
    pairs = pairs.filter(pl.col("item") > 0).drop_nulls().unique("item", keep="first", maintain_order=True)
    sources = nets.Vocabulary.of(pairs["source"])
    at = sources.rows(pairs["source"]) - 1
    total = np.zeros((len(sources), vectors.shape[1]))
    np.add.at(total, at, vectors[pairs["item"].to_numpy() - 1])
    n_each = np.maximum(np.bincount(at, minlength=len(sources)), 1)
    return sources, (total / n_each[:, None]).astype(np.float32)
