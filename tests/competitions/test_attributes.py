"""Attributes of users and items on intake: rows without them, tables of others, columns that nobody declared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from competitions import Competition, Dataset, RawTables, take_in
from engine import DataError

Take = Callable[..., Dataset]


def rows_of(frame: pl.LazyFrame) -> pl.DataFrame:
    return frame.collect(engine="streaming")


def test_rows_without_attributes_stay_and_are_told(
    shop: Competition, tables: RawTables, tmp_path: Path
) -> None:
    few = replace(tables, users=tables.users.filter(pl.col("user_id") != 2))
    dataset = take_in(shop, few, tmp_path, fingerprint="f")
    with_age = rows_of(dataset.with_attributes(dataset.log))
    assert with_age.height == 20
    assert with_age.filter(pl.col("user_id") == 2)["age"].is_null().all()
    notes = (tmp_path / "meta.json").read_text()
    assert "7 rows of the log have a user without attributes (1 of them)" in notes


def test_items_without_attributes_are_told_too(shop: Competition, tables: RawTables, tmp_path: Path) -> None:
    few = replace(tables, items=tables.items.filter(pl.col("item_id") != 11))
    take_in(shop, few, tmp_path, fingerprint="f")
    notes = (tmp_path / "meta.json").read_text()
    assert "10 rows of the log have an item without attributes (1 of them)" in notes
    assert "2 rows of the test pairs have an item without attributes (1 of them)" in notes


@pytest.mark.parametrize(("table", "key"), [("users", "user_id"), ("items", "item_id")])
def test_a_table_about_others_than_the_log(taken: Take, tables: RawTables, table: str, key: str) -> None:
    others = getattr(tables, table).with_columns(pl.col(key) + 100)
    with pytest.raises(DataError, match=rf"Table '{table}' of .* has \d rows \(1\d\d, .* none of them") as e:
        taken(replace(tables, **{table: others}))
    assert f"Expected: a row for the {table} of the log, with the same {key}" in str(e.value)


@pytest.mark.parametrize(("table", "keys"), [("users", r"3 users \(1, 2, 3\)"), ("items", "2 items")])
def test_an_empty_table(taken: Take, tables: RawTables, table: str, keys: str) -> None:
    with pytest.raises(DataError, match=rf"Table '{table}' of competition 'shop' has no rows, .* {keys}"):
        taken(replace(tables, **{table: getattr(tables, table).head(0)}))


def test_unknown_columns_are_left_out_and_told(shop: Competition, tables: RawTables, tmp_path: Path) -> None:
    more = replace(tables, items=tables.items.with_columns(colour=pl.lit("red")))
    dataset = take_in(shop, more, tmp_path, fingerprint="f")
    assert dataset.items.collect_schema().names() == ["item_id", "brand", "price"]
    assert (
        "Columns of items that the competition does not declare are left out: colour."
        in (tmp_path / "meta.json").read_text()
    )
