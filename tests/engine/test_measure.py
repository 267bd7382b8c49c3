"""Wall time and peak memory of a stage, children included."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

from engine import measure_stage

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_a_stage_knows_its_time_and_its_peak() -> None:
    with measure_stage() as idle:
        time.sleep(0.25)
    with measure_stage() as busy:
        block = np.ones(100 * 1024 * 1024 // 8)
        time.sleep(0.25)
        del block
    assert 0.25 <= idle.seconds < 5
    assert 80 < busy.peak_mib - idle.peak_mib < 200


def test_memory_of_child_processes_counts() -> None:
    with measure_stage() as alone:
        time.sleep(0.01)
    with measure_stage() as cost:
        subprocess.run(
            [sys.executable, "-c", "import time; b = b'x' * 100_000_000; time.sleep(0.4)"], check=True
        )
    assert cost.peak_mib - alone.peak_mib > 90


def test_the_time_is_known_when_the_stage_fails() -> None:
    with pytest.raises(ZeroDivisionError), measure_stage() as cost:
        _ = 1 / 0
    assert cost.seconds > 0
