"""Pairs with their features: held in memory, or read from the store column by column."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from engine import DataError, did_you_mean

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class StoredColumns:
    """Feature columns that are read when they are asked for, one at a time, and not kept.

    ``read(name)`` gives a whole column as it is stored; ``rows`` UInt32 (n_pairs,) are the positions of the frame's
    pairs in it. ``schema``: dtype of each column.
    """

    schema: Mapping[str, pl.DataType]
    read: Callable[[str], pl.Series]
    rows: pl.Series

    def column(self, name: str) -> pl.Series:
        """Read a column in the order of the frame's pairs."""
        return self.read(name).gather(self.rows).alias(name)

    def take(self, positions: pl.Series) -> StoredColumns:
        """Keep the pairs at these positions of the frame."""
        return replace(self, rows=self.rows.gather(positions))


@dataclass(frozen=True)
class PairFrame:
    """Pairs of one or more windows with their features: what rankers are fitted on and predict.

    Read features by ``column`` and ``columns``: they may be in the table, or in the store.

    Attributes
    ----------
    table
        One row a pair, sorted by (``window``, user, ``pair_id``): a ranking group is a contiguous (window, user).
        Columns: ``pair_id`` UInt32, ``window`` Int64 (the cutoff), the key columns, ``relevance`` Int8 (larger is
        better; absent when the labels are unknown), ``weight`` Float32 (optional), and the features in memory.
    features
        Columns that a model may read as inputs: numeric (Float32, integers, Boolean; null = unknown) or Enum; and
        vectors (Array) that it asked for by name.
    user, item, source
        Names of the key columns; ``source`` is None if the competition has none.
    stored
        The features that the table does not hold; None if it holds all.
    """

    table: pl.DataFrame
    features: tuple[str, ...]
    user: str
    item: str
    source: str | None = None
    stored: StoredColumns | None = None

    @property
    def height(self) -> int:
        """Number of pairs."""
        return self.table.height

    @property
    def schema(self) -> Mapping[str, pl.DataType]:
        """Dtype of every column, in memory or stored."""
        stored = {} if self.stored is None else self.stored.schema
        return {**stored, **self.table.schema}

    @property
    def categorical(self) -> tuple[str, ...]:
        """The features whose dtype is Enum."""
        schema = self.schema
        return tuple(c for c in self.features if isinstance(schema.get(c), pl.Enum))

    @property
    def numeric(self) -> tuple[str, ...]:
        """The other features, but vectors."""
        schema, others = self.schema, set(self.categorical)
        others |= {c for c in self.features if c in schema and schema[c].is_nested()}
        return tuple(c for c in self.features if c not in others)

    @property
    def relevance(self) -> Scores:
        """Labels as Float64 (n_pairs,). Raises DataError if there are none or if one of them is null."""
        labels = self.column("relevance")
        if labels.has_nulls():
            raise DataError(
                f"{labels.null_count()} of {len(labels)} pairs have no relevance.",
                expected="a label for each pair of a fit",
                todo="leave the test window out of the train windows",
            )
        return labels.cast(pl.Float64).to_numpy()

    @property
    def has_weights(self) -> bool:
        """Tell whether pairs have weights of their own."""
        return "weight" in self.table.columns

    @property
    def weight(self) -> Scores:
        """How many pairs each one stands for, Float64 (n_pairs,): ones unless the train pairs were sampled."""
        if not self.has_weights:
            return np.ones(self.table.height)
        return self.table["weight"].cast(pl.Float64).to_numpy()

    @property
    def group_ids(self) -> npt.NDArray[np.int64]:
        """Number of each row's ranking group, Int64 (n_pairs,): 0, 1, ... in the order of the rows.

        Raises DataError if the rows of a (window, user) are not next to each other.
        """
        run = self.table.select(pl.struct("window", self.user).rle_id().alias("run"))["run"]
        n_groups = self.table.select("window", self.user).n_unique()
        if self.table.height and run[-1] + 1 != n_groups:
            raise DataError(
                f"The {n_groups} groups (window, {self.user}) of the frame lie in {run[-1] + 1} separate runs.",
                expected="the rows of a group next to each other",
                todo="sort the frame, PairFrame.in_order() does",
            )
        return run.cast(pl.Int64).to_numpy()

    def in_order(self) -> PairFrame:
        """Sort the rows by (window, user, pair_id), so that a fit does not depend on the order it was given.

        A frame that is in order already is returned as it is: no copy.
        """
        order = self.table.select(pl.arg_sort_by("window", self.user, "pair_id").alias("order"))["order"]
        if order.equals(pl.Series("order", np.arange(len(order), dtype=np.uint32))):
            return self
        return self._at(order)

    def take(self, rows: pl.Expr) -> PairFrame:
        """Keep the rows for which the expression over the table's columns holds."""
        if self.stored is None:
            return replace(self, table=self.table.filter(rows))
        positions = pl.int_range(pl.len(), dtype=pl.UInt32).filter(rows)
        return self._at(self.table.select(positions.alias("position"))["position"])

    def chunks(self, n_rows: int = 2**19) -> Iterator[PairFrame]:
        """Cut the frame into frames of so many rows, in order: what is in memory at a time. None if it is empty."""
        for first in range(0, self.table.height, n_rows):
            rows = slice(first, first + n_rows)
            stored = None if self.stored is None else replace(self.stored, rows=self.stored.rows[rows])
            yield replace(self, table=self.table[rows], stored=stored)

    def column(self, name: str) -> pl.Series:
        """Return one column; DataError if the frame lacks it."""
        if name in self.table.columns:
            return self.table[name]
        if self.stored is None or name not in self.stored.schema:
            raise self._lacking([name])
        return self.stored.column(name)

    def columns(self, names: Sequence[str]) -> pl.DataFrame:
        """Return these columns, all at once in memory; DataError names those that the frame does not have."""
        self.check(names)
        return pl.DataFrame([self.column(name) for name in names])

    def check(self, names: Sequence[str]) -> None:
        """Raise DataError naming the columns that the frame does not have."""
        known = self.schema
        missing = [name for name in names if name not in known]
        if missing:
            raise self._lacking(missing)

    def _lacking(self, missing: Sequence[str]) -> DataError:
        return DataError(
            f"The frame lacks {len(missing)} columns that the model reads: {', '.join(missing[:5])}."
            + did_you_mean(missing[0], list(self.schema)),
            expected="the features that the model was fitted on",
        )

    def _at(self, positions: pl.Series) -> PairFrame:
        stored = None if self.stored is None else self.stored.take(positions)
        return replace(self, table=self.table[positions], stored=stored)
