from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from engine import ConfigError, DataError, SamewiseError, import_plain_files
from tests.processes import ROOT, python


@pytest.fixture
def folder(repository: Callable[[dict[str, str]], ModuleType], tmp_path: Path) -> Path:
    """A package ``room``, forgotten after the test; its modules are empty but ``_private``, which fails."""
    modules = dict.fromkeys(("__init__", "b", "a", "mine"), "") | {"_private": "raise RuntimeError"}
    repository({f"room/{name}.py": text for name, text in modules.items()})
    (tmp_path / "room" / "notes.txt").touch()
    return tmp_path / "room"


def load(folder: Path, error: type[SamewiseError] = ConfigError) -> list[str]:
    return [module.__name__ for module in import_plain_files([folder], folder.name, error=error)]


def test_plain_files_are_imported_in_the_order_of_their_names(folder: Path) -> None:
    assert load(folder) == ["room.a", "room.b", "room.mine"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def broken(:", r"SyntaxError: .*line 1\)"),
        ("x = 1\ny = 1 / 0", r"ZeroDivisionError: division by zero \(line 2\)"),
        ("import no_such_thing", r"ModuleNotFoundError: .*no_such_thing.* \(line 1\)"),
    ],
)
def test_a_broken_file_is_named_with_the_remedy(folder: Path, text: str, reason: str) -> None:
    (folder / "mine.py").write_text(text)
    with pytest.raises(DataError, match=r"room/mine\.py cannot be imported: " + reason) as caught:
        load(folder, DataError)
    assert "underscore" in str(caught.value)
    (folder / "mine.py").write_text("now_it_is = 'mended'  # and longer than it was")
    assert load(folder) == ["room.a", "room.b", "room.mine"]


def test_an_error_that_a_user_can_act_on_already_passes_through(folder: Path) -> None:
    (folder / "mine.py").write_text("from engine import DataError\nraise DataError('Two of one name.')")
    with pytest.raises(DataError, match=r"^Two of one name\.$"):
        load(folder)


CALLS = """
from competitions import competitions
from engine import SamewiseError
from features import load_registry
from models import model_kinds
from stacking import blenders
from validation import metrics

for call in (competitions, metrics, load_registry, model_kinds, blenders):
    try:
        call()
    except SamewiseError as error:
        print(error)
"""


def test_every_room_names_its_broken_file(tmp_path: Path) -> None:
    rooms = ("competitions", "validation", "features", "models", "stacking")
    for room in ("engine", *rooms):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
        (tmp_path / room / "mine.py").write_text("def broken(:\n", encoding="utf-8")
    said = python("-c", CALLS, cwd=tmp_path, path=tmp_path, PYTHONDONTWRITEBYTECODE="1").stdout
    for room in rooms:
        assert f"{room}/mine.py cannot be imported: SyntaxError" in said
    assert said.count("To do: mend the file") == len(rooms)
