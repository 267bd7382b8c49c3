"""The shop taken in, files of the VK challenge, and settings in a folder of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from competitions import Dataset, RawTables, get_competition, take_in
from engine import Settings
from tests.competitions import vk_files
from tests.competitions.shop import SHOP, Take, shop_tables


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
def redeclared(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Change the declaration of a competition of this room."""

    def redeclare(name: str, **changes: object) -> None:
        changed = replace(get_competition(name), **changes)  # type: ignore[arg-type]  # as a careless author would
        monkeypatch.setattr(f"competitions.{name}.{name.upper()}", changed)

    return redeclare


@pytest.fixture
def vk(settings: Settings) -> Settings:
    """Settings for small files of the VK challenge, in partitions of a thousand rows."""
    vk_files.write(settings.data)
    return settings.model_copy(update={"competition": "vk2024", "partition_rows": 1_000})


@pytest.fixture
def solved(vk: Settings) -> Settings:
    """The same with a solution beside the files."""
    vk_files.solution().write_parquet(vk.data / "solution.parquet")
    return vk
