"""The registry: what was declared, under which name, and where it is written."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import polars as pl

from features._declare.errors import FeatureError

Range = tuple[float | None, float | None]
Scope = Literal["row", "user", "window"]
Key = tuple[str, ...]
DType = pl.DataType | type[pl.DataType]


@dataclass(frozen=True)
class Place:
    """Where a feature is written."""

    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.file.name}:{self.line}"


@dataclass(frozen=True)
class Declaration:
    """One decorated function or class, before it meets a competition."""

    name: str
    kind: Literal["aggregate", "per_pair", "table", "fitted"]
    body: Callable[..., Any]
    place: Place
    meaning: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the body's parameters."""
        return tuple(inspect.signature(self.body).parameters)


@dataclass
class Registry:
    """All declarations by name. One registry is the product's; tests make their own."""

    declarations: dict[str, Declaration] = field(default_factory=dict)

    def add(self, declaration: Declaration) -> None:
        """Register; a second feature of the same name is refused, naming both files."""
        known = self.declarations.get(declaration.name)
        if known:
            raise FeatureError(
                f"Two features are named {declaration.name!r}: {known.place} and {declaration.place}.",
                todo="rename one of them",
            )
        self.declarations[declaration.name] = declaration


REGISTRY = Registry()
