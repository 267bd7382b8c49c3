"""Write a first adapter: look at the files, guess, write, and check what was written."""

from __future__ import annotations

import importlib.util
import keyword
import re
from pathlib import Path
from tempfile import TemporaryDirectory

from competitions._begin.guess import guess
from competitions._begin.tables import tables_in
from competitions._begin.task import guess_task
from competitions._begin.text import adapter
from competitions._competition import Competition
from competitions._declaration import check_declaration
from engine import ConfigError, DataError, SamewiseError

FOLDER = Path(__file__).parents[1]
LONGEST = 40


def begin_competition(
    name: str, data: Path, *, user: str | None = None, item: str | None = None, folder: Path = FOLDER
) -> Path:
    """Write ``NAME.py`` that reads the tables of a data folder; return its path.

    Raises ConfigError if the name cannot be a competition's or is taken, DataError if the files cannot be made sense
    of, or if what was written contradicts itself: then the file stays.
    """
    _check_name(name, folder)
    with TemporaryDirectory(prefix="samewise-") as copies:
        found = guess(tables_in(data, Path(copies)), user, item)
        text = adapter(name, found, guess_task(found))
    path = folder / f"{name}.py"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise ConfigError(
            f"{path} exists already.", todo="choose another name, or delete that file"
        ) from error
    try:
        check_declaration(competition_in(path))
    except SamewiseError as error:
        raise DataError(
            f"{path} is written and stays, but is not right yet: {error}", todo="edit it"
        ) from error
    return path


def competition_in(path: Path) -> Competition:
    """Return the competition that a file defines."""
    spec = importlib.util.spec_from_file_location(f"competitions.{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return next(value for value in vars(module).values() if isinstance(value, Competition))


def _check_name(name: str, folder: Path) -> None:
    if not re.fullmatch(r"[a-z](_?[a-z0-9])*", name) or keyword.iskeyword(name) or len(name) > LONGEST:
        raise ConfigError(
            f"{name!r} cannot be the name of a competition.",
            expected=f"a Python name of at most {LONGEST} small letters, digits and single underscores: my_feed",
        )
    if (folder / name).exists() or (folder / f"{name}.py").exists():
        raise ConfigError(
            f"competitions/ has a file or folder {name!r} already.",
            todo="choose another name, or delete that file",
        )
