"""Sixteen features that must not be, each with the checks that have to name it. They leak by opening the data set."""

from __future__ import annotations

from itertools import count as counter
from pathlib import Path

import numpy as np
import polars as pl

from competitions import Dataset, open_dataset
from engine import Settings
from features import Log, Registry, Window, aggregate, count, fitted, mean, per_pair, table

DEFECTS: dict[str, str] = {
    "next_rating__user_id": "future truncated",
    "rows_ever__item_id": "future truncated",
    "label_of_item__item_id": "labels of the window flipped",
    "liked_beside": "labels of the window flipped",
    "from_a_file__item_id": "reads files by itself",
    "other_in_test__item_id": "computed as the test window",
    "another_number": "a second run in the same process",
    "too_wide": "declared dtype",
    "too_large__item_id": "fails when computed",
    "own_label": "labels of the window flipped",
    "up_to_cutoff__item_id": "labels of the window flipped",
    "first_in_file__user_id": "rows of the log reordered",
    "narrow_count__user_id": "overflow",
    "n_shown_here": "computed for a sample of the pairs",
}
WARNINGS: dict[str, str] = {"always_seven": "constant", "n_rows_twice__item_id": "near-duplicate"}


def plant(registry: Registry, settings: Settings, file: Path) -> None:
    """Register all of them, and two honest features."""

    @aggregate(keys=["item_id"], registry=registry)
    def honest(log: Log) -> object:
        """Mean rating."""
        return mean(log.rating)

    @aggregate(keys=["item_id"], registry=registry)
    def n_rows(log: Log) -> object:
        """Number of rows."""
        return count()

    _leaks_of_the_future(registry, settings)
    _leaks_of_labels(registry, settings)
    _reads_a_file(registry, file)
    _unsteady(registry, settings)
    _wrong_values(registry)


def _leaks_of_the_future(registry: Registry, settings: Settings) -> None:
    @table(key="user_id", columns={"next_rating": pl.Float32}, registry=registry)
    def row_after(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """Rating of the row after the user's last one."""
        following = pl.col("rating").shift(-1).over("user_id", order_by="row").cast(pl.Float32)
        rows = whole(settings).log.with_columns(next_rating=following).filter(pl.col("clock") < window.cutoff)
        return rows.group_by("user_id").agg(pl.col("next_rating").sort_by("clock", "row").last())

    @table(key="item_id", columns={"rows_ever": pl.UInt32}, registry=registry)
    def over_all_time(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """Number of rows of the item, ever."""
        return whole(settings).log.group_by("item_id").agg(pl.len().cast(pl.UInt32).alias("rows_ever"))

    @table(key="item_id", columns={"up_to_cutoff": pl.Float32}, registry=registry)
    def off_by_one(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """Mean rating up to and including the cutoff."""
        log = whole(settings).log.filter(pl.col("clock") <= window.cutoff)
        return log.group_by("item_id").agg(pl.col("rating").mean().cast(pl.Float32).alias("up_to_cutoff"))


def _leaks_of_labels(registry: Registry, settings: Settings) -> None:
    @table(key="item_id", columns={"label_of_item": pl.Float32}, registry=registry)
    def labels_of_the_window(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """Mean relevance of the item in the window itself."""
        rows = window.targets(whole(settings).log)
        return rows.group_by("item_id").agg(
            pl.col("relevance").mean().cast(pl.Float32).alias("label_of_item")
        )

    @fitted(columns={"liked_beside": pl.Int64}, scope="user", registry=registry)
    class Beside:
        """Number of the user's other pairs that are liked."""

        def fit(self, history: pl.LazyFrame, window: Window) -> None:
            self.labels = labels(settings)

        def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
            liked = (pl.col("relevance") > 0).cast(pl.Int64).fill_null(0)
            labelled = pairs.join(self.labels, on="pair_id", how="left", validate="1:1")
            return labelled.select("pair_id", liked_beside=liked.sum().over("user_id") - liked)

    @fitted(columns={"own_label": pl.Int8}, registry=registry)
    class Own:
        """The pair's own relevance, from a fitted object."""

        def fit(self, history: pl.LazyFrame, window: Window) -> None:
            self.labels = labels(settings)

        def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
            labelled = pairs.join(self.labels, on="pair_id", how="left", validate="1:1")
            return labelled.select("pair_id", pl.col("relevance").alias("own_label"))


def _reads_a_file(registry: Registry, file: Path) -> None:
    scores = pl.DataFrame([(1, 0.5)], schema={"item_id": pl.UInt32, "from_a_file": pl.Float32}, orient="row")
    scores.write_parquet(file)

    @table(key="item_id", columns={"from_a_file": pl.Float32}, registry=registry)
    def scores_of_a_file(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """Scores from somewhere."""
        return taken_from(file)


def _unsteady(registry: Registry, settings: Settings) -> None:
    numbers = counter()

    @table(key="item_id", columns={"other_in_test": pl.UInt32}, registry=registry)
    def skewed(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """Number of rows of the item: with the last horizon in the test window only."""
        is_test = window.start >= whole(settings).test_start
        rows = history if is_test else history.filter(pl.col("clock") < window.cutoff - window.horizon)
        return rows.group_by("item_id").agg(pl.len().cast(pl.UInt32).alias("other_in_test"))

    @fitted(columns={"another_number": pl.Int64}, registry=registry)
    class Unseeded:
        """Another number each time."""

        def fit(self, history: pl.LazyFrame, window: Window) -> None:
            self.number = next(numbers)

        def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
            return pairs.select("pair_id", pl.lit(self.number, pl.Int64).alias("another_number"))

    @table(key="user_id", columns={"first_in_file": pl.UInt32}, registry=registry)
    def physical_order(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """Item of the row that lies first in the file."""
        log = whole(settings).log.filter(pl.col("clock") < window.cutoff)
        return log.group_by("user_id").agg(pl.col("item_id").first().cast(pl.UInt32).alias("first_in_file"))

    @fitted(columns={"n_shown_here": pl.UInt32}, registry=registry)
    class Crowd:
        """Number of pairs of the window, by what the data set shows."""

        def fit(self, history: pl.LazyFrame, window: Window) -> None:
            self.n_shown = round(1_000 * whole(settings).sample_pairs)

        def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
            return pairs.select("pair_id", pl.lit(self.n_shown, pl.UInt32).alias("n_shown_here"))


def _wrong_values(registry: Registry) -> None:
    @fitted(columns={"too_wide": pl.Int8}, registry=registry)
    class Wide:
        """Declares whole numbers and gives floats."""

        def fit(self, history: pl.LazyFrame, window: Window) -> None:
            pass

        def transform(self, pairs: pl.DataFrame) -> dict[str, pl.Series]:
            return {"too_wide": pairs["item_id"] / 2}

    @table(key="item_id", columns={"too_large": pl.Int8}, registry=registry)
    def large(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """Declares Int8 and gives larger numbers."""
        return history.group_by("item_id").agg(too_large=pl.lit(300, pl.Int64))

    @per_pair(registry=registry)
    def always_seven(item_id: pl.Expr) -> pl.Expr:
        """Seven."""
        return item_id * 0 + 7

    @aggregate(keys=["item_id"], registry=registry)
    def n_rows_twice(log: Log) -> object:
        """Twice the number of rows, and one."""
        return count() * 2 + 1

    @table(key="user_id", columns={"narrow_count": pl.Int16}, registry=registry)
    def counted_narrowly(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """Number of rows of the user, counted in 16 bits."""
        users = history.select("user_id").collect(engine="in-memory")["user_id"]
        found, counts = np.unique(users.to_numpy(), return_counts=True)
        narrow = pl.Series("narrow_count", counts.astype(np.int16))
        return pl.LazyFrame({"user_id": pl.Series(found, dtype=users.dtype), "narrow_count": narrow})


def whole(settings: Settings) -> Dataset:
    """The data set as a leak gets at it: by opening it."""
    return open_dataset(settings)


def labels(settings: Settings) -> pl.DataFrame:
    """Labels of all rows by pair_id."""
    rows = whole(settings).log.select(pl.col("row").alias("pair_id"), "relevance")
    return rows.collect(engine="in-memory")


def taken_from(file: Path) -> pl.LazyFrame:
    """A file that a feature reads through a function of its own."""
    return pl.scan_parquet(file)
