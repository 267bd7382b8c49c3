"""Text goes to a terminal as wide as it is, and to a file or a pipe so wide that names are not cut."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine import PIPED_WIDTH, Screen

ROOT = Path(__file__).parents[2]
LONG = "import engine; engine.out.print('long ' * 30); engine.console.print('told ' * 30)"


def printed(**variables: str) -> tuple[list[str], list[str]]:
    """Lines that a program prints into pipes: to stdout, to stderr."""
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | variables
    done = subprocess.run(
        [sys.executable, "-c", LONG], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines(), done.stderr.splitlines()


def test_a_line_that_goes_to_a_pipe_is_not_broken() -> None:
    assert [len(lines) for lines in printed()] == [1, 1]


def test_whoever_says_how_wide_is_heard() -> None:
    assert [len(lines) for lines in printed(COLUMNS="40")] == [4, 4]
    assert Screen(width=33, file=io.StringIO()).width == 33


def test_a_terminal_has_its_own_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((70, 20)))
    assert Screen(file=io.StringIO(), force_terminal=True, _environ={"TERM": "xterm"}).width == 70
    assert Screen(file=io.StringIO()).width == PIPED_WIDTH
