"""Tables of ``config.toml`` that name a kind and its parameters, such as ``[models.NAME]``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from engine import ConfigError, did_you_mean

_K = TypeVar("_K")
NOT_PARAMETERS = ("kind", "enabled")


def with_parameters(kind: type[_K], table: Mapping[str, Any], label: str) -> _K:
    """Build a frozen dataclass from its table; ``kind`` and ``enabled`` are no parameters.

    ``label``: what the table is called in messages, such as ``[models.trees]``. Raises ConfigError for an unknown
    parameter (with the nearest known one) and for a value of the wrong type or out of range.
    """
    known = [f.name for f in fields(cast(Any, kind)) if f.init]
    parameters = {key: value for key, value in table.items() if key not in NOT_PARAMETERS}
    for key in parameters:
        if key not in known:
            raise ConfigError(
                f"{label}: unknown parameter {key!r}." + did_you_mean(key, [*known, *NOT_PARAMETERS]),
                expected="one of " + ", ".join([*NOT_PARAMETERS, *known]),
            )
    try:
        # Strict, so that "6" or true is no number; JSON, so that a list may still be a tuple.
        return TypeAdapter(kind).validate_json(json.dumps(parameters, default=str), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "its parameters"
        raise ConfigError(
            f"{label}: {where} = {first['input']!r} is not valid.",
            expected=first["msg"][0].lower() + first["msg"][1:],
        ) from error


def is_enabled(table: Mapping[str, Any], label: str) -> bool:
    """Tell whether a table is in use: unless it says ``enabled = false``."""
    try:
        return TypeAdapter(bool).validate_python(table.get("enabled", True), strict=True)
    except ValidationError as error:
        raise ConfigError(
            f"{label}: enabled = {table['enabled']!r} is not valid.", expected="true or false"
        ) from error
