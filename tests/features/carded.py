"""Features of every dtype for cards, with markup in a docstring."""

from __future__ import annotations

import polars as pl

from features import Aggregate, Log, Registry, Window, aggregate, last, mean, per_pair, table
from tests.features import storing

EVIL = "<script>alert('x')</script> [bold]&amp;"
NAMES = (
    "rate__item_id",
    "twice",
    "gap",
    "shown_on",
    "is_old",
    "last_at__user_id",
    "vector__user_id",
    "tenth",
)


def registry() -> Registry:
    """The features of ``storing``, and one of each dtype that has no number."""
    features = storing.registry(meaning=f"Smoothed {EVIL}; null only without any history.")

    @per_pair(registry=features)
    def shown_on(device: pl.Expr) -> pl.Expr:
        """Device of the pair; null if unknown."""
        return device

    @per_pair(registry=features)
    def is_old(age: pl.Expr) -> pl.Expr:
        """Whether the user is over fifty; null if the age is unknown."""
        return age > 50

    @per_pair(registry=features)
    def tenth(age: pl.Expr) -> pl.Expr:
        """A tenth of the age; null if unknown."""
        return age / 10

    @aggregate(keys=["user_id"], model_input=False, registry=features)
    def last_at(log: Log) -> Aggregate:
        """Instant of the last row; null if there is none."""
        return last(log.at)

    @aggregate(keys=["user_id"], lookbacks=["2h"], registry=features)
    def lately(log: Log) -> Aggregate:
        """Mean of the recent stars; null if there are none."""
        return mean(log.stars)

    @table(key="user_id", columns={"vector": pl.Array(pl.Float32, 5)}, needs=["stars"], registry=features)
    def vectors(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """Five times the same number; null for a user without rows."""
        most = history.group_by("user_id").agg(pl.col("stars").max().cast(pl.Float32))
        return most.select("user_id", vector=pl.concat_list(["stars"] * 5).list.to_array(5))

    return features
