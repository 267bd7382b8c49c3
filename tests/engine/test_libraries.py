from __future__ import annotations

import ast
from importlib.metadata import version
from pathlib import Path

from engine import library_versions

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("competitions", "validation", "features", "models", "stacking", "submissions")
DISTRIBUTIONS = {"sklearn": "scikit-learn"}
NUMBERS = ("catboost", "implicit", "numpy", "polars", "sklearn", "scipy", "torch")


def imported(room: str) -> set[str]:
    """First names of all modules that the files of a room import."""
    trees = [ast.walk(ast.parse(f.read_text(encoding="utf-8"))) for f in (ROOT / room).rglob("*.py")]
    nodes = [node for tree in trees for node in tree]
    names = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
    return {n.split(".")[0] for n in names | {str(n.module) for n in nodes if isinstance(n, ast.ImportFrom)}}


def test_they_are_the_installed_versions_whatever_a_reader_does_to_them() -> None:
    library_versions()["polars"] = "0"
    assert library_versions() == {name: version(name) for name in library_versions()}


def test_every_library_that_computes_is_among_them() -> None:
    used = {name for room in ROOMS for name in imported(room) if name in NUMBERS}
    assert {DISTRIBUTIONS.get(name, name) for name in used} <= set(library_versions())
    assert "scikit-learn" in library_versions()
