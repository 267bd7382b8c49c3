"""The columns of a log by what they are for, and who is given them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from competitions import ClockKind, Dataset
from features import Catalogue, LogColumns, Registry, Window, bind_catalogue, compute_window, fitted
from validation import window_pairs

WINDOW = Window(cutoff=200, start=200, until=300)
KNOWN = LogColumns(
    user="user_id", item="item_id", source="kind", outcomes=("stars", "value"), reactions=(), dense=None,
    dense_per=None, of_user=("age",), of_item=("tags",), shown_numbers=("age",),
    shown_levels=("device",), shown_instants=("at",),
)  # fmt: skip


def asking(dataset: Dataset, **options: Any) -> Catalogue:
    """A feature that tells how many columns it was given, and the length of ``log`` if that is a text."""
    registry = Registry()

    @fitted(columns={"told": pl.UInt32}, registry=registry, **options)
    class Told:
        """How many columns it is told of; never null."""

        def __init__(self, log: LogColumns | str) -> None:
            self.log = log

        def fit(self, history: pl.LazyFrame, window: Window) -> None:
            names = [] if isinstance(self.log, str) else list(self.log.all)
            self.n = len(history.select(names).collect_schema()) if names else len(str(self.log))

        def transform(self, pairs: pl.DataFrame) -> Mapping[str, pl.Series]:
            return {"told": pl.Series([self.n] * pairs.height, dtype=pl.UInt32)}

    return bind_catalogue(dataset, registry)


def told(catalogue: Catalogue) -> dict[str, int]:
    pairs = window_pairs(catalogue.dataset, WINDOW)
    found = compute_window(catalogue, WINDOW, list(catalogue.columns), pairs).head(1)
    return found.drop("pair_id").row(0, named=True)


def with_competition(dataset: Dataset, **changes: Any) -> Dataset:
    return replace(dataset, competition=replace(dataset.competition, **changes))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"source": None}, {"source": None, "of_item": ("kind", "tags"), "shown_levels": ("device", "kind")}),
        ({"dense": "value", "dense_per": "age"}, {"dense": "value", "dense_per": "age"}),
        ({"relevance": pl.col("stars").cast(pl.Int8)}, {"reactions": ("like",)}),
    ],
)
def test_columns_are_sorted_by_what_they_are_for(
    small: Callable[[ClockKind], Dataset], changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    dataset = with_competition(small("row"), **changes)
    seen: list[LogColumns] = []

    def needs(log: LogColumns) -> list[str]:
        seen.append(log)
        return list(log.all)

    catalogue = asking(dataset, needs=needs)
    assert seen == [replace(KNOWN, **expected)]
    assert told(catalogue) == {"told": len(set(seen[0].all))}


def test_all_names_what_the_dense_outcome_is_a_share_of() -> None:
    assert "length" in replace(KNOWN, dense="value", dense_per="length").all
    assert len(KNOWN.all) == len(set(KNOWN.all)) == 8


def test_a_variant_with_an_argument_of_that_name_keeps_its_own(small: Callable[[ClockKind], Dataset]) -> None:
    variants = {"own": {"log": "loud"}, "longer": {"log": "quieter"}}
    assert told(asking(small("row"), variants=variants)) == {"told__own": 4, "told__longer": 7}
