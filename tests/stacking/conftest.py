"""Small logs in the layout of MovieLens, taken in, and how commands are run on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from competitions import Dataset, get_competition, opened, random_tables, take_in
from engine import Settings, load_settings
from stacking.__main__ import app


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    competition = get_competition("movielens")
    tables = random_tables(competition, n_users=40, n_items=30, n_rows=2400, seed=1)
    return take_in(competition, tables, tmp_path_factory.mktemp("data"), fingerprint="noise")


@pytest.fixture(scope="module")
def item_decides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Settings]]:
    """An opened log whose ratings are the item's, with some noise, and what writes a config of a stack on it."""
    competition = get_competition("movielens")
    tables = random_tables(competition, n_users=60, n_items=30, n_rows=2400, seed=5)
    rows = tables.interactions.collect(engine="in-memory")
    taste = (pl.col("item_id").hash(1) % 3 * 2 + 1).cast(rows.schema["rating"])  # 1, 3 or 5
    is_noise = pl.Series(np.random.default_rng(0).random(rows.height) < 0.2)
    rows = rows.with_columns(rating=pl.when(is_noise).then("rating").otherwise(taste))
    tables = replace(tables, interactions=rows.lazy())
    log = take_in(competition, tables, tmp_path_factory.mktemp("data"), fingerprint="taste")
    with opened(log), pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("work"))
        yield written_settings


def written_settings(include: Sequence[str], n_train_windows: int) -> Settings:
    """Write ``config.toml`` of two models on these features and read it."""
    Path("config.toml").write_text(f"""
backend = "inline"
store = "store"
[features]
include = {json.dumps(include)}
[folds]
n_folds = 2
n_train_windows = {n_train_windows}
[models.popularity]
kind = "column"
column = "relevance_rate__item_id"
[models.trees]
kind = "catboost"
iterations = 20
depth = 3
feature_share = 1.0
""")
    return load_settings()


@pytest.fixture(scope="session")
def ran() -> Callable[..., str]:
    """Run ``python -m stacking`` in this process; returns what it prints."""

    def output(*arguments: str | Path) -> str:
        result = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
        assert result.exit_code == 0
        return result.stdout

    return output
