"""The files of a simulation, read."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from competitions import Simulated

N_ROWS = 200_000


@dataclass(frozen=True)
class Files:
    made: Simulated
    log: pl.DataFrame
    users: pl.DataFrame
    items: pl.DataFrame
    test: pl.DataFrame
    solution: pl.DataFrame

    @classmethod
    def of(cls, made: Simulated) -> Files:
        folder = made.folder
        return cls(
            made,
            pl.read_parquet([folder / name for name in made.files if name.startswith("train")]),
            pl.read_parquet(folder / "users_meta.parquet"),
            pl.read_parquet(folder / "items_meta.parquet"),
            pl.read_csv(folder / "test_pairs.csv"),
            pl.read_parquet(folder / "solution.parquet"),
        )

    @property
    def rows(self) -> pl.DataFrame:
        """Rows of the log with their item's attributes and ``week``."""
        week = (pl.int_range(pl.len()) * 6 // pl.len()).alias("week")
        return self.log.with_columns(week).join(
            self.items.drop("embeddings"), on="item_id", how="left", validate="m:1"
        )
