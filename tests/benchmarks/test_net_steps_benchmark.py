"""Where seconds of training go: shares of a whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import net_steps


def test_shares_are_those_of_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    sizes = ["--users", "60", "--numbers", "3"]
    assert net_steps.main([*net_steps.KINDS, *sizes, "--out", str(file)]) == 0
    found = json.loads(file.read_text())
    for kind in net_steps.KINDS:
        seconds, *parts = found[kind].values()
        assert seconds > 0
        assert sum(parts) == pytest.approx(1)
        assert min(parts) > 0, found[kind]
