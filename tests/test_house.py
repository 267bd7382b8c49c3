"""The house stands: rooms import only downward, never each other's private files, and from this checkout."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = [
    "engine",
    "competitions",
    "validation",
    "features",
    "models",
    "stacking",
    "submissions",
]  # lowest first


def imported(file: Path) -> list[tuple[str, list[str]]]:
    """Modules that a file imports, with the names taken from them."""
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found.append((str(node.module), [alias.name for alias in node.names]))
        elif isinstance(node, ast.Import):
            found += [(alias.name, []) for alias in node.names]
    return found


def files_of(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_downward(room: str) -> None:
    above = set(ROOMS[ROOMS.index(room) + 1 :])
    upward = [(f.name, m) for f in files_of(room) for m, _ in imported(f) if m.split(".")[0] in above]
    assert upward == []


@pytest.mark.parametrize("room", ROOMS)
def test_no_private_import_across_rooms(room: str) -> None:
    private = [
        (f.name, module)
        for f in files_of(room)
        for module, names in imported(f)
        if module.split(".")[0] in ROOMS and module.split(".")[0] != room
        if "._" in module or any(n.startswith("_") for n in names) or "." in module
    ]
    assert private == []


@pytest.mark.parametrize("room", ROOMS)
def test_room_is_imported_from_this_checkout(room: str) -> None:
    module = importlib.import_module(room)
    assert Path(str(module.__file__)).parent == ROOT / room


@pytest.mark.parametrize("room", ROOMS)
def test_public_names_are_listed_and_exist(room: str) -> None:
    module = importlib.import_module(room)
    assert module.__all__ == sorted(
        module.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name)
    )
    assert all(hasattr(module, name) for name in module.__all__)


def test_engine_has_no_word_of_recommenders() -> None:
    words = {"user_id", "item_id", "recommender", "ranker", "relevance", "like_rate"}
    found = [
        (f.name, w) for f in files_of("engine") for w in words if w in f.read_text(encoding="utf-8").lower()
    ]
    assert found == []


def test_no_pickle_on_disk() -> None:
    found = [
        (f.name, module)
        for room in ROOMS
        for f in files_of(room)
        for module, _ in imported(f)
        if module.split(".")[0] in {"pickle", "cloudpickle", "dill", "shelve"}
    ]
    assert found == []


def test_tests_have_no_init_files() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []
