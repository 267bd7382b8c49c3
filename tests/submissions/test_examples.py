"""The examples in the docstrings of this room."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import submissions


def test_examples_in_docstrings() -> None:
    room = Path(str(submissions.__file__)).parent
    files = [f for f in room.rglob("*.py") if not f.name.startswith("__")]
    names = [".".join(f.relative_to(room.parent).with_suffix("").parts) for f in files]
    results = [doctest.testmod(import_module(name)) for name in names]
    assert sum(found.failed for found in results) == 0
    assert sum(found.attempted for found in results) > 10
