"""Write the file of a new feature: a name that is free, an example that runs here, nothing overwritten."""

from __future__ import annotations

import importlib
import json
import keyword
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import polars as pl
from rich.text import Text

import features
from competitions import Dataset
from engine import SamewiseError, Settings, out
from features._cards.layout import show_card
from features._catalogue import WINDOW_COLUMNS, Catalogue, load_catalogue
from features._declare import FeatureError

Kind = Literal["aggregate", "per_pair", "table", "fitted", "streamed"]
FOLDER = Path(__file__).parents[1]
LONGEST = 40  # keys and lookbacks are added to it
_TEMPLATES = Path(__file__).parent / "templates"


def begin_feature(name: str, kind: Kind, dataset: Dataset, settings: Settings, folder: Path = FOLDER) -> None:
    """Write the file of a new feature, show its card and say what to do next.

    Raises FeatureError if it cannot be written, or if its card cannot be made: then the file stays.
    """
    path = write_feature(name, kind, load_catalogue(dataset), folder)
    out.print(Text(f"Written: features/{path.name} (@{kind})", style="bold"))
    # In this process: a worker would refuse a file that is newer than the run.
    inline = settings.model_copy(update={"backend": "inline"})
    try:
        _import(name)
        show_card(dataset, load_catalogue(dataset), name, inline)
    except SamewiseError as error:
        raise FeatureError(
            f"features/{path.name} is written and stays, but its card could not be made: {error}",
            todo=f"edit it, then python -m features card {name}; or delete it",
        ) from error
    out.print(Text.assemble(("Next: ", "bold"), _next_steps(name)))


def write_feature(name: str, kind: Kind, catalogue: Catalogue, folder: Path = FOLDER) -> Path:
    """Write ``NAME.py`` with an example of the kind over the competition's own columns; return its path.

    Raises FeatureError if the name cannot be a feature's and a file's, is taken, or the file exists.
    """
    _check_name(name, kind, catalogue, folder)
    path = folder / f"{name}.py"
    text = _example(name, kind, catalogue)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise FeatureError(
            f"{path} exists already.", todo="choose another name, or edit that file"
        ) from error
    return path


def _example(name: str, kind: Kind, catalogue: Catalogue) -> str:
    """Fill the template of a kind with columns and features of the catalogue."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quoted"] = lambda text: json.dumps(text, ensure_ascii=False)
    c, outcome = catalogue.dataset.competition, _outcome(catalogue)
    return environment.get_template(f"{kind}.py.jinja").render(
        name=name,
        title=name.replace("_", " ").capitalize(),
        class_name=_class_name(name),
        user=c.user,
        item=c.item,
        keys=[key for key in (c.user, c.item, c.source) if key],
        outcome=outcome,
        is_share=catalogue.dataset.history_schema[outcome] == pl.Boolean,
        is_name=str.isidentifier,
        rate=_rate(catalogue),
        number=_observed_number(catalogue),
    )


def _class_name(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _outcome(catalogue: Catalogue) -> str:
    """An outcome to learn from: ``like`` if there is one, another Boolean, or the target."""
    schema, roles = catalogue.dataset.history_schema, catalogue.dataset.competition.roles
    known = [n for n, role in roles.items() if role == "outcome" and schema.get(n) == pl.Boolean]
    return "like" if "like" in known else known[0] if known else "relevance"


def _rate(catalogue: Catalogue) -> dict[str, str] | None:
    """An aggregate by user and by item that a ratio can be made of: its module and name; None if there is none."""
    c = catalogue.dataset.competition
    keys: dict[str, set[str]] = {}
    modules: dict[str, str] = {}
    for column in catalogue.columns.values():
        is_rate = column.kind == "aggregate" and column.dtype == pl.Float32 and column.is_model_input
        if is_rate and not column.lookback.text and len(column.key) == 1:
            keys.setdefault(column.declaration.name, set()).add(column.key[0])
            modules[column.declaration.name] = column.declaration.body.__module__
    both = [name for name, of in keys.items() if {c.user, c.item} <= of]
    name = "like_rate" if "like_rate" in both else min(both, default=None)
    return {"module": modules[name], "name": name} if name else None


def _observed_number(catalogue: Catalogue) -> str | None:
    dataset = catalogue.dataset
    keys = {"pair_id", dataset.competition.user, dataset.competition.item, dataset.competition.source}
    numbers = [n for n, dtype in dataset.pair_schema.items() if dtype.is_numeric() and n not in keys]
    return next((n for n in numbers if n.isidentifier()), None)


def _check_name(name: str, kind: Kind, catalogue: Catalogue, folder: Path) -> None:
    """Raise FeatureError unless the name can be that of a new feature and of its file."""
    is_name = re.fullmatch(r"[a-z](_?[a-z0-9])*", name) and not keyword.iskeyword(name)
    if not is_name:
        raise FeatureError(
            f"{name!r} cannot be the name of a feature.",
            expected="a Python name in small letters, digits and single underscores that starts with a letter: "
            "fresh_likes",
        )
    if len(name) > LONGEST:
        raise FeatureError(f"{name!r} has {len(name)} characters.", expected=f"at most {LONGEST}")
    if taken := _taken_by(name, kind, catalogue, folder):
        raise FeatureError(
            f"The name {name!r} is taken: {taken}.",
            todo="choose another name: python -m features list shows the taken ones",
        )


def _taken_by(name: str, kind: Kind, catalogue: Catalogue, folder: Path) -> str:
    """Say what has the name; empty if nothing has."""
    dataset = catalogue.dataset
    declared = {c.declaration.name: str(c.declaration.place) for c in catalogue.columns.values()}
    own = _class_name(name).lower() if kind in ("fitted", "streamed") else name
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


def _import(name: str) -> None:
    """Import the new file of the room, so that its features are in the registry."""
    importlib.invalidate_caches()
    try:
        importlib.import_module(f"features.{name}")
    except ImportError as error:
        raise FeatureError(f"features/{name}.py cannot be imported: {error}") from error


def _next_steps(name: str) -> str:
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
