"""The settings with another choice of features, as a config file of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine import ConfigError, FeatureSettings, Settings, write_atomically
from features import Catalogue
from stacking._worth.units import units_of


def patterns_of(catalogue: Catalogue, settings: FeatureSettings, chosen: Iterable[str]) -> FeatureSettings:
    """Write a choice of columns as patterns: ``FEATURE__*`` where all columns of a feature are in it, else names.

    The exclude patterns stay as they are. What is selected by the result is the choice exactly, whatever columns the
    other features get later.
    """
    chosen, selectable = set(chosen), catalogue.select(settings)
    include: list[str] = []
    for feature, columns in units_of(catalogue, selectable, "feature").items():
        own = [c for c in columns if c in chosen]
        pattern = f"{feature}__*"
        wide = settings.model_copy(update={"include": (pattern,)})
        is_whole = len(columns) > 1 and own == list(columns) and _selects(catalogue, wide, columns)
        include += [pattern] if is_whole else own
    return settings.model_copy(update={"include": tuple(include)})


def _selects(catalogue: Catalogue, settings: FeatureSettings, columns: Sequence[str]) -> bool:
    try:
        return set(catalogue.select(settings)) == set(columns)
    except ConfigError:  # the pattern matches nothing: the feature's columns are not called after it
        return False


_MARK = "# Written by `python -m stacking select`."


def check_writable(path: Path) -> None:
    """Refuse a folder, and a file that ``write_config`` did not write: a config written by hand is never replaced."""
    if path.is_dir():
        raise ConfigError(f"{path} is a folder.", expected="the name of a file", todo="give one by --out")
    if path.exists() and not path.read_bytes().startswith(_MARK.encode()):
        raise ConfigError(
            f"{path} exists, and was not written by `python -m stacking select`.",
            expected="a new file, or one of its own",
            todo="give another name by --out",
        )


def write_config(path: Path, settings: Settings, features: FeatureSettings, remarks: Sequence[str]) -> None:
    """Write the settings as they were given by file, environment and command line, with these features.

    Samples are left out: they are for quick looks. Raises ConfigError as ``check_writable`` does.
    """
    check_writable(path)
    values: dict[str, Any] = settings.model_dump(mode="json", exclude_unset=True, exclude={"sample"})
    values["features"] = features.model_dump(mode="json")
    lines = [_MARK, *(f"# {remark}" for remark in remarks), "", toml_text(values)]
    write_atomically(path, "\n".join(lines))


def toml_text(values: Mapping[str, Any]) -> str:
    """Write settings as TOML: plain values first, then a table for each mapping and for each mapping of mappings.

    >>> print(toml_text({"seed": 1, "models": {"a": {"depth": 3}}}))
    seed = 1
    <BLANKLINE>
    [models.a]
    depth = 3
    <BLANKLINE>
    """
    lines = [
        f"{key} = {_value(v)}" for key, v in values.items() if v is not None and not isinstance(v, Mapping)
    ]
    for key, table in values.items():
        if not isinstance(table, Mapping):
            continue
        is_nested = bool(table) and all(isinstance(v, Mapping) for v in table.values())
        for name, inner in (
            {f"{key}.{_key(n)}": t for n, t in table.items()} if is_nested else {key: table}
        ).items():
            lines += [
                "",
                f"[{name}]",
                *(f"{_key(k)} = {_value(v)}" for k, v in inner.items() if v is not None),
            ]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    """Write a name as it is if TOML takes it so, such as that of most models, else in quotes."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items() if v is not None)
        return f"{{ {inside} }}"
    if isinstance(value, list | tuple):
        inner = [_value(v) for v in value]
        return (
            "[" + ", ".join(inner) + "]"
            if sum(map(len, inner)) < 90
            else "[\n    " + ",\n    ".join(inner) + ",\n]"
        )
    # JSON writes texts, numbers and truth values as TOML reads them, but for letters beyond the first plane.
    return json.dumps(value, ensure_ascii=False)
