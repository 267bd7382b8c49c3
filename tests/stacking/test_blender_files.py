"""Files that users read and copy show the whole of what they need."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(f for room in ("models", "stacking") for f in (ROOT / room).glob("[!_]*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda f: f"{f.parent.name}/{f.name}")
def test_they_import_faces_and_no_private_module(file: Path) -> None:
    nodes = [n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.ImportFrom)]
    rooms = [n.module for n in nodes if (ROOT / str(n.module).partition(".")[0]).is_dir()]
    assert rooms
    assert [module for module in rooms if "." in str(module)] == []


def test_looking_at_blenders_imports_no_library_that_fits_them() -> None:
    script = "import sys; from stacking import blenders; blenders(); print({'catboost', 'torch'} & sys.modules.keys())"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
