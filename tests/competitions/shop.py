"""A small competition with columns of every role, and its tables: three users, two items, one click an hour."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl
import pytest

from competitions import Clock, Competition, Dataset, Metric, RawTables, SubmissionFormat
from engine import DataError

Take = Callable[..., Dataset]
Edit = Callable[[pl.LazyFrame], pl.LazyFrame]
HOUR = 3_600_000_000
END = 1_704_150_000_000_001  # just after the last click, on the clock
ROW: dict[str, Any] = {"clock": Clock("row"), "horizon": 5}
PER_USER: dict[str, Any] = {"clock": Clock("per_user", "at", steps=4), "horizon": 1}


class Clicks(dy.Schema):
    user_id = dy.UInt32()
    item_id = dy.UInt32()
    at = dy.Datetime(time_unit="us")
    device = dy.Enum(("phone", "desk"), nullable=True)
    seconds = dy.UInt16(max=600)


class Users(dy.Schema):
    user_id = dy.UInt32(primary_key=True)
    age = dy.UInt8(nullable=True)


class Items(dy.Schema):
    item_id = dy.UInt32(primary_key=True)
    brand = dy.Enum(("acme", "other"))
    price = dy.Float64(min=0)


def no_files(folder: Path) -> RawTables:
    raise DataError(f"{folder} holds nothing")


SHOP = Competition(
    name="shop",
    title="A small shop",
    licence="free",
    read=no_files,
    interactions=Clicks,
    users=Users,
    items=Items,
    outcomes=("seconds",),
    derived={"is_evening": pl.col("at").dt.hour() >= 18, "long": pl.col("seconds") >= 60},
    relevance=pl.col("long"),
    clock=Clock("time", column="at"),
    horizon=4 * HOUR,
    metric=Metric("user_auc", policy={"one_class": "skip"}),
    submission=SubmissionFormat({"pair_id": "pair_id", "score": "score"}),
    source="brand",
)


def shop_tables(n_rows: int = 24) -> RawTables:
    """One click an hour: three users, two items, `seconds` 0, 10, 20, ..."""
    rows = range(n_rows)
    start = datetime(2024, 1, 1)
    columns = {
        "user_id": [1 + i % 3 for i in rows],
        "item_id": [10 + i % 2 for i in rows],
        "at": [start + timedelta(hours=i) for i in rows],
        "device": ["phone" if i % 4 else None for i in rows],
        "seconds": [10 * i for i in rows],
    }
    users = {"user_id": [1, 2, 3], "age": [20, None, 40]}
    items = {"item_id": [10, 11], "brand": ["acme", "other"], "price": [1.0, 2.5]}
    return RawTables(
        interactions=pl.LazyFrame(columns, schema=Clicks.create_empty().schema),
        users=pl.LazyFrame(users, schema=Users.create_empty().schema),
        items=pl.LazyFrame(items, schema=Items.create_empty().schema),
    )


def given_pairs(n_pairs: int = 3, **changes: object) -> RawTables:
    """The tables with given pairs in the hours after the log, of one item."""
    later = pl.col("at") + pl.duration(hours=24)
    pairs = (
        shop_tables(n_pairs).interactions.with_columns(later, item_id=pl.lit(10, pl.UInt32)).drop("seconds")
    )
    return replace(shop_tables(), pairs=pairs, **changes)  # type: ignore[arg-type]  # as the caller says


def edited(tables: RawTables | None = None, **edits: Edit) -> RawTables:
    """The tables, the shop's by default, some of them edited: ``edited(users=lambda t: t.head(1))``."""
    before = shop_tables() if tables is None else tables
    changes: dict[str, Any] = {name: edit(getattr(before, name)) for name, edit in edits.items()}
    return replace(before, **changes)


def collected(frame: pl.LazyFrame | None) -> pl.DataFrame:
    assert frame is not None
    return frame.collect(engine="streaming")


@contextmanager
def raises_with(message: str) -> Iterator[None]:
    """Expect a DataError that says the message, in which ``" ... "`` stands for any words."""
    pattern = ".*".join(re.escape(words) for words in message.split(" ... "))
    with pytest.raises(DataError, match=f"(?s){pattern}"):
        yield
