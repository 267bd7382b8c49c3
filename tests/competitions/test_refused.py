"""What cannot be taken in is one readable error: whose table or code, the column and rule, how many rows, the first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl
import pytest

from competitions import Clock, LogFile, LogShare, RawTables, SubmissionFormat
from engine import DataError
from tests.competitions.shop import (
    HOUR,
    PER_USER,
    ROW,
    SHOP,
    Edit,
    Take,
    collected,
    edited,
    given_pairs,
    raises_with,
    shop_tables,
)

SECONDS = pl.col("seconds")
WRONG = SECONDS.str.len_chars()
PHONE, DESK, MINUS, NULL = pl.lit("phone"), pl.lit("desk"), pl.lit(-1.0), pl.lit(None)
TEXT = pl.when(SECONDS >= 200).then(pl.lit("long")).otherwise(SECONDS.cast(pl.String))
BY_KEYS = SubmissionFormat({"user": "user_id", "item": "item_id", "score": "score"})


class Fair(dy.Schema):
    item_id = dy.UInt32(primary_key=True)
    brand = dy.Enum(("acme", "other"))
    price = dy.Float64()

    @dy.rule()
    def acme_is_cheap(cls) -> pl.Expr:
        return (pl.col("brand") != "acme") | (pl.col("price") < 1)


def columns(**changed: pl.Expr) -> Edit:
    return lambda t: t.with_columns(**changed)


def nulled(name: str, where: pl.Expr) -> Edit:
    return lambda t: t.with_columns(pl.when(~where).then(name).alias(name))


def twice(table: pl.LazyFrame) -> pl.LazyFrame:
    return pl.concat([table, table.head(1)])


def gone(table: pl.LazyFrame) -> pl.LazyFrame:
    return pl.scan_parquet("gone.parquet")


def emptied(table: pl.LazyFrame) -> pl.LazyFrame:
    return table.head(0)


def solution(*seconds: int) -> pl.LazyFrame:
    return pl.LazyFrame({"seconds": seconds})


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (columns(seconds=TEXT), "UInt16: 4 of 24 rows ... row 20: seconds='long'; row 21: ... , ..."),
        (columns(seconds=SECONDS.cast(pl.Int64) + 65_400), "UInt16: 10 of 24 ... row 14: seconds=65540"),
        (columns(seconds=SECONDS * 3), "must keep the rule 'max' (600): 3 of ... row 21: seconds=630"),
        (nulled("seconds", SECONDS == 50), "'seconds' must not be null: 1 of 24 rows do not, first row 5"),
        (columns(device=pl.lit("fridge")), "'device' must be readable as one of phone, desk: 24 of 24"),
        (nulled("user_id", SECONDS == 0), "the key 'user_id' must not be null: 1 of 24"),
        (nulled("item_id", SECONDS == 0), "the key 'item_id' must not be null: 1 of 24"),
        (nulled("at", SECONDS < 20), "the key 'at' must not be null: 2 of 24 rows"),
        (columns(row=pl.lit(1)), "brings its own row numbers, and they are not unique"),
        (columns(at=pl.col("at").dt.epoch("s")), "at is Int64 instead of Datetime(time_unit='us'"),
        (columns(seconds=SECONDS / 1), "seconds is Float64 instead of UInt16"),
        (lambda t: t.rename({"seconds": "second"}), "Did you mean 'second'? ... found user_id, item_id, at"),
        (emptied, "has no rows"),
        (gone, "cannot be read"),
    ],
)
def test_bad_interactions(taken: Take, edit: Edit, message: str) -> None:
    with raises_with(f"Table 'interactions' of competition 'shop' ... {message}"):
        taken(edited(interactions=edit))


@pytest.mark.parametrize(
    ("table", "edit", "message"),
    [
        ("items", lambda t: t.select("item_id"), "has no column 'brand', 'price'."),
        ("items", columns(brand=NULL, price=MINUS), "'brand' must not be null ... the rule 'min' (0)"),
        ("items", columns(item_id=NULL), "the key 'item_id' must not be null: 2 of 2 rows"),
        ("items", columns(item_id=pl.col("item_id") + 100), "has 2 rows (110, 111), and none of them"),
        ("items", emptied, "has no rows, and none of them is for one of the log's 2 items (10, 11)"),
        ("users", emptied, "none of them is for one of the log's 3 users (1, 2, 3)"),
        ("users", columns(user_id=pl.col("user_id") + 100), "Expected: a row for the users of the log"),
        ("users", twice, "user_id must not repeat: 2 of 4 ... first row 0: user_id=1; row 3: user_id=1"),
        ("users", gone, "cannot be read"),
    ],
)
def test_bad_attributes(taken: Take, table: str, edit: Edit, message: str) -> None:
    with raises_with(f"Table {table!r} of competition 'shop' ... {message}"):
        taken(edited(None, **{table: edit}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        # What a small integer cannot hold is no relevance.
        ({"relevance": SECONDS / 100}, "in 21 of 24 rows, the first: row 1 with 0.1"),
        ({"relevance": SECONDS}, "no whole number from -128 to 127 in 11 of 24 ... row 13 with 130"),
        ({"relevance": 0 - SECONDS.cast(pl.Int64)}, "in 11 of 24 rows, the first: row 13 with -130"),
        ({"relevance": 1 / SECONDS}, "in 24 of 24 rows, the first: row 0 with inf"),
        ({"relevance": SECONDS / SECONDS}, "in 1 of 24 rows, the first: row 0 with nan"),
        ({"relevance": pl.when(SECONDS > 0).then(1)}, "competition 'shop' is null in 1 of 24 rows"),
        ({"derived": {"seconds": SECONDS + 1}}, "'seconds' has the name of a column of the interactions"),
        ({"select_pairs": lambda rows: None}, "select_pairs() ... 'shop' failed ... AttributeError"),
        ({"select_pairs": lambda rows: rows.drop("user_id")}, "ColumnNotFoundError"),
        ({"select_pairs": lambda rows: pl.concat([rows, rows])}, "gives 8 pairs of 4 rows"),
        ({"select_pairs": lambda rows: rows.filter(SECONDS > 600)}, "and 0 pairs to score in it (4 rows)"),
        ({"items": Fair}, "the rule 'acme_is_cheap' ... : 1 of 2 rows do not, first row 0: item_id=10"),
        ({"horizon": 100 * HOUR}, "has 0 rows before its test window [2023-12-28 "),
        ({**ROW, "horizon": 100}, "has 0 rows before its test window"),
        ({**ROW, "horizon": LogShare(0, of=6)}, "a share lies between 0 and 1"),
        ({**ROW, "horizon": LogShare(6, of=6)}, "a share lies between 0 and 1"),
        ({**PER_USER, "horizon": LogShare(1, of=5)}, "the horizon of a per_user clock is a number of steps"),
        ({**PER_USER, "clock": Clock("per_user", steps=10)}, "reaches the last 1 only with enough rows"),
    ],
)
def test_a_declaration_that_does_not_suit_the_tables(
    taken: Take, changes: dict[str, Any], message: str
) -> None:
    with raises_with(message):
        taken(**changes)


@pytest.mark.parametrize("tables", [shop_tables(), given_pairs()], ids=["cut", "given"])
def test_an_unknown_column_in_select_pairs(taken: Take, tables: RawTables) -> None:
    with pytest.raises(DataError, match=r"select_pairs\(\) of competition 'shop' failed") as caught:
        taken(tables, select_pairs=lambda targets: targets.filter(pl.col("second") > 0))
    assert 'unable to find column "second"' in str(caught.value)
    assert "with their columns row, clock, user_id" in str(caught.value)
    assert "Resolved plan" not in str(caught.value)


@pytest.mark.parametrize(
    ("tables", "changes", "message"),
    [
        (given_pairs(n_pairs=5), {}, "1 of 5 given pairs ... outside of the test window, the first: row 4"),
        (given_pairs(n_pairs=4), {"submission": BY_KEYS}, "2 of 4 test pairs ... user_id=1, item_id=10"),
        (edited(given_pairs(), pairs=columns(item_id=NULL)), {}, "'pairs' ... 'item_id' must not be null: 3"),
        (given_pairs(solution=solution(100, 0)), {}, "gives 3 pairs, and its solution has 2 rows"),
        (
            given_pairs(solution=solution(100, 0, 7)),
            {"relevance": pl.when(SECONDS != 7).then("long")},
            "leaves the relevance of 1 pairs null",
        ),
        (
            given_pairs(solution=solution(100, 0, 7)),
            {"relevance": pl.when(SECONDS == 7).then(0.7).otherwise(1.0)},
            "in 1 of 3 rows, the first: row 2 with 0.7",
        ),
        (
            edited(given_pairs(), interactions=columns(device=PHONE), pairs=columns(device=DESK)),
            {"derived": {**SHOP.derived, "is_evening": pl.col("device").replace_strict({"phone": True})}},
            "the derived column 'is_evening' of competition 'shop' failed",
        ),
    ],
)
def test_given_pairs_that_cannot_be_scored(
    taken: Take, tables: RawTables, changes: dict[str, Any], message: str
) -> None:
    with raises_with(message):
        taken(tables, **changes)


def test_given_pairs_may_repeat_in_an_ordered_file(taken: Take) -> None:
    dataset = taken(given_pairs(n_pairs=4), submission=replace(BY_KEYS, ordered=True))
    assert collected(dataset.test_pairs).height == 4


@pytest.mark.parametrize("ordered", [False, True])
def test_a_submission_cannot_name_its_rows_by_nulls(taken: Take, ordered: bool) -> None:
    columns = {"device": "device", "pair": "pair_id", "score": "score"}
    with raises_with("'device' is null in 1 of 4 test pairs of competition 'shop'"):
        taken(submission=SubmissionFormat(columns, ordered=ordered))


@pytest.mark.parametrize(
    ("declared", "given", "words"), [(False, True, "a table ... none"), (True, False, "no table ... one")]
)
def test_a_table_must_be_declared_and_given_or_neither(
    taken: Take, declared: bool, given: bool, words: str
) -> None:
    tables = shop_tables() if given else replace(shop_tables(), users=None)
    with raises_with(f"read() of competition 'shop' gives {words}"):
        taken(tables, users=SHOP.users if declared else None)


class TestRowClock:
    def test_own_row_numbers(self, taken: Take) -> None:
        with raises_with("brings its own row numbers"):
            taken(edited(interactions=lambda t: t.with_row_index("row")), **ROW)

    def test_a_bad_row_is_told_by_its_number_in_its_file(self, taken: Take) -> None:
        good = shop_tables().interactions
        bad = nulled("item_id", pl.int_range(pl.len()) == 13)(good)
        files = (LogFile(Path("a.csv"), good), LogFile(Path("b.csv"), bad))
        both = replace(shop_tables(), interactions=pl.concat([good, bad]), log_files=files)
        with raises_with(
            "'shop' (b.csv) breaks its rules:\n- the key 'item_id' ... 1 of 19 ... first row 13:"
        ):
            taken(both, **ROW)

    def test_two_files_of_one_name(self, taken: Take) -> None:
        tables = shop_tables()
        files = tuple(LogFile(Path(path), tables.interactions) for path in ("/a/log.csv", "/b/log.csv"))
        with raises_with("Two files of the log go by the same name"):
            taken(replace(tables, log_files=files), **ROW)
