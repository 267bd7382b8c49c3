"""Planted defects are caught and named; the catalogue itself is without findings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count as counter
from pathlib import Path

import polars as pl
import pytest

from competitions import Dataset, get_competition, open_dataset, random_tables, take_in
from engine import Settings
from features import Log, Registry, Window, aggregate, bind_catalogue, fitted, mean, per_pair, table
from features._audit import Finding, audit
from validation import plan_folds

Planter = Callable[[Registry, Settings], None]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    competition = get_competition("movielens")
    tables = random_tables(competition, n_users=40, n_items=50, n_rows=1500, seed=5)
    return take_in(competition, tables, tmp_path_factory.mktemp("generated"), fingerprint="generated")


def last_eval(dataset: Dataset, settings: Settings) -> Window:
    return plan_folds(dataset, settings.folds).folds[-1].eval


def one_off(registry: Registry, settings: Settings) -> None:
    @table(key="item_id", columns={"leaked": pl.Float32}, registry=registry)
    def time_bound_off_by_one(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """Mean rating up to and including the cutoff."""
        log = open_dataset(settings).log.filter(pl.col("clock") <= window.cutoff)
        return log.group_by("item_id").agg(pl.col("rating").mean().cast(pl.Float32).alias("leaked"))


def over_the_full_log(registry: Registry, settings: Settings) -> None:
    @table(key="item_id", columns={"leaked": pl.UInt32}, registry=registry)
    def full_log(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """Number of rows of the item, ever."""
        return open_dataset(settings).log.group_by("item_id").agg(pl.len().cast(pl.UInt32).alias("leaked"))


def shifted(registry: Registry, settings: Settings) -> None:
    @table(key="user_id", columns={"leaked": pl.Float32}, registry=registry)
    def next_rating(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """Rating of the row after the user's last one."""
        following = (
            pl.col("rating").shift(-1).over("user_id", order_by="row").cast(pl.Float32).alias("leaked")
        )
        rows = open_dataset(settings).log.with_columns(following).filter(pl.col("clock") < window.cutoff)
        return rows.group_by("user_id").agg(pl.col("leaked").sort_by("clock", "row").last())


def fitted_on_everything(registry: Registry, settings: Settings) -> None:
    @fitted(columns={"leaked": pl.Float64}, registry=registry)
    class Everything:
        """Mean rating of the whole log."""

        def fit(self, history: pl.LazyFrame, window: Window) -> None:
            self.mean = (
                open_dataset(settings).log.select(pl.col("rating").mean()).collect(engine="in-memory").item()
            )

        def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
            return pairs.select("pair_id", pl.lit(self.mean, pl.Float64).alias("leaked"))


def label_of_the_pair(registry: Registry, settings: Settings) -> None:
    @fitted(columns={"leaked": pl.Int8}, registry=registry)
    class Label:
        """The pair's own relevance."""

        def fit(self, history: pl.LazyFrame, window: Window) -> None:
            self.labels = (
                open_dataset(settings)
                .log.select(pl.col("row").alias("pair_id"), "relevance")
                .collect(engine="in-memory")
            )

        def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
            labelled = pairs.join(self.labels, on="pair_id", how="left", validate="1:1")
            return labelled.select("pair_id", pl.col("relevance").alias("leaked"))


def random_number(registry: Registry, settings: Settings) -> None:
    numbers = counter()

    @fitted(columns={"leaked": pl.Int64}, registry=registry)
    class Unseeded:
        """A number that is another one each time."""

        def fit(self, history: pl.LazyFrame, window: Window) -> None:
            self.number = next(numbers)

        def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
            return pairs.select("pair_id", pl.lit(self.number, pl.Int64).alias("leaked"))


def others_in_the_sample(registry: Registry, settings: Settings) -> None:
    @fitted(columns={"leaked": pl.UInt32}, registry=registry)
    class Crowd:
        """Number of pairs that are computed together."""

        def fit(self, history: pl.LazyFrame, window: Window) -> None:
            return None

        def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
            return pairs.select("pair_id", pl.lit(pairs.height, pl.UInt32).alias("leaked"))


def order_of_rows(registry: Registry, settings: Settings) -> None:
    @table(key="user_id", columns={"leaked": pl.UInt32}, registry=registry)
    def physical_order(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """Item of the row that lies first in the file."""
        log = open_dataset(settings).log.filter(pl.col("clock") < window.cutoff)
        return log.group_by("user_id").agg(pl.col("item_id").first().cast(pl.UInt32).alias("leaked"))


@pytest.mark.parametrize(
    ("plant", "check"),
    [
        (one_off, "labels of the window flipped"),
        (over_the_full_log, "future truncated"),
        (shifted, "future truncated"),
        (fitted_on_everything, "future perturbed"),
        (label_of_the_pair, "labels of the window flipped"),
        (random_number, "future truncated"),
        (others_in_the_sample, "one pair alone"),
        (order_of_rows, "rows of the log reordered"),
    ],
)
def test_planted_leak_is_caught_and_named(
    plant: Planter, check: str, generated: Dataset, movielens_settings: Settings
) -> None:
    registry = Registry()
    plant(registry, movielens_settings)

    @aggregate(keys=["item_id"], registry=registry)
    def honest(log: Log) -> object:
        """Mean rating."""
        return mean(log.rating)

    catalogue = bind_catalogue(generated, registry)
    findings = audit(catalogue, [last_eval(generated, movielens_settings)], catalogue.columns, seed=1)
    assert check in {f.check for f in findings}
    (name,) = {f.column for f in findings}
    assert name.startswith("leaked")
    assert {f.place.split(":")[0] for f in findings} == {Path(__file__).name}
    assert all(f.evidence for f in findings)


def test_scope_declared_too_narrow_is_caught(generated: Dataset, movielens_settings: Settings) -> None:
    registry = Registry()

    @per_pair(scope="user", registry=registry)
    def popularity_here(item_id: pl.Expr) -> pl.Expr:
        """Number of pairs of the item in the window: looks at all users, not at the one declared."""
        return item_id.len().over(item_id)

    catalogue = bind_catalogue(generated, registry)
    findings = audit(catalogue, [last_eval(generated, movielens_settings)], catalogue.columns, seed=1)
    assert {(f.column, f.check) for f in findings} >= {("popularity_here", "a few pairs")}


def test_reading_a_file_is_told(generated: Dataset, movielens_settings: Settings, tmp_path: Path) -> None:
    registry = Registry()
    file = tmp_path / "scores.parquet"
    pl.DataFrame(
        {"item_id": [1], "leaked": [0.5]}, schema={"item_id": pl.UInt32, "leaked": pl.Float32}
    ).write_parquet(file)

    @table(key="item_id", columns={"leaked": pl.Float32}, registry=registry)
    def from_a_file(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """Scores from somewhere."""
        return pl.scan_parquet(file)

    catalogue = bind_catalogue(generated, registry)
    findings = audit(catalogue, [last_eval(generated, movielens_settings)], catalogue.columns, seed=1)
    assert [(f.column, f.check) for f in findings] == [("leaked__item_id", "reads files by itself")]


@pytest.fixture(scope="module")
def findings_by_column(
    movielens_catalogue: object, generated: Dataset, movielens_settings: Settings
) -> dict[str, list[Finding]]:
    """Audit every registered feature on the real log (an early and a late window) and on a generated one."""
    from features import Catalogue, load_catalogue

    assert isinstance(movielens_catalogue, Catalogue)
    windows = plan_folds(movielens_catalogue.dataset, movielens_settings.folds).windows
    found = audit(movielens_catalogue, [windows[0], windows[-2]], movielens_catalogue.columns, seed=3)
    small = load_catalogue(generated)
    late = last_eval(generated, movielens_settings)
    found += audit(small, [late, replace(late, cutoff=late.cutoff - 2)], small.columns, seed=3)
    by_column: dict[str, list[Finding]] = {}
    for finding in found:
        by_column.setdefault(finding.column, []).append(finding)
    return by_column


def test_no_registered_feature_knows_the_future(findings_by_column: dict[str, list[Finding]]) -> None:
    assert findings_by_column == {}
