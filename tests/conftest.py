"""What tests of several rooms share: the real MovieLens log and its catalogue."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

from competitions import Dataset, open_dataset
from engine import DataError, Settings, load_settings
from features import Catalogue, load_catalogue

ROOT = Path(__file__).resolve().parent.parent

# No deadlines: a busy machine is no defect. Derandomized, so that a run on the same code says the same.
hypothesis.settings.register_profile(
    "samewise",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("samewise")


@pytest.fixture(scope="session")
def movielens_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Default settings for MovieLens with a store of their own; the downloaded data are shared with the user's."""
    store = tmp_path_factory.mktemp("movielens") / "store"
    overrides = ['competition="movielens"', f'data="{ROOT / "data"}"', f'store="{store}"', 'backend="inline"']
    return load_settings(ROOT / "config.toml", overrides)


@pytest.fixture(scope="session")
def movielens(movielens_settings: Settings) -> Dataset:
    """The real ML-100K log; skipped where it cannot be downloaded, except in CI."""
    try:
        return open_dataset(movielens_settings)
    except DataError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"ML-100K is not to be had: {error}")


@pytest.fixture(scope="session")
def movielens_catalogue(movielens: Dataset) -> Catalogue:
    """Every registered feature, the user's own included, bound to ML-100K."""
    return load_catalogue(movielens)
