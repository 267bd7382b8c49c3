"""Small logs in the layout of MovieLens, taken in, and how commands are run on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from competitions import Dataset, RawTables, get_competition, opened, random_tables, take_in
from stacking.__main__ import app


@pytest.fixture(scope="session")
def take(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Dataset]:
    """Take in tables as those of MovieLens, or random ones of so many users, items and rows."""

    def taken(tables: RawTables | None = None, **sizes: int) -> Dataset:
        competition = get_competition("movielens")
        tables = tables or random_tables(competition, **sizes)
        folder = tmp_path_factory.mktemp("data")
        return take_in(competition, tables, folder, fingerprint=f"generated in {folder.name}")

    return taken


@pytest.fixture(scope="module")
def dataset(take: Callable[..., Dataset]) -> Dataset:
    return take(n_users=40, n_items=30, n_rows=2400, seed=1)


@pytest.fixture(scope="module")
def item_decides(take: Callable[..., Dataset], tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An opened log whose ratings are the item's, with some noise, and a working directory of its own."""
    tables = random_tables(get_competition("movielens"), n_users=60, n_items=30, n_rows=2400, seed=5)
    rows = tables.interactions.collect(engine="in-memory")
    taste = (pl.col("item_id").hash(1) % 3 * 2 + 1).cast(rows.schema["rating"])  # 1, 3 or 5
    is_noise = pl.Series(np.random.default_rng(0).random(rows.height) < 0.2)
    rows = rows.with_columns(rating=pl.when(is_noise).then("rating").otherwise(taste))
    planted = take(replace(tables, interactions=rows.lazy()))
    with opened(planted), pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("work"))
        yield


@pytest.fixture(scope="session")
def ran() -> Callable[..., str]:
    """Run ``python -m stacking`` in this process; returns what it prints."""

    def output(*arguments: str | Path) -> str:
        result = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
        assert result.exit_code == 0
        return result.stdout

    return output
