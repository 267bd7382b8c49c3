"""Wall time and peak memory of a stage, children included."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest

from engine import measure_stage
from tests.processes import python

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_a_stage_knows_its_time_and_the_peak_of_itself_and_its_children() -> None:
    with measure_stage() as idle:
        time.sleep(0.25)
    with measure_stage() as busy:
        block = np.ones(100 * 1024 * 1024 // 8)
        time.sleep(0.25)
        del block
    with measure_stage() as parent:
        python("-c", "import time; b = b'x' * 100_000_000; time.sleep(0.4)")
    assert 0.25 <= idle.seconds < 5
    assert 80 < busy.peak_mib - idle.peak_mib < 200
    assert parent.peak_mib - idle.peak_mib > 90


def test_the_time_is_known_when_the_stage_fails() -> None:
    with pytest.raises(ZeroDivisionError), measure_stage() as cost:
        _ = 1 / 0
    assert cost.seconds > 0
