"""Features of all five kinds that tests store, edit and lose."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from engine import Store
from features import (
    Aggregate,
    Catalogue,
    Log,
    Registry,
    StreamContext,
    Window,
    aggregate,
    column_recipes,
    count,
    fitted,
    mean,
    per_pair,
    smoothed,
    streamed,
    table,
)

STEP = 1


def halve(x: pl.Expr) -> pl.Expr:
    return x / 2


def third(x: pl.Expr) -> pl.Expr:
    return x / 3


def registry(
    *,
    strength: float = 10,
    factor: int = 2,
    helper: Callable[[pl.Expr], pl.Expr] = halve,
    argument: int = 1,
    limit: int = 3,
    fill: float | None = None,
    step: int = 50,
    refine: int = 0,
    meaning: str = "Smoothed likes.",
) -> Registry:
    """Features of all five kinds; each argument edits one of them. ``gap`` reads ``rate``, ``twice`` reads ``gap``."""
    features = Registry()

    def rate(log: Log) -> Aggregate:
        return smoothed(log.like, strength=strength)

    rate.__doc__ = meaning
    aggregate(keys=["user_id", "item_id"], registry=features)(rate)

    @aggregate(keys=["user_id"], where=lambda log: log.stars > limit, registry=features)
    def n_good(log: Log) -> Aggregate:
        """Number of plays with more stars."""
        return count()

    @aggregate(keys=["user_id"], fill=fill, registry=features)
    def stars(log: Log) -> Aggregate:
        """Mean stars."""
        return mean(log.stars)

    @per_pair(registry=features)
    def gap(rate__user_id: pl.Expr, rate__item_id: pl.Expr) -> pl.Expr:
        """Difference of rates."""
        return factor * (rate__user_id - rate__item_id)

    @per_pair(registry=features)
    def twice(gap: pl.Expr) -> pl.Expr:
        """Two levels above the rates."""
        return gap * 2

    @per_pair(registry=features)
    def age_here(age: pl.Expr) -> pl.Expr:
        """Reads nothing that is edited."""
        return age

    @table(key="item_id", columns={"half": pl.Float64}, needs=["stars"], registry=features)
    def by_helper(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """Uses a helper function."""
        return history.group_by("item_id").agg(helper(pl.col("stars").max()).alias("half"))

    @fitted(columns={"c": pl.Int64}, variants={"a": {"x": argument}, "b": {"x": 7}}, registry=features)
    class Constant:
        """Uses a constant of this file."""

        def __init__(self, x: int) -> None:
            self.x = x

        def fit(self, history: pl.LazyFrame, window: Window) -> None:
            pass

        def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
            return pairs.select("pair_id", c=pl.lit(self.x + STEP, pl.Int64))

    @streamed(columns={"seen": pl.UInt32}, needs=["item_id"], step=step, refine=refine, registry=features)
    class Seen:
        """Number of rows of the item."""

        def start(self, context: StreamContext) -> None:
            self.counts: dict[int, int] = {}

        def learn(self, rows: pl.DataFrame) -> None:
            for item in rows["item_id"]:
                self.counts[item] = self.counts.get(item, 0) + 1

        def sweep(self, chunks: Iterator[pl.DataFrame]) -> None:
            pass

        def transform(self, pairs: pl.DataFrame) -> dict[str, pl.Series]:
            return {
                "seen": pl.Series([self.counts.get(item, 0) for item in pairs["item_id"]], dtype=pl.UInt32)
            }

        def save(self, folder: Path) -> None:
            (folder / "counts.json").write_text(json.dumps(self.counts))

        def load(self, folder: Path) -> None:
            read = json.loads((folder / "counts.json").read_text())
            self.counts = {int(item): count for item, count in read.items()}

    return features


ALL = {
    "rate__user_id",
    "rate__item_id",
    "n_good__user_id",
    "stars__user_id",
    "gap",
    "twice",
    "age_here",
    "half__item_id",
    "c__a",
    "c__b",
    "seen",
}


def column_file(catalogue: Catalogue, window: Window, name: str, store: Store) -> Path:
    folder = store.find(column_recipes(catalogue, window, [name])[name])
    assert folder is not None
    (file,) = folder.glob("*.parquet")
    return file
