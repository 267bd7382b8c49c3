"""Tables of ``config.toml`` that name a kind and its parameters, such as ``[models.NAME]``, and what they may hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from engine import ConfigError, did_you_mean
from models._ranker import Ranker

_K = TypeVar("_K")
MOST = 2**31 - 1  # of a parameter
_NOT_PARAMETERS = ("kind", "enabled")
_BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


def kind_of(table: Mapping[str, Any], name: str, label: str) -> str:
    """Return the kind that a table names; its own name if it names none. Raises ConfigError for what is no text."""
    kind = table.get("kind", name)
    if not isinstance(kind, str):
        raise ConfigError(f"{label}: kind = {kind!r} is not valid.", expected="the name of a kind, as a text")
    return kind


def with_parameters(kind: type[_K], table: Mapping[str, Any], label: str) -> _K:
    """Build a frozen dataclass from its table; ``kind`` and ``enabled`` are no parameters.

    ``label``: what the table is called in messages, such as ``[models.trees]``. Raises ConfigError for an unknown
    parameter (with the nearest known one), for one that must be set and is not, and for a value of the wrong type or
    out of range.
    """
    known = [f.name for f in fields(cast(Any, kind)) if f.init]
    parameters = {key: value for key, value in table.items() if key not in _NOT_PARAMETERS}
    for key in parameters:
        if key not in known:
            raise ConfigError(
                f"{label}: unknown parameter {key!r}." + did_you_mean(key, [*known, *_NOT_PARAMETERS]),
                expected="one of " + ", ".join([*_NOT_PARAMETERS, *known]),
            )
        if _is_beyond(parameters[key]):
            raise ConfigError(
                f"{label}: {key} = {parameters[key]!r} is not valid.",
                expected=f"finite numbers from -{MOST} to {MOST}",
            )
    try:
        # Strict, so that "6" or true is no number; JSON, so that a list may still be a tuple.
        return cast(
            _K, _reader(cast(Any, kind)).validate_json(json.dumps(parameters, default=str), strict=True)
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"]) or "its parameters"
        is_missing = first["type"] == "missing"
        raise ConfigError(
            f"{label}: {where} is not set."
            if is_missing
            else f"{label}: {where} = {first['input']!r} is not valid.",
            expected=first["msg"][0].lower() + first["msg"][1:],
        ) from error


@cache
def _reader(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _is_beyond(value: object) -> bool:
    """Tell whether a number, or one in a list, is not finite or larger than any parameter can be."""
    if isinstance(value, list | tuple):
        return any(map(_is_beyond, value))
    return isinstance(value, int | float) and not abs(value) <= MOST


def is_enabled(table: Mapping[str, Any], label: str) -> bool:
    """Tell whether a table is in use: unless it says ``enabled = false``."""
    try:
        return TypeAdapter(bool).validate_python(table.get("enabled", True), strict=True)
    except ValidationError as error:
        raise ConfigError(
            f"{label}: enabled = {table['enabled']!r} is not valid.", expected="true or false"
        ) from error


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kind of model.

    ``default``: None if it must be set or if None is the default. ``allowed``: type, choices and bounds in words.
    """

    name: str
    default: object
    allowed: str
    meaning: str


def parameters_of(kind: type[Ranker]) -> tuple[Parameter, ...]:
    """Every parameter of a kind, in the order of its fields."""
    properties = TypeAdapter(kind).json_schema().get("properties", {})
    return tuple(
        Parameter(name, schema.get("default"), _allowed(schema), schema.get("description", ""))
        for name, schema in properties.items()
    )


def _allowed(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(repr(choice) for choice in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(_allowed(choice) for choice in schema["anyOf"])
    bounds = [f"{sign} {schema[key]:g}" for key, sign in _BOUNDS.items() if key in schema]
    return " ".join([str(schema.get("type", "any")), *bounds])
