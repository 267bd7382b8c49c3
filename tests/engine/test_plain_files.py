from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import ConfigError, DataError, SamewiseError, import_plain_files

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("engine", "competitions", "validation", "features", "models", "stacking")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty package ``room_of_files``, gone after the test."""
    folder = tmp_path / "room_of_files"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [n for n in sys.modules if n.partition(".")[0] == folder.name]:
        del sys.modules[name]


def load(folder: Path, error: type[SamewiseError] = ConfigError) -> list[str]:
    return [module.__name__ for module in import_plain_files([folder], folder.name, error=error)]


def test_plain_files_are_imported_in_the_order_of_their_names(package: Path) -> None:
    for name in ("b", "a", "_private", "c"):
        (package / f"{name}.py").write_text("raise RuntimeError" if name.startswith("_") else "x = 1")
    (package / "notes.txt").write_text("no module")
    assert load(package) == ["room_of_files.a", "room_of_files.b", "room_of_files.c"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def broken(:", r"SyntaxError: .*line 1\)"),
        ("x = 1\ny = 1 / 0", r"ZeroDivisionError: division by zero \(line 2\)"),
        ("import no_such_thing", r"ModuleNotFoundError: .*no_such_thing.* \(line 1\)"),
    ],
)
def test_a_broken_file_is_named_with_the_remedy(package: Path, text: str, reason: str) -> None:
    (package / "mine.py").write_text(text)
    with pytest.raises(DataError, match=r"room_of_files/mine\.py cannot be imported: " + reason) as caught:
        load(package, DataError)
    assert "underscore" in str(caught.value)
    (package / "mine.py").write_text("now_it_is = 'mended'  # and longer than it was")
    assert load(package) == ["room_of_files.mine"]


def test_an_error_that_a_user_can_act_on_already_passes_through(package: Path) -> None:
    (package / "mine.py").write_text("from engine import DataError\nraise DataError('Two of one name.')")
    with pytest.raises(DataError, match=r"^Two of one name\.$"):
        load(package)


CALLS = {
    "competitions": "from competitions import competitions; competitions()",
    "validation": "from validation import metrics; metrics()",
    "features": "from features import load_registry; load_registry()",
    "models": "from models import model_kinds; model_kinds()",
    "stacking": "from stacking import blenders; blenders()",
}


@pytest.mark.parametrize("room", sorted(CALLS))
def test_every_room_names_its_broken_file(room: str, tmp_path: Path) -> None:
    for name in ROOMS:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / room / "mine.py").write_text("def broken(:\n", encoding="utf-8")
    script = (
        "from engine import SamewiseError\n"
        f"try:\n    {CALLS[room]}\nexcept SamewiseError as error:\n    print(type(error).__name__, error)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{room}/mine.py cannot be imported: SyntaxError" in done.stdout
    assert "To do: mend the file" in done.stdout
