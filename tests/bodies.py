"""A body of each kind, for decorators to be put on; a small file, since each time the file is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from features import Log, StreamContext, mean
from validation import Window


def average(log: Log) -> Any:
    """Mean seconds; null if there are none."""
    return mean(log.seconds)


def doubled(price: pl.Expr) -> pl.Expr:
    """Price times two."""
    return price * 2


def n_rows(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Number of rows; 0 if none."""
    return history.group_by("item_id").agg(a=pl.len().cast(pl.Float32))


class Fit:
    """A number."""

    def __init__(self, n: int = 1) -> None:
        self.n = n

    def fit(self, history: pl.LazyFrame, window: Window) -> None: ...

    def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
        return pairs.select(a=pl.lit(self.n, pl.Float32))


class Stream(Fit):
    """A number, learned."""

    def start(self, context: StreamContext) -> None: ...
    def learn(self, rows: pl.DataFrame) -> None: ...
    def sweep(self, chunks: Iterator[pl.DataFrame]) -> None: ...
    def save(self, folder: Path) -> None: ...
    def load(self, folder: Path) -> None: ...
