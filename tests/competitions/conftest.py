"""The small shop, the real MovieLens, files of the VK challenge, and settings in a folder of their own."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from competitions import Competition, Dataset, RawTables, get_competition, take_in
from engine import DataError, Settings
from tests.competitions import vk_files
from tests.competitions.shop import SHOP, Take, shop_tables

ROOT = Path(__file__).parents[2]


@pytest.fixture
def shop() -> Competition:
    return SHOP


@pytest.fixture
def tables() -> RawTables:
    return shop_tables()


@pytest.fixture
def taken(tmp_path_factory: pytest.TempPathFactory) -> Take:
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


@pytest.fixture
def solved(vk: Settings) -> Settings:
    """The same with a solution beside the files."""
    vk_files.solution().write_parquet(vk.data / "solution.parquet")
    return vk


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
