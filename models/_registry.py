"""Kinds of models by name, and the models that the configuration asks for."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, cast

from engine import ConfigError, Settings, did_you_mean, import_plain_files
from models._ranker import Ranker
from models._tables import is_enabled, kind_of, with_parameters

_R = TypeVar("_R")
_kinds: dict[str, type[Ranker]] = {}

# A model's name is a column beside these in the out-of-fold tables and submission frames.
_RESERVED = frozenset({"score", "relevance", "fold", "window", "pair_id", "row", "clock"})
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_COLUMNS = {"als": "als_score__like", "popularity": "relevance_rate__item_id"}  # names that are no kinds


def model(name: str) -> Callable[[type[_R]], type[_R]]:
    """Register a frozen dataclass of parameters as the kind of model that ``config.toml`` calls ``name``.

    Raises ConfigError if another class has the name already; both files are named.
    """

    def register(kind: type[_R]) -> type[_R]:
        add_kind(_kinds, "model", name, cast("type[Ranker]", kind))
        return kind

    return register


def add_kind(kinds: dict[str, type[_R]], word: str, name: str, kind: type[_R]) -> None:
    """Add a kind of model or blender (``word``) to the known ones.

    Raises ConfigError if another class has the name already; both files are named.
    """
    known = kinds.get(name)
    if known is not None and (known.__module__, known.__qualname__) != (kind.__module__, kind.__qualname__):
        raise ConfigError(
            f"Two kinds of {word}s are called {name!r}: {_place(known)} and {_place(kind)}.",
            expected="a name of its own for each kind",
            todo=f"rename one of them in its @{word}(...)",
        )
    if not isinstance(name, str) or not is_dataclass(kind) or not hasattr(kind, "fit"):
        raise ConfigError(
            f"@{word}({name!r}) is put on {kind!r}.",
            expected=f'@{word}("a_name") on a frozen dataclass of parameters with a method fit',
        )
    kinds[name] = kind


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
    enabled = {
        name: ranker for name, ranker in rankers.items() if is_enabled(tables[name], f"[models.{name}]")
    }
    if not enabled:
        raise ConfigError(
            "No model is enabled.",
            expected="at least one [models.NAME] table in config.toml without enabled = false",
            todo=f"add one of the kinds: {', '.join(model_kinds())}",
        )
    return enabled


def _build(name: str, table: Mapping[str, Any]) -> Ranker:
    check_name("model", name)
    kinds, kind = model_kinds(), kind_of(table, name, f"[models.{name}]")
    if kind not in kinds and kind in _COLUMNS:
        column = table.get("feature", _COLUMNS[kind])
        raise ConfigError(
            f"[models.{name}]: there is no kind of model {kind!r}: it ranks by one column, which is kind 'column'.",
            expected=f'kind = "column" and column = "{column}" in [models.{name}]',
            todo="write these two lines in config.toml instead",
        )
    if kind not in kinds:
        raise ConfigError(
            f"[models.{name}]: there is no kind of model {kind!r}." + did_you_mean(kind, kinds),
            expected="one of " + ", ".join(kinds),
            todo=f'set kind in [models.{name}], or add a file with @model("{kind}") to models/',
        )
    return with_parameters(kinds[kind], table, f"[models.{name}]")


def check_name(word: str, name: str) -> None:
    """Raise ConfigError if a table of a model or blender (``word``) has a name that cannot be a column."""
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise ConfigError(
            f"[{word}s.{name}]: {name!r} cannot be the name of a {word}.",
            expected="small letters, digits and underscores, and none of " + ", ".join(sorted(_RESERVED)),
        )


def _place(kind: type) -> str:
    return f"{kind.__qualname__} in {Path(inspect.getfile(kind)).name}"


@cache
def _find_files() -> None:
    """Import the room's plain files, so that their ``@model`` runs."""
    import_plain_files([Path(__file__).parent], "models")
