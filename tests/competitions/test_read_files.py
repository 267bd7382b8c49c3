"""A file that ``read()`` opens and ``files()`` does not name is refused: nobody would notice a change of it."""

from __future__ import annotations

import contextlib
import cProfile
import gzip
import os
import sqlite3
import subprocess
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import polars as pl
import pytest
from polars import read_csv

from competitions import RawTables, open_dataset
from engine import Settings
from tests.competitions.shop import SHOP, raises_with, shop_tables

Opens = Callable[[Path], object]


def in_a_thread(path: Path) -> object:
    with ThreadPoolExecutor() as pool:
        return pool.submit(pl.read_csv, path).result()


def from_its_folder(path: Path) -> object:
    with contextlib.chdir(path.parent):
        return Path(path.name).read_text()


OPENED: dict[str, Opens] = {
    "read_text": lambda path: path.read_text(),
    "os.open": lambda path: os.close(os.open(path, os.O_RDONLY)),
    "gzip": lambda path: gzip.open(path).close(),
    "zipfile": lambda path: zipfile.is_zipfile(path),
    "numpy": lambda path: np.loadtxt(path, skiprows=1),
    "sqlite": lambda path: sqlite3.connect(path).close(),
    "read_csv": lambda path: pl.read_csv(path),
    "read_csv taken from Polars": lambda path: read_csv(str(path)),
    "scan_csv": lambda path: pl.scan_csv(path),
    "a pattern": lambda path: pl.scan_csv(path.parent / "*.csv"),
    "several": lambda path: pl.scan_csv([path.parent / "log.csv", path]),
    "a folder": lambda path: pl.scan_csv(path.parent),
    "a thread": in_a_thread,
    "a command": lambda path: subprocess.run(["cat", path], check=True, capture_output=True),
    "a command line": lambda path: os.system(f"cat {path} > {os.devnull}"),
    "a long command": lambda path: subprocess.run(
        ["echo", "x" * 5_000, path], check=True, capture_output=True
    ),
    "another folder": from_its_folder,
}


@pytest.fixture
def opened_by(settings: Settings) -> Callable[[Opens], object]:
    """Take the shop in while its ``read()`` opens more than the log, ``weights.csv`` among it."""
    settings.data.mkdir()
    (settings.data / "log.csv").write_text("a\n1\n")
    (settings.data / "weights.csv").write_text("a\n1\n")

    def opened(opens: Opens, *named: str) -> object:
        def read(folder: Path) -> RawTables:
            opens(folder / "weights.csv")
            return shop_tables()

        names = ("log.csv", *named)
        shop = replace(SHOP, read=read, files=lambda folder: [folder / name for name in names])
        with patch("competitions._intake.open.get_competition", lambda _: shop):
            return open_dataset(settings)

    return opened


@pytest.mark.parametrize("way", OPENED)
def test_it_is_refused_however_it_is_opened(opened_by: Callable[..., object], way: str) -> None:
    with raises_with("read() of competition 'shop' ... /weights.csv, which its files() does not name"):
        opened_by(OPENED[way])
    opened_by(OPENED[way], "weights.csv")


def test_code_in_the_data_folder_is_data(opened_by: Callable[..., object], settings: Settings) -> None:
    (settings.data / "weights.py").write_text("WEIGHT = 3\n")
    with raises_with("/weights.py, which its files() does not name"):
        opened_by(lambda path: path.with_suffix(".py").read_text())


@pytest.mark.parametrize("place", ["outside.csv", "data/.hidden.csv"])
def test_elsewhere_is_no_way_out(opened_by: Callable[..., object], tmp_path: Path, place: str) -> None:
    (tmp_path / place).write_text("a\n1\n")
    with raises_with(f"/{place}, which its files() does not name"):
        opened_by(lambda path: pl.read_csv(tmp_path / place))


@pytest.mark.parametrize(
    "opens",
    [
        lambda path: (
            (path.parent / "unpacked.csv").write_text("a\n") and read_csv(path.parent / "unpacked.csv")
        ),
        lambda path: Path(np.__file__).read_bytes(),
        lambda path: Path("/etc/hostname").exists() and Path("/etc/hostname").read_bytes(),
        lambda path: path.stat(),
    ],
)
def test_what_is_no_input_may_be_opened(opened_by: Callable[..., object], opens: Opens) -> None:
    opened_by(opens)


def test_a_profiler_may_watch(opened_by: Callable[..., object]) -> None:
    profile = cProfile.Profile()
    with profile:
        opened_by(lambda path: path.read_text(), "weights.csv")
        with raises_with("/weights.csv, which its files() does not name"):
            opened_by(lambda path: path.read_text())
    assert profile.getstats()
