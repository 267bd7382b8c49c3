"""Python in a process of its own, and waiting for what it does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def python(
    *arguments: object, cwd: Path = ROOT, path: Path | str = ROOT, **variables: str | None
) -> subprocess.CompletedProcess[str]:
    """Run Python to its end.

    ``path``: where it finds its modules, this checkout by default. ``variables`` of the environment are set, or absent
    where they are None.
    """
    environment = {**os.environ, "PYTHONPATH": str(path), **variables}
    command = [sys.executable, *map(str, arguments)]
    known = {name: text for name, text in environment.items() if text is not None}
    return subprocess.run(command, cwd=cwd, env=known, capture_output=True, text=True, check=False)


def wait_until(is_so: Callable[[], bool], *, seconds: float, otherwise: str) -> None:
    """Wait until something is so; fail in the words of ``otherwise`` where it takes too long."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, otherwise
        time.sleep(0.01)
