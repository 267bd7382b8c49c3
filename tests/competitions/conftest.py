"""A small competition with every role in it, the real MovieLens, and settings in a folder of their own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import dataframely as dy
import polars as pl
import pytest

from competitions import (
    Clock,
    Competition,
    Dataset,
    Metric,
    RawTables,
    SubmissionFormat,
    get_competition,
    take_in,
)
from engine import DataError, Settings
from tests.competitions import vk_files

ROOT = Path(__file__).parents[2]


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


HOUR = 3_600_000_000

SHOP = Competition(
    name="shop",
    title="A small shop",
    licence="free",
    read=no_files,
    interactions=Clicks,
    users=Users,
    items=Items,
    roles={
        "user_id": "key",
        "item_id": "key",
        "at": "observed",
        "device": "observed",
        "seconds": "outcome",
        "is_evening": "observed",
        "long": "outcome",
    },
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
    return RawTables(
        interactions=pl.LazyFrame(
            {
                "user_id": [1 + i % 3 for i in rows],
                "item_id": [10 + i % 2 for i in rows],
                "at": [start + timedelta(hours=i) for i in rows],
                "device": ["phone" if i % 4 else None for i in rows],
                "seconds": [10 * i for i in rows],
            },
            schema={
                "user_id": pl.UInt32,
                "item_id": pl.UInt32,
                "at": pl.Datetime("us"),
                "device": pl.Enum(("phone", "desk")),
                "seconds": pl.UInt16,
            },
        ),
        users=pl.LazyFrame(
            {"user_id": [1, 2, 3], "age": [20, None, 40]}, schema={"user_id": pl.UInt32, "age": pl.UInt8}
        ),
        items=pl.LazyFrame(
            {"item_id": [10, 11], "brand": ["acme", "other"], "price": [1.0, 2.5]},
            schema={"item_id": pl.UInt32, "brand": pl.Enum(("acme", "other")), "price": pl.Float64},
        ),
    )


@pytest.fixture
def shop() -> Competition:
    return SHOP


@pytest.fixture
def tables() -> RawTables:
    return shop_tables()


@pytest.fixture
def taken(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Dataset]:
    """Take the shop's tables in, some of them or some of its declaration changed."""

    def take(tables: RawTables | None = None, **changes: object) -> Dataset:
        competition = replace(SHOP, **changes)  # type: ignore[arg-type]  # checked by the competition itself
        folder = tmp_path_factory.mktemp("data")
        return take_in(competition, shop_tables() if tables is None else tables, folder, fingerprint="f")

    return take


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data", store=tmp_path / "store")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with small files of the VK challenge."""
    return vk_files.write(tmp_path / "data")


@pytest.fixture
def vk(folder: Path, tmp_path: Path) -> Settings:
    """Settings for these files, in partitions of a thousand rows."""
    return Settings(competition="vk2024", data=folder, store=tmp_path / "store", partition_rows=1_000)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel with ML-100K in it: the checkout's, or downloaded; skips without a network, except in CI."""
    folder = ROOT / "data"
    try:
        if not any(folder.glob("recbole-*.whl")):
            folder = tmp_path_factory.mktemp("wheel")
        files = get_competition("movielens").files
        return next(iter(files(folder)))
    except DataError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"ML-100K is not here: {error}")


@pytest.fixture(scope="session")
def movielens(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The real ML-100K, taken in."""
    competition = get_competition("movielens")
    folder = tmp_path_factory.mktemp("movielens")
    (folder / "in").mkdir()
    (folder / "out").mkdir()
    shutil.copy(wheel, folder / "in")
    return take_in(competition, competition.read(folder / "in"), folder / "out", fingerprint="real")
