"""Where seconds of training go: shares of a whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import net_steps


def test_shares_are_those_of_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    assert (
        net_steps.main(["sequence_net", "two_towers", "--users", "60", "--numbers", "3", "--out", str(file)])
        == 0
    )
    found = json.loads(file.read_text())
    for kind in ("sequence_net", "two_towers"):
        seconds, *parts = found[kind].values()
        assert seconds > 0
        assert sum(parts) == pytest.approx(1)
        assert min(parts) > 0, found[kind]
