"""Each bad table is one readable error: table, column, rule, how many rows, the first few."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import dataframely as dy
import polars as pl
import pytest

from competitions import Dataset, RawTables
from engine import DataError

Take = Callable[..., Dataset]


def changed(tables: RawTables, **columns: pl.Expr) -> RawTables:
    return replace(tables, interactions=tables.interactions.with_columns(**columns))


def failure(taken: Take, tables: RawTables) -> str:
    with pytest.raises(DataError) as caught:
        taken(tables)
    return str(caught.value)


class TestColumns:
    def test_a_renamed_column(self, taken: Take, tables: RawTables) -> None:
        renamed = replace(tables, interactions=tables.interactions.rename({"seconds": "second"}))
        message = failure(taken, renamed)
        assert (
            "Table 'interactions' of competition 'shop' has no column 'seconds'. Did you mean 'second'?"
            in message
        )
        assert "found user_id, item_id, at, device, second" in message

    def test_two_missing_columns(self, taken: Take, tables: RawTables) -> None:
        assert "has no column 'brand', 'price'." in failure(
            taken, replace(tables, items=tables.items.select("item_id"))
        )

    def test_a_wrong_dtype(self, taken: Take, tables: RawTables) -> None:
        message = failure(
            taken, changed(tables, at=pl.col("at").dt.epoch("s"), seconds=pl.col("seconds") / 1)
        )
        assert "at is Int64 instead of Datetime(time_unit='us', time_zone=None)" in message
        assert "seconds is Float64 instead of UInt16" in message

    def test_a_file_that_is_not_there(self, taken: Take, tables: RawTables, tmp_path: Path) -> None:
        gone = replace(tables, interactions=pl.scan_parquet(tmp_path / "gone.parquet"))
        assert "Table 'interactions' of competition 'shop' cannot be read" in failure(taken, gone)


class TestValues:
    def test_text_where_a_number_belongs(self, taken: Take, tables: RawTables) -> None:
        text = (
            pl.when(pl.col("seconds") >= 200)
            .then(pl.lit("long"))
            .otherwise(pl.col("seconds").cast(pl.String))
        )
        message = failure(taken, changed(tables, seconds=text))
        assert "column 'seconds' must be readable as UInt16: 4 of 24 rows do not" in message
        assert "first row 20: seconds='long'; row 21: seconds='long'; row 22: seconds='long', ..." in message

    def test_text_that_is_a_number_is_read(self, taken: Take, tables: RawTables) -> None:
        dataset = taken(changed(tables, seconds=pl.col("seconds").cast(pl.String)))
        assert dataset.log.collect(engine="streaming").equals(taken().log.collect(engine="streaming"))

    def test_a_number_too_large_for_its_dtype(self, taken: Take, tables: RawTables) -> None:
        message = failure(taken, changed(tables, seconds=pl.col("seconds").cast(pl.Int64) + 65_400))
        assert (
            "'seconds' must be readable as UInt16: 10 of 24 rows do not, first row 14: seconds=65540"
            in message
        )

    def test_an_unknown_category(self, taken: Take, tables: RawTables) -> None:
        message = failure(taken, changed(tables, device=pl.lit("fridge")))
        assert "column 'device' must be readable as one of phone, desk: 24 of 24 rows do not" in message

    def test_a_broken_limit(self, taken: Take, tables: RawTables) -> None:
        message = failure(taken, changed(tables, seconds=pl.col("seconds") * 3))
        assert (
            "column 'seconds' must keep the rule 'max' (600): 3 of 24 rows do not, first row 21: seconds=630"
            in message
        )

    def test_a_null_that_the_schema_forbids(self, taken: Take, tables: RawTables) -> None:
        seconds = pl.when(pl.col("seconds") != 50).then("seconds")
        assert "column 'seconds' must not be null: 1 of 24 rows do not, first row 5" in failure(
            taken, changed(tables, seconds=seconds)
        )

    def test_a_null_that_the_schema_allows(self, taken: Take, tables: RawTables) -> None:
        log = taken(changed(tables, device=pl.lit(None))).log.collect(engine="streaming")
        assert log["device"].is_null().all()

    def test_every_broken_rule_is_told_at_once(self, taken: Take, tables: RawTables) -> None:
        items = tables.items.with_columns(price=pl.lit(-1.0), brand=pl.lit(None))
        message = failure(taken, replace(tables, items=items))
        assert "'price' must keep the rule 'min' (0)" in message
        assert "'brand' must not be null" in message

    def test_a_rule_of_the_schema(self, taken: Take, tables: RawTables) -> None:
        class Fair(dy.Schema):
            item_id = dy.UInt32(primary_key=True)
            brand = dy.Enum(("acme", "other"))
            price = dy.Float64()

            @dy.rule()
            def acme_is_cheap(cls) -> pl.Expr:
                return (pl.col("brand") != "acme") | (pl.col("price") < 1)

        with pytest.raises(
            DataError, match=r"the rule 'acme_is_cheap' .*: 1 of 2 rows do not, first row 0: item_id=10"
        ):
            taken(items=Fair)


class TestKeys:
    @pytest.mark.parametrize("key", ["user_id", "item_id"])
    def test_a_null_key_of_the_log(self, taken: Take, tables: RawTables, key: str) -> None:
        message = failure(taken, changed(tables, **{key: pl.when(pl.col("seconds") > 0).then(key)}))
        assert f"the key '{key}' must not be null: 1 of 24 rows do not, first row 0" in message

    def test_a_null_clock(self, taken: Take, tables: RawTables) -> None:
        at = pl.when(pl.col("at") > datetime(2024, 1, 1, 1)).then("at")
        assert "the key 'at' must not be null: 2 of 24 rows" in failure(taken, changed(tables, at=at))

    def test_a_repeated_user(self, taken: Take, tables: RawTables) -> None:
        message = failure(taken, replace(tables, users=pl.concat([tables.users, tables.users.head(1)])))
        assert "Table 'users' of competition 'shop'" in message
        assert (
            "user_id must not repeat: 2 of 4 rows do not, first row 0: user_id=1; row 3: user_id=1" in message
        )

    def test_a_null_item(self, taken: Take, tables: RawTables) -> None:
        items = tables.items.with_columns(item_id=pl.when(pl.col("item_id") == 10).then("item_id"))
        assert "the key 'item_id' must not be null: 1 of 2 rows" in failure(
            taken, replace(tables, items=items)
        )

    def test_row_numbers_that_repeat(self, taken: Take, tables: RawTables) -> None:
        assert "brings its own row numbers, and they are not unique" in failure(
            taken, changed(tables, row=pl.lit(1))
        )
