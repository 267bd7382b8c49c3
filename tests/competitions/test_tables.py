"""Each bad table is one readable error: table, column, rule, how many rows, the first few. Odd tables are told of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl
import pytest

from competitions import Competition, RawTables, take_in
from engine import DataError
from tests.competitions.shop import Take, collected, edited

Edit = Callable[[pl.LazyFrame], pl.LazyFrame]
SECONDS = pl.col("seconds")
TEXT = pl.when(SECONDS >= 200).then(pl.lit("long")).otherwise(SECONDS.cast(pl.String)).alias("seconds")


class Fair(dy.Schema):
    item_id = dy.UInt32(primary_key=True)
    brand = dy.Enum(("acme", "other"))
    price = dy.Float64()

    @dy.rule()
    def acme_is_cheap(cls) -> pl.Expr:
        return (pl.col("brand") != "acme") | (pl.col("price") < 1)


def columns(**changed: pl.Expr) -> Edit:
    return lambda t: t.with_columns(**changed)


def without(key: str, value: int) -> Edit:
    return lambda t: t.filter(pl.col(key) != value)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (TEXT, "must be readable as UInt16: 4 of 24 rows do not, first row 20: seconds='long'; row 21"),
        (TEXT, "row 22: seconds='long', ..."),
        (SECONDS.cast(pl.Int64) + 65_400, "as UInt16: 10 of 24 rows do not, first row 14: seconds=65540"),
        (
            SECONDS * 3,
            "'seconds' must keep the rule 'max' (600): 3 of 24 rows do not, first row 21: seconds=630",
        ),
        (
            pl.when(SECONDS != 50).then("seconds"),
            "'seconds' must not be null: 1 of 24 rows do not, first row 5",
        ),
        (
            pl.lit("fridge").alias("device"),
            "'device' must be readable as one of phone, desk: 24 of 24 rows do not",
        ),
        (
            pl.when(SECONDS > 0).then("user_id").alias("user_id"),
            "the key 'user_id' must not be null: 1 of 24",
        ),
        (
            pl.when(SECONDS > 0).then("item_id").alias("item_id"),
            "the key 'item_id' must not be null: 1 of 24",
        ),
        (pl.when(SECONDS > 10).then("at").alias("at"), "the key 'at' must not be null: 2 of 24 rows"),
        (pl.lit(1).alias("row"), "brings its own row numbers, and they are not unique"),
        (pl.col("at").dt.epoch("s"), "at is Int64 instead of Datetime(time_unit='us', time_zone=None)"),
        (SECONDS / 1, "seconds is Float64 instead of UInt16"),
    ],
)
def test_bad_interactions(taken: Take, tables: RawTables, changed: pl.Expr, message: str) -> None:
    with pytest.raises(DataError) as caught:
        taken(edited(tables, interactions=lambda t: t.with_columns(changed)))
    assert "Table 'interactions' of competition 'shop'" in str(caught.value)
    assert message in str(caught.value)


def test_a_renamed_column(taken: Take, tables: RawTables) -> None:
    with pytest.raises(DataError, match=r"has no column 'seconds'. Did you mean 'second'\?") as caught:
        taken(edited(tables, interactions=lambda t: t.rename({"seconds": "second"})))
    assert "found user_id, item_id, at, device, second" in str(caught.value)


@pytest.mark.parametrize(
    ("table", "edit", "message"),
    [
        ("items", lambda t: t.select("item_id"), "has no column 'brand', 'price'."),
        ("items", columns(price=pl.lit(-1.0)), "'price' must keep the rule 'min' (0)"),
        ("items", columns(item_id=pl.lit(None)), "the key 'item_id' must not be null: 2 of 2 rows"),
        ("items", columns(item_id=pl.col("item_id") + 100), "has 2 rows (110, 111), and none of them"),
        (
            "items",
            lambda t: t.head(0),
            "has no rows, and none of them is for one of the log's 2 items (10, 11)",
        ),
        (
            "users",
            lambda t: t.head(0),
            "has no rows, and none of them is for one of the log's 3 users (1, 2, 3)",
        ),
        ("users", columns(user_id=pl.col("user_id") + 100), "Expected: a row for the users of the log"),
        (
            "users",
            lambda t: pl.concat([t, t.head(1)]),
            "user_id must not repeat: 2 of 4 rows do not, first row 0",
        ),
        ("users", lambda t: pl.concat([t, t.head(1)]), "row 0: user_id=1; row 3: user_id=1"),
        ("users", lambda t: pl.scan_parquet("gone.parquet"), "cannot be read"),
        ("interactions", lambda t: pl.scan_parquet("gone.parquet"), "cannot be read"),
    ],
)
def test_a_bad_table(taken: Take, tables: RawTables, table: str, edit: Edit, message: str) -> None:
    with pytest.raises(DataError) as caught:
        taken(edited(tables, **{table: edit}))
    assert f"Table {table!r} of competition 'shop'" in str(caught.value)
    assert message in str(caught.value)


def test_every_broken_rule_is_told_at_once(taken: Take, tables: RawTables) -> None:
    with pytest.raises(
        DataError, match=r"(?s)'brand' must not be null.*'price' must keep the rule 'min' \(0\)"
    ):
        taken(edited(tables, items=columns(price=pl.lit(-1.0), brand=pl.lit(None))))


def test_a_rule_of_the_schema(taken: Take) -> None:
    rule = r"the rule 'acme_is_cheap' .*: 1 of 2 rows do not, first row 0: item_id=10"
    with pytest.raises(DataError, match=rule):
        taken(items=Fair)


def test_text_that_is_a_number_is_read(taken: Take, tables: RawTables) -> None:
    text = edited(tables, interactions=columns(seconds=SECONDS.cast(pl.String)))
    assert collected(taken(text).log).equals(collected(taken().log))


def test_a_null_that_the_schema_allows(taken: Take, tables: RawTables) -> None:
    log = collected(taken(edited(tables, interactions=columns(device=pl.lit(None)))).log)
    assert log["device"].is_null().all()


class TestTold:
    """What is odd, but no error, is said in a note."""

    @pytest.fixture
    def notes(self, shop: Competition, tables: RawTables, tmp_path: Path) -> Callable[..., str]:
        def noted(**edits: Edit) -> str:
            take_in(shop, edited(tables, **edits), tmp_path, fingerprint="f")
            return (tmp_path / "meta.json").read_text()

        return noted

    def test_users_without_attributes(self, notes: Callable[..., str]) -> None:
        assert "7 rows of the log have a user without attributes (1 of them)" in notes(
            users=without("user_id", 2)
        )

    def test_items_without_attributes(self, notes: Callable[..., str]) -> None:
        said = notes(items=without("item_id", 11))
        assert "10 rows of the log have an item without attributes (1 of them)" in said
        assert "2 rows of the test pairs have an item without attributes (1 of them)" in said

    def test_unknown_columns_are_left_out(self, notes: Callable[..., str], tmp_path: Path) -> None:
        said = notes(items=columns(colour=pl.lit("red")))
        assert "Columns of items that the competition does not declare are left out: colour." in said
        assert list(pl.read_parquet_schema(tmp_path / "items.parquet")) == ["item_id", "brand", "price"]

    def test_what_can_be_seen_of_a_pair(self, notes: Callable[..., str]) -> None:
        said = notes()
        assert "never seen of a pair to score: seconds and what is derived" in said
        assert "Seen of it: user_id, item_id, at, device, is_evening." in said


def test_rows_without_attributes_stay(taken: Take, tables: RawTables) -> None:
    dataset = taken(edited(tables, users=without("user_id", 2)))
    with_age = collected(dataset.with_attributes(dataset.log))
    assert with_age.height == 20
    assert with_age.filter(pl.col("user_id") == 2)["age"].is_null().all()


class TestNoAttributes:
    """A competition may have no attributes of its users, its items or both."""

    @pytest.mark.parametrize("left_out", [("users",), ("items",), ("users", "items")], ids="+".join)
    @pytest.mark.parametrize("with_pairs", [False, True])
    def test_the_tables_are_the_keys_of_log_and_pairs(
        self, taken: Take, tables: RawTables, left_out: tuple[str, ...], with_pairs: bool
    ) -> None:
        keys = {"users": "user_id", "items": "item_id"}
        none: dict[str, Any] = dict.fromkeys(left_out)
        if with_pairs:
            pair = tables.interactions.tail(1).drop("seconds")
            later = pl.col("at") + pl.duration(hours=1)
            tables = replace(tables, pairs=pair.with_columns(later, user_id=77, item_id=pl.lit(88)))
        dataset = taken(replace(tables, **none), source=None, **none)
        log, pairs = collected(dataset.log), collected(dataset.test_pairs)
        for name in left_out:
            table, key = collected(getattr(dataset, name)), keys[name]
            assert table.schema == {key: pl.UInt32}
            assert table[key].to_list() == sorted({*log[key], *pairs[key]})
        assert (77 in pairs["user_id"]) == with_pairs
        kept = {"users": ["age"], "items": ["brand", "price"]}
        joined = [name for table, names in kept.items() if table not in left_out for name in names]
        assert dataset.history_schema.names() == [*log.columns, *joined]
        assert dataset.pair_schema.names() == [*pairs.columns, *joined]
        assert collected(dataset.with_attributes(dataset.log)).height == log.height

    @pytest.mark.parametrize(
        ("declared", "given", "message"),
        [
            (False, True, "gives a table of users, and .* none"),
            (True, False, "gives no table of users, and .* one"),
        ],
    )
    def test_declared_or_given_but_not_both(
        self, taken: Take, tables: RawTables, shop: Competition, declared: bool, given: bool, message: str
    ) -> None:
        with pytest.raises(DataError, match=rf"read\(\) of competition 'shop' {message}"):
            taken(
                replace(tables, users=tables.users if given else None), users=shop.users if declared else None
            )
