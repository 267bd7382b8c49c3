"""The one protocol of everything that ranks pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from engine import DataError, did_you_mean

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PairFrame:
    """Pairs of one or more windows with their features: what rankers are fitted on and predict.

    Attributes
    ----------
    table
        One row a pair, sorted by (``window``, user, ``pair_id``): a ranking group is a contiguous (window, user).
        Columns: ``pair_id`` UInt32, ``window`` Int64 (the cutoff), the key columns, ``features``, and ``relevance``
        Int8 (larger is better; absent when the labels are unknown).
    features
        Columns that a model may read as inputs: numeric (Float32, integers, Boolean; null = unknown) or Enum.
    user, item, source
        Names of the key columns; ``source`` is None if the competition has none.
    """

    table: pl.DataFrame
    features: tuple[str, ...]
    user: str
    item: str
    source: str | None = None

    @property
    def categorical(self) -> tuple[str, ...]:
        """The features whose dtype is Enum."""
        schema = self.table.schema
        return tuple(c for c in self.features if isinstance(schema.get(c), pl.Enum))

    @property
    def numeric(self) -> tuple[str, ...]:
        """The other features."""
        categorical = set(self.categorical)
        return tuple(c for c in self.features if c not in categorical)

    @property
    def relevance(self) -> Scores:
        """Labels as Float64 (n_pairs,). Raises DataError if there are none or if one of them is null."""
        labels = self.columns(["relevance"])["relevance"]
        if labels.has_nulls():
            raise DataError(
                f"{labels.null_count()} of {len(labels)} pairs have no relevance.",
                expected="a label for each pair of a fit",
                todo="leave the test window out of the train windows",
            )
        return labels.cast(pl.Float64).to_numpy()

    @property
    def group_ids(self) -> npt.NDArray[np.int64]:
        """Number of each row's ranking group, Int64 (n_pairs,): 0, 1, ... in the order of the rows.

        Raises DataError if the rows of a (window, user) are not next to each other.
        """
        run = self.table.select(pl.struct("window", self.user).rle_id().alias("run"))["run"]
        n_groups = self.table.select("window", self.user).n_unique()
        if self.table.height and run[-1] + 1 != n_groups:
            raise DataError(
                f"The {n_groups} groups (window, {self.user}) of the frame lie in {run[-1] + 1} separate pieces.",
                expected="the rows of a group next to each other",
                todo="sort the frame, PairFrame.in_order() does",
            )
        return run.cast(pl.Int64).to_numpy()

    def in_order(self) -> PairFrame:
        """Sort the rows by (window, user, pair_id), so that a fit does not depend on the order it was given."""
        return self._with(self.table.sort("window", self.user, "pair_id"))

    def take(self, rows: pl.Expr) -> PairFrame:
        """Keep the rows for which the expression holds."""
        return self._with(self.table.filter(rows))

    def columns(self, names: Sequence[str]) -> pl.DataFrame:
        """Return these columns of the table; DataError names those that it does not have."""
        missing = [name for name in names if name not in self.table.columns]
        if missing:
            raise DataError(
                f"The frame lacks {len(missing)} columns that the model reads: {', '.join(missing[:5])}."
                + did_you_mean(missing[0], self.table.columns),
                expected="the features that the model was fitted on",
            )
        return self.table.select(names)

    def _with(self, table: pl.DataFrame) -> PairFrame:
        return PairFrame(table, self.features, self.user, self.item, self.source)


@dataclass(frozen=True)
class FitContext:
    """What a fit may use beside the pairs.

    ``iterations``: None = find the count on an inner hold-out; a number = train so many on all rows (the final fit
    reuses what the folds found). ``time_budget``: seconds, None = no limit.
    """

    seed: int
    threads: int = 1
    iterations: int | None = None
    time_budget: float | None = None


@dataclass(frozen=True)
class FitReport:
    """What a fit tells about itself.

    ``stopped_by``: "converged", "hold-out", "iterations" or "time budget". ``importance``: share of each feature
    in the model, empty if the model has none.
    """

    iterations: int | None = None
    stopped_by: str = "converged"
    importance: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, float] = field(default_factory=dict)


class FittedRanker(Protocol):
    """A ranker after fit."""

    @property
    def report(self) -> FitReport:
        """What the fit tells about itself."""
        ...

    def predict(self, frame: PairFrame) -> Scores:
        """Score every pair: Float64 (n_pairs,), finite, in the order of ``frame.table``. Larger ranks higher."""
        ...

    def save(self, folder: Path) -> None:
        """Write native files (no pickle) into an existing empty folder."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote; predictions repeat exactly."""
        ...


class Ranker(Protocol):
    """A ranker before fit: a frozen dataclass of its parameters.

    A model file holds one class whose fields are its parameters (with defaults) and which says with
    ``@model("name")`` under what name ``config.toml`` knows it.
    """

    @property
    def needs(self) -> tuple[str, ...]:
        """Feature columns that this model reads by name: it gets those and no others, whatever the patterns select.

        Empty: it gets all that the patterns select.
        """
        ...

    @property
    def fitted(self) -> type[FittedRanker]:
        """The class whose ``load`` reads what this ranker's fit saved."""
        ...

    def fit(self, train: PairFrame, context: FitContext) -> FittedRanker:
        """Fit on pairs with labels. Never changes ``train``. Repeats exactly for the same context and rows."""
        ...
