"""What can be set of a kind of model, read off its dataclass."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from models._ranker import Ranker

_BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


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


def meaning_of(kind: type[Ranker]) -> str:
    """First line of the kind's docstring."""
    return (inspect.getdoc(kind) or "").partition("\n")[0]


def _allowed(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(repr(choice) for choice in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(_allowed(choice) for choice in schema["anyOf"])
    bounds = [f"{sign} {schema[key]:g}" for key, sign in _BOUNDS.items() if key in schema]
    return " ".join([str(schema.get("type", "any")), *bounds])
