"""The commands that are suggested can be typed as they stand."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from engine import as_typed


def test_an_activated_environment_needs_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    assert as_typed("-m features list") == "python -m features list"


def test_otherwise_the_path_of_the_environment_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    assert as_typed("-m features list") == ".venv/bin/python -m features list"
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    assert as_typed("-m features list") == "python -m features list"
