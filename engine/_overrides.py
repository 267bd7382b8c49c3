"""The three places where settings are written: the TOML file, the environment, the command line."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from engine._errors import ConfigError

PREFIX = "SAMEWISE_"
NOT_SETTINGS = frozenset({"SAMEWISE_DEBUG"})  # read by run_room before there are settings


@dataclass(frozen=True)
class Layer:
    """Settings from one place as a nested table. ``place`` names it; ``{variable}`` and ``{key}`` are filled in."""

    values: dict[str, Any]
    place: str

    def place_of(self, path: Sequence[str | int]) -> str:
        """How a user finds the key at ``path`` in this place."""
        steps = [str(step) for step in path]
        return self.place.format(variable=PREFIX + "__".join(steps).upper(), key=".".join(steps))

    def holds(self, path: Sequence[str | int]) -> bool:
        """Whether this layer sets the key at ``path``."""
        table: Any = self.values
        for step in path:
            if isinstance(table, dict) and step in table:
                table = table[step]
            else:
                return False
        return True


def file_layer(path: Path | None) -> Layer:
    """Read the TOML file. None is ``./config.toml``, which may be missing."""
    file = path or Path("config.toml")
    if path is None and not file.exists():
        return Layer({}, _literally(file))
    try:
        return Layer(tomllib.loads(file.read_text(encoding="utf-8")), _literally(file))
    except OSError as error:
        todo = "name an existing file after --config"
        raise ConfigError(f"The settings file {file} cannot be read: {error.strerror}.", todo=todo) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        todo = "mend that line; texts need quotes, tables are [in brackets]"
        raise ConfigError(f"{file} is not valid TOML: {error}", todo=todo) from error


def environment_layer(model: type[BaseModel], environment: Mapping[str, str], below: Layer) -> Layer:
    """Read ``SAMEWISE_FOLDS__N_FOLDS=5`` as ``folds.n_folds = 5``.

    Variables are written in capitals: a key that the layer ``below`` has is spelled as it is there.
    """
    values: dict[str, Any] = {}
    for name in sorted(environment):
        if name.upper().startswith(PREFIX) and name.upper() not in NOT_SETTINGS:
            path = _spelled(name[len(PREFIX) :].split("__"), below.values)
            _put(values, path, read_value(environment[name], _annotation(model, path)), f"variable {name}")
    return Layer(values, "the environment variable {variable}")


def override_layer(model: type[BaseModel], overrides: Sequence[str]) -> Layer:
    """Read ``folds.n_folds=5`` from the command line."""
    values: dict[str, Any] = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        path = [step.strip() for step in key.split(".")]
        if not equals or not all(path):
            raise ConfigError(
                f"--set {text!r} is not a setting.", expected="KEY=VALUE, for example folds.n_folds=5"
            )
        _put(values, path, read_value(value, _annotation(model, path)), f"--set {text}")
    return Layer(values, "--set {key}")


def _literally(file: Path) -> str:
    return str(file).replace("{", "{{").replace("}", "}}")


def read_value(text: str, annotation: Any) -> Any:
    """Read a value as TOML; a text that is not TOML, or is meant for a text setting, stands for itself.

    ``none`` is null where the setting may be null, since TOML has no word for it.
    """
    kinds = set(_members(annotation))
    if type(None) in kinds and text.strip().lower() == "none":
        return None
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return text
    is_text = bool(kinds) and kinds <= {str, Path, type(None)}
    return text if is_text and not isinstance(value, str) else value


def _members(annotation: Any) -> tuple[Any, ...]:
    """The types that a setting may have: the members of a union, ``str`` for literals, nothing if unknown."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return tuple(kind for member in get_args(annotation) for kind in _members(member))
    arguments = get_args(annotation)
    if arguments and all(isinstance(a, str) for a in arguments):
        return (str,)
    return () if annotation is None else (annotation,)


def _annotation(model: type[BaseModel], path: Sequence[str]) -> Any:
    """The declared type of the setting at ``path``; None when no setting is there or it is free."""
    field = model.model_fields.get(path[0])
    if field is None:
        return None
    if len(path) == 1:
        return field.annotation
    kind = field.annotation
    return _annotation(kind, path[1:]) if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _spelled(path: Sequence[str], table: Any) -> list[str]:
    """Find the spelling of each step among the keys of a nested table; lower case for those not in it."""
    spelled = []
    for step in path:
        known = list(table) if isinstance(table, dict) else []
        key = next((k for k in known if k.lower() == step.lower()), step.lower())
        table = table.get(key) if isinstance(table, dict) else None
        spelled.append(key)
    return spelled


def _put(values: dict[str, Any], path: Sequence[str], value: Any, place: str) -> None:
    """Set a nested key. Raises ConfigError when the way to it leads through a value that is no table."""
    table = values
    for step in path[:-1]:
        table = table.setdefault(step, {})
        if not isinstance(table, dict):
            raise ConfigError(f"The {place} sets a key inside {step!r}, which is set to a value as well.")
    table[path[-1]] = value
