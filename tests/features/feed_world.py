"""A generated feed of clips: its pairs with all features of some families, and the history that they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from competitions import Dataset, get_competition, random_tables, take_in
from features import Catalogue, Window, compute_window, load_catalogue
from validation import window_pairs

WINDOW = Window(cutoff=1700, start=1700, until=2000)
HORIZON = 300
FAMILIES = (
    "counters", "rates", "trends", "affinity", "audience", "cross_counters", "backoff", "rhythm", "exposure",
    "engagement",
)  # fmt: skip


@dataclass(frozen=True)
class World:
    """``values``: the pairs with attributes and features. ``history``: rows before the cutoff with attributes."""

    dataset: Dataset
    catalogue: Catalogue
    values: pl.DataFrame
    history: pl.DataFrame

    def assert_column(
        self, column: str, key: list[str], by_hand: pl.DataFrame, tolerance: float = 1e-4
    ) -> None:
        """Compare a column with ``value``, one a key; pairs whose key has no row by hand are left out."""
        known = by_hand.drop_nulls(key).rename({"value": "expected"})
        joined = self.values.join(known, on=key, how="inner", validate="m:1")
        assert joined.height > 10
        assert_alike(joined[column], joined["expected"], tolerance)

    def counted(self, key: list[str], x: pl.Expr) -> pl.Series:
        """Sum of a value over the history of each pair's key; 0 without any."""
        sums = self.history.group_by(key).agg(value=x.cast(pl.Float64).sum())
        joined = self.values.join(sums, on=key, how="left", validate="m:1", maintain_order="left")
        return joined["value"].fill_null(0.0)

    def unseen(self, key: list[str]) -> pl.DataFrame:
        """Pairs whose key the history does not have."""
        rows = self.values.join(self.history, on=key, how="anti")
        assert rows.height
        return rows


def assert_alike(found: pl.Series, expected: pl.Series, tolerance: float = 1e-4) -> None:
    """Compare two columns: nulls in the same places, values within the tolerance by size, and not all null."""
    found, expected = found.cast(pl.Float64), expected.cast(pl.Float64)
    assert found.is_null().to_list() == expected.is_null().to_list()
    assert found.drop_nulls().len() > 0
    difference = ((found - expected).abs() / (expected.abs() + 1.0)).max()
    assert isinstance(difference, float)
    assert difference < tolerance


def feed_world(folder: Path) -> World:
    """Generate a feed and compute the families on one window of it."""
    competition = get_competition("vk2024")
    tables = random_tables(competition, n_users=40, n_items=200, n_rows=2600, seed=4)
    assert tables.items is not None
    items = tables.items.with_columns(
        (pl.col("item_id") % 9).cast(pl.UInt32).alias("source_id")
    )  # few sources
    dataset = take_in(competition, replace(tables, items=items), folder, fingerprint="a feed with families")
    catalogue = load_catalogue(dataset)
    names = [name for name, column in catalogue.columns.items() if column.family in FAMILIES]
    pairs = _pairs(dataset)
    found = compute_window(catalogue, WINDOW, catalogue.closure(names), pairs)
    values = dataset.with_attributes(pairs.lazy()).collect(engine="in-memory")
    history = dataset.with_attributes(dataset.log.filter(pl.col("clock") < WINDOW.cutoff))
    return World(
        dataset,
        catalogue,
        values.join(found, on="pair_id", how="left", validate="1:1"),
        history.sort("clock", "row").collect(engine="in-memory"),
    )


def _pairs(dataset: Dataset) -> pl.DataFrame:
    """Every row from the cutoff on, the first ten of a clip that was never shown before."""
    columns = window_pairs(dataset, WINDOW).columns
    late = dataset.log.filter(pl.col("clock") >= WINDOW.start).rename({"row": "pair_id"})
    pairs = late.select(columns).sort("pair_id").collect(engine="in-memory")
    shown = dataset.log.select("item_id").unique()
    cold = dataset.items.join(shown, on="item_id", how="anti").select(pl.col("item_id").min())
    new = pl.lit(cold.collect(engine="in-memory").item(), pl.UInt32)
    return pairs.with_columns(item_id=pl.when(pl.int_range(pl.len()) < 10).then(new).otherwise("item_id"))


def weight(half_life: float) -> pl.Expr:
    """Weight of a row that counts half after each half-life, in clock units."""
    return (-(WINDOW.cutoff - pl.col("clock")) / half_life * pl.lit(2.0).log()).exp()


def watched() -> pl.Expr:
    """Share of the clip that was watched."""
    share = (pl.col("timespent").cast(pl.Float64) / pl.col("duration")).clip(upper_bound=1.0)
    return pl.when(pl.col("duration") > 0).then(share)


def inputs_of(catalogue: Catalogue) -> Mapping[str, int]:
    """Number of model inputs of each family."""
    counts: dict[str, int] = {}
    for column in catalogue.columns.values():
        counts[column.family] = counts.get(column.family, 0) + column.is_model_input
    return counts
