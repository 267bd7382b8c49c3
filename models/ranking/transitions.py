"""What goes with what was liked last: learned from the rows of histories, in closed form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from threadpoolctl import threadpool_limits

from models._pair_frame import PairFrame
from models.ranking.derived import group_firsts
from models.ranking.item_vectors import ItemVectors, Places
from models.ranking.parameters import ITEMS, RELEVANCES, SOURCES, HistoryRows

FOLLOWS_LIKED = "follows liked"  # the number that pairs are given
TRANSITION_ARRAYS = (ITEMS, RELEVANCES, SOURCES)
GROUPS = 1_000  # histories whose vectors are in memory at a time
ROWS = 50_000  # of them, whose products are
N_ROWS = 2_000_000  # of histories, about, that are learned from at most: evenly among users
USERS = 2**16  # whose histories are in memory at a time
RIDGE = 0.05  # of the mean square of a product of vectors
USUAL = 20.0  # rows with the mean reaction that are added to those of an item

Likes = npt.NDArray[np.bool_]
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Transitions:
    """How well an item follows what its user liked last: ``(v(last) - m)' M v(item)``.

    ``last`` is the newest row of the history that was liked, ``m`` the mean of ``v`` over all that were: what a user
    likes in general is no transition. ``M``, ``matrix``, (d, d), is learned by least squares from the rows of
    histories, each by those before it: of a like, less what user and item have of them on average. That is the
    transition of FPMC (Rendle, Freudenthaler & Schmidt-Thieme 2010) with factors that are given, so that millions of
    rows teach some hundred numbers. ``item``, ``source``: columns of pairs; ``arrays``: those of histories.
    """

    item: str
    source: str | None
    arrays: tuple[str, ...]
    vectors: ItemVectors
    matrix: Matrix

    @classmethod
    def fit(cls, rows: PairFrame, of_rows: HistoryRows, column: str) -> Transitions | None:
        """Learn from the histories of a sorted frame's users; None if they or the vectors ``column`` are missing."""
        items, relevances, sources = (f"{of_rows.named(of)}__{rows.user}" for of in TRANSITION_ARRAYS)
        if not {items, relevances, column} <= set(rows.schema):
            return None
        source = rows.source if sources in rows.schema else None
        arrays = (items, relevances) if source is None else (items, relevances, sources)
        vectors = ItemVectors.of(rows, column)
        begun = cls(rows.item, source, arrays, vectors, np.zeros((vectors.width, vectors.width)))
        newest = rows.take(pl.col(rows.user).is_last_distinct())
        step = max(1, -(-newest.height * _length(rows.schema[items]) // N_ROWS))
        newest = newest.take(pl.int_range(pl.len()) % step == 0)
        with threadpool_limits(1):  # sums are in another order under another number of threads
            return replace(begun, matrix=begun._learned(*begun._histories(newest)))

    def added(self, frame: PairFrame) -> PairFrame:
        """Give a frame the number of each pair, Float32; null where its user liked nothing or its item is unknown."""
        firsts = group_firsts(frame)
        led = [self._led_on(*self._histories(part)) for part in firsts.chunks(USERS)]
        on = ["window", frame.user]
        numbered = firsts.table.select(on).with_row_index("group")
        keys = frame.table.select(on).join(
            numbered, on=on, how="left", nulls_equal=True, maintain_order="left"
        )
        sources = None if self.source is None else frame.column(self.source)
        at = self.vectors.at(frame.column(self.item), sources)
        of_group = np.concatenate([*led, np.zeros((0, self.vectors.width))])[keys["group"].to_numpy()]
        told = np.einsum("nd,nd->n", of_group, self.vectors.table[at].astype(np.float64))
        told[at == 0] = np.nan
        number = pl.Series(FOLLOWS_LIKED, told.astype(np.float32)).fill_nan(None)
        return replace(
            frame, table=frame.table.with_columns(number), features=(*frame.features, FOLLOWS_LIKED)
        )

    def save(self, folder: Path) -> None:
        """Write a ``.json`` file of names, an ``.npz`` file of the matrix, and what vectors write."""
        names = {"item": self.item, "source": self.source, "arrays": self.arrays}
        (folder / "transitions.json").write_text(json.dumps(names), encoding="utf-8")
        np.savez(folder / "matrix.npz", matrix=self.matrix)
        self.vectors.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Transitions:
        """Read what ``save`` wrote."""
        names = json.loads((folder / "transitions.json").read_text(encoding="utf-8"))
        with np.load(folder / "matrix.npz", allow_pickle=False) as saved:
            matrix = saved["matrix"]
        return cls(names["item"], names["source"], tuple(names["arrays"]), ItemVectors.load(folder), matrix)

    def _histories(self, firsts: PairFrame) -> tuple[Likes, Places]:
        """What of histories was liked, and the places of their items among vectors: both (n_groups, length)."""
        arrays = [firsts.column(name) for name in self.arrays]
        items, relevances, *sources = map(_flat, arrays)
        at = self.vectors.at(items, sources[0] if sources else None).reshape(-1, _length(arrays[0].dtype))
        liked = (relevances > 0).fill_null(value=False).to_numpy().reshape(at.shape)
        return liked & (at > 0), at

    def _led_on(self, liked: Likes, at: Places) -> Matrix:
        """Where what was liked last leads: (n_groups, d), NaN where nothing was liked."""
        last = at[np.arange(len(at)), at.shape[1] - 1 - liked[:, ::-1].argmax(axis=1)]
        group, place = np.nonzero(liked)
        total = np.zeros((len(at), self.vectors.width))
        np.add.at(total, group, self.vectors.table[at[group, place]])
        n_liked = liked.sum(axis=1)
        apart: Matrix = self.vectors.table[last] - total / np.maximum(n_liked, 1)[:, None]
        led: Matrix = np.where(n_liked[:, None] > 0, np.einsum("nd,de->ne", apart, self.matrix), np.nan)
        return led

    def _learned(self, liked: Likes, at: Places) -> Matrix:
        """``M``, by least squares."""
        d = self.vectors.width
        of_item, usual = self._mean_of_items(liked, at)
        square, reach = np.zeros((d * d, d * d)), np.zeros(d * d)
        for first in range(0, len(at), GROUPS):
            for x, y in self._rows(liked[first : first + GROUPS], at[first : first + GROUPS], of_item, usual):
                square += x.T @ x
                reach += x.T @ y
        ridge = RIDGE * square.trace() / (d * d)
        found = np.linalg.solve(square + (ridge or 1.0) * np.eye(d * d), reach)
        return np.asarray(found.reshape(d, d), dtype=np.float64)

    def _mean_of_items(self, liked: Likes, at: Places) -> tuple[Matrix, float]:
        """Share of likes of each place of the vectors (n,), leaning on that of all rows, and that."""
        n = len(self.vectors.table)
        n_seen, n_liked = (np.bincount(x, minlength=n).astype(np.float64) for x in (at.ravel(), at[liked]))
        usual = max(float(n_liked[1:].sum() / max(n_seen[1:].sum(), 1)), 1e-9)
        return (n_liked + USUAL * usual) / (n_seen + USUAL), usual

    def _rows(
        self, liked: Likes, at: Places, of_item: Matrix, usual: float
    ) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
        """Products of vectors (n, d d) of rows that follow a like, and what is left of their reactions (n,).

        What leads on adds to a user's share of likes in proportion to it. Both are divided by the standard deviation
        of a like of the user.
        """
        v, there = self.vectors.table[at], at > 0
        of_user = liked.sum(axis=1) / np.maximum(there.sum(axis=1), 1)
        last = np.maximum.accumulate(np.where(liked, np.arange(at.shape[1]), -1), axis=1)
        last = np.pad(last[:, :-1], ((0, 0), (1, 0)), constant_values=-1)
        own = v * liked[:, :, None]
        total = np.cumsum(own, axis=1) - own
        count: Places = np.cumsum(liked, axis=1) - liked
        groups, places = np.nonzero(there & (last >= 0))
        for first in range(0, len(groups), ROWS):
            g, t = groups[first : first + ROWS], places[first : first + ROWS]
            read = v[g, last[g, t]] - total[g, t] / count[g, t][:, None]
            expected = of_user[g] * of_item[at[g, t]] / usual
            scale = (1 / np.sqrt(np.maximum(of_user[g], 0.01))).astype(np.float32)
            weighed = (read * (of_user[g] * scale)[:, None]).astype(np.float32)
            product = weighed[:, :, None] * v[g, t][:, None, :]
            yield product.reshape(len(g), -1), ((liked[g, t] - expected) * scale).astype(np.float32)


def _flat(arrays: pl.Series) -> pl.Series:
    """Values of arrays one after the other; those of an array that is null are null."""
    nothing = pl.Series([[None] * _length(arrays.dtype)], dtype=arrays.dtype)
    known = arrays.to_frame("array").select(pl.col("array").fill_null(pl.lit(nothing).first()))["array"]
    return known.arr.explode(empty_as_null=True)


def _length(dtype: pl.DataType) -> int:
    return dtype.size if isinstance(dtype, pl.Array) else 1
