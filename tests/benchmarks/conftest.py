"""A small simulated log, in four files."""

from __future__ import annotations

from pathlib import Path

import pytest

from competitions import simulate


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmarks") / "data"
    simulate("vk2024", folder, n_rows=20_000, seed=1, n_parts=4)
    return folder
