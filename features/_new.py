"""Write the file of a new feature: a name that is free, an example that runs here, nothing overwritten."""

from __future__ import annotations

import importlib
import keyword
import re
from importlib.util import find_spec
from pathlib import Path

import features
from features._catalogue import Catalogue
from features._column import WINDOW_COLUMNS
from features._errors import FeatureError
from features._new_bodies import BODIES, Kind, class_name

FOLDER = Path(__file__).parent
LONGEST = 40  # keys and lookbacks are added to it
_TODO = "choose another name: python -m features list shows the taken ones"


def write_feature(name: str, kind: Kind, catalogue: Catalogue, folder: Path = FOLDER) -> Path:
    """Write ``NAME.py`` with an example of the kind over the competition's own columns; return its path.

    Raises FeatureError if the name cannot be a feature's and a file's, is taken, or the file exists.
    """
    check_name(name, kind, catalogue, folder)
    path = folder / f"{name}.py"
    text = BODIES[kind](name, catalogue)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise FeatureError(
            f"{path} exists already.", todo="choose another name, or edit that file"
        ) from error
    return path


def check_name(name: str, kind: Kind, catalogue: Catalogue, folder: Path = FOLDER) -> None:
    """Raise FeatureError unless the name can be that of a new feature and of its file."""
    if (
        not re.fullmatch(r"[a-z][a-z0-9_]*", name)
        or "__" in name
        or name.endswith("_")
        or keyword.iskeyword(name)
    ):
        raise FeatureError(
            f"{name!r} cannot be the name of a feature.",
            expected="a Python name in small letters, digits and single underscores that starts with a letter: "
            "fresh_likes",
        )
    if len(name) > LONGEST:
        raise FeatureError(f"{name!r} has {len(name)} characters.", expected=f"at most {LONGEST}")
    if taken := _taken_by(name, kind, catalogue, folder):
        raise FeatureError(f"The name {name!r} is taken: {taken}.", todo=_TODO)


def _taken_by(name: str, kind: Kind, catalogue: Catalogue, folder: Path) -> str:
    """Say what has the name; empty if nothing has."""
    dataset = catalogue.dataset
    declared = {c.declaration.name: str(c.declaration.place) for c in catalogue.columns.values()}
    own = class_name(name).lower() if kind == "fitted" else name
    columns = {*catalogue.columns, *catalogue.unavailable}
    taken = {*(column.partition("__")[0] for column in columns), *columns}
    if own in declared or name in declared:
        return f"a feature in features/{declared.get(own) or declared[name]}"
    if name in taken:
        return "a column of the catalogue, available here or not"
    if name in {*dataset.history_schema, *dataset.pair_schema, *WINDOW_COLUMNS, "window", "weight", "pl"}:
        return "a column that every feature may read"
    files = {path.stem.lower() for path in folder.iterdir()}
    if name in files:
        return f"the folder {folder.name} has a file of that name"
    # A file of this name would stand where the package's own name was: features/mean.py hides features.mean.
    if hasattr(features, name) or find_spec(name) is not None:
        return "a package, a module or a name of `features`"
    return ""


def import_feature(name: str) -> None:
    """Import the new file of the room, so that its features are in the registry."""
    importlib.invalidate_caches()
    try:
        importlib.import_module(f"features.{name}")
    except ImportError as error:
        raise FeatureError(f"features/{name}.py cannot be imported: {error}") from error


def next_steps(name: str) -> str:
    """Say what to do with a new feature."""
    steps = {
        f"python -m features card {name}": "its values, drift, own score, cost",
        f"python -m features audit '{name}*'": "the proof that it does not know the future",
        "make cv": "what it is worth to the models",
        "python -m features page": "docs/features.md, which `make check` holds to be current",
    }
    width = max(map(len, steps)) + 3
    return "\n".join(
        [f"edit features/{name}.py; then", *(f"  {step:{width}}{why}" for step, why in steps.items())]
    )
