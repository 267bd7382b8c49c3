"""Kinds of models by name, and the models that the configuration asks for."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from engine import ConfigError, Settings, did_you_mean, import_plain_files
from models._ranker import Ranker

_R = TypeVar("_R")
_kinds: dict[str, type[Ranker]] = {}

# A model's name is a column beside these in the out-of-fold tables and submission frames.
_RESERVED = frozenset({"score", "relevance", "fold", "window", "pair_id", "row", "clock"})
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def model(name: str) -> Callable[[type[_R]], type[_R]]:
    """Register a frozen dataclass of parameters as the kind of model that ``config.toml`` calls ``name``.

    Raises ConfigError if another class has the name already; both files are named.
    """

    def register(kind: type[_R]) -> type[_R]:
        known = _kinds.get(name)
        if known is not None and (known.__module__, known.__qualname__) != (
            kind.__module__,
            kind.__qualname__,
        ):
            raise ConfigError(
                f"Two kinds of models are called {name!r}: {_place(known)} and {_place(kind)}.",
                expected="a name of its own for each kind",
                todo="rename one of them in its @model(...)",
            )
        _kinds[name] = cast("type[Ranker]", kind)
        return kind

    return register


def model_kinds() -> Mapping[str, type[Ranker]]:
    """Every registered kind by its name, sorted. Files of the room without a leading underscore are found."""
    _find_files()
    return MappingProxyType(dict(sorted(_kinds.items())))


def build_models(settings: Settings | Mapping[str, Mapping[str, Any]]) -> dict[str, Ranker]:
    """Build the models of ``[models.NAME]``, in the order of the file.

    ``kind`` says which kind it is (default: NAME), ``enabled = false`` leaves the model out (its table is checked
    all the same), every other key is a parameter of the kind.

    Raises
    ------
    ConfigError
        On an unknown kind or parameter (with the nearest known one), a value of the wrong type or out of range, a
        name that cannot be a column, or if no model is left.
    """
    tables = settings.models if isinstance(settings, Settings) else settings
    rankers = {name: _build(name, table) for name, table in tables.items()}
    enabled = {name: ranker for name, ranker in rankers.items() if _is_enabled(name, tables[name])}
    if not enabled:
        raise ConfigError(
            "No model is enabled.",
            expected="at least one [models.NAME] table in config.toml without enabled = false",
            todo=f"add one of the kinds: {', '.join(model_kinds())}",
        )
    return enabled


def _build(name: str, table: Mapping[str, Any]) -> Ranker:
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise ConfigError(
            f"[models.{name}]: {name!r} cannot be the name of a model.",
            expected="small letters, digits and underscores, and none of " + ", ".join(sorted(_RESERVED)),
        )
    kinds, kind = model_kinds(), table.get("kind", name)
    if kind not in kinds:
        raise ConfigError(
            f"[models.{name}]: there is no kind of model {kind!r}." + did_you_mean(str(kind), kinds),
            expected="one of " + ", ".join(kinds),
            todo=f'set kind in [models.{name}], or add a file with @model("{kind}") to models/',
        )
    parameters = {key: value for key, value in table.items() if key not in ("kind", "enabled")}
    return _with_parameters(name, kinds[kind], parameters)


def _with_parameters(name: str, kind: type[Ranker], parameters: Mapping[str, Any]) -> Ranker:
    known = [f.name for f in fields(cast(Any, kind)) if f.init]
    for key in parameters:
        if key not in known:
            raise ConfigError(
                f"[models.{name}]: unknown parameter {key!r}."
                + did_you_mean(key, [*known, "kind", "enabled"]),
                expected="one of " + ", ".join(["kind", "enabled", *known]),
            )
    try:
        # Strict, so that "6" or true is no number; JSON, so that a list may still be a tuple.
        return TypeAdapter(kind).validate_json(json.dumps(dict(parameters), default=str), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "its parameters"
        raise ConfigError(
            f"[models.{name}]: {where} = {first['input']!r} is not valid.",
            expected=first["msg"][0].lower() + first["msg"][1:],
        ) from error


def _is_enabled(name: str, table: Mapping[str, Any]) -> bool:
    try:
        return TypeAdapter(bool).validate_python(table.get("enabled", True), strict=True)
    except ValidationError as error:
        raise ConfigError(
            f"[models.{name}]: enabled = {table['enabled']!r} is not valid.", expected="true or false"
        ) from error


def _place(kind: type) -> str:
    return f"{kind.__qualname__} in {Path(inspect.getfile(kind)).name}"


@cache
def _find_files() -> None:
    """Import the room's plain files, so that their ``@model`` runs."""
    import_plain_files([Path(__file__).parent], "models")
