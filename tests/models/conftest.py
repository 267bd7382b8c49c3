from __future__ import annotations

import pytest

from tests.models.small_log import SmallLog, checkerboard


@pytest.fixture(scope="session")
def small_log() -> SmallLog:
    return checkerboard()
