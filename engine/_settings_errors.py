"""What pydantic found wrong with the settings, said so that a user can act on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from engine._errors import ConfigError, did_you_mean
from engine._overrides import Layer

_EXPECTED: Mapping[str, str] = {
    "int_type": "a whole number, for example 3",
    "float_type": "a number, for example 8.0",
    "bool_type": "true or false",
    "string_type": "a text in quotes",
    "path_type": "a folder as a text in quotes",
    "tuple_type": 'a list, for example ["a*", "b*"]',
    "dict_type": "a table, for example [models.popularity]",
    "model_type": "a table, for example [folds]",
    "model_attributes_type": "a table, for example [folds]",
}


def explain_errors(error: ValidationError, model: type[BaseModel], layers: Sequence[Layer]) -> ConfigError:
    """Turn a validation error into one message that names key, place, value and what was expected."""
    lines, expected, todo = [], "", ""
    for number, detail in enumerate(error.errors()):
        path = [step for step in detail["loc"] if isinstance(step, str)]
        key, place = ".".join(path), _place(detail["loc"], layers)
        if detail["type"] == "extra_forbidden":
            known = _known(model, path[:-1])
            lines.append(f"Unknown setting {key!r} in {place}.{did_you_mean(path[-1], known)}")
            wanted = "one of " + ", ".join(known)
        else:
            lines.append(f"Setting {key!r} in {place} is {detail['input']!r}.")
            wanted = _EXPECTED.get(detail["type"], detail["msg"].removeprefix("Input should be "))
        if number == 0:
            expected, todo = wanted, f"correct {place}"
    return ConfigError("\n".join(lines), expected=expected, todo=todo)


def _place(path: Sequence[str | int], layers: Sequence[Layer]) -> str:
    """The place that set the key at ``path``, by the longest part of it that some layer holds; the winner first."""
    for n in range(len(path), 0, -1):
        for layer in layers:
            if layer.holds(path[:n]):
                return layer.place_of(path[:n])
    return "the settings"


def _known(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """The valid keys of the table at ``path``."""
    kind: Any = model
    for step in path:
        kind = kind.model_fields[step].annotation
    return list(kind.model_fields)
