"""The registry: what was declared, under which name, and where it is written."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

import polars as pl

from features._declare.errors import FeatureError
from features._declare.lookback import Lookback

Range = tuple[float | None, float | None]
Kind = Literal["aggregate", "per_pair", "table", "fitted", "streamed"]
Scope = Literal["row", "user", "window"]
Key = tuple[str, ...]
FEATURE_EVENT = "samewise.feature"
DType = pl.DataType | type[pl.DataType]
DTypeOfLog = Callable[[Mapping[str, pl.DataType]], pl.DataType]  # made of the dtypes of the log's columns
Sort = Literal["any", "flag", "number", "instant", "id", "enums", "vector"]
Needed = Sort | DType  # what a body takes a column for
NEEDED: tuple[str, ...] = get_args(Sort)


@dataclass(frozen=True)
class Place:
    """Where a feature is written."""

    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.file.name}:{self.line}"


@dataclass(frozen=True)
class Column:
    """What is said of one column of a ``@table``, ``@fitted`` or ``@streamed`` feature.

    ``dtype``: also a function of the dtypes of the log's columns, those that are needed among them: of a vector that is
    as wide as another. ``meaning``: of this column; without it, the first line of the docstring. ``range``: what audits
    hold the values to, as ``(low, high)``, both included, None for an open end.
    """

    dtype: DType | DTypeOfLog
    meaning: str = ""
    range: Range | None = None

    def dtype_in(self, log: Mapping[str, pl.DataType]) -> DType:
        """Give the dtype that it has with such a log."""
        return self.dtype if isinstance(self.dtype, pl.DataType | type) else self.dtype(log)


@dataclass(frozen=True)
class Declaration:
    """One decorated function or class, before it meets a competition. ``options``: what the decorator was given."""

    name: str
    kind: Kind
    body: Callable[..., Any]
    place: Place
    meaning: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"Feature {self.name!r} ({self.place})"

    def __reduce__(self) -> tuple[Callable[..., Declaration], tuple[Any, ...]]:
        """Go to another process by name: the function stands behind the feature that its decorator returned."""
        module, name = self.body.__module__, self.body.__name__
        feature = getattr(sys.modules.get(module), name, None)
        if module != "__main__" and getattr(feature, "declaration", None) is self:
            return _declared, (module, name)
        return Declaration, (self.name, self.kind, self.body, self.place, self.meaning, self.options)

    @contextmanager
    def announced(self) -> Iterator[None]:
        """Let hooks of ``sys.addaudithook`` know that its code runs: the name is raised before, and no name after."""
        sys.audit(FEATURE_EVENT, self.name)
        try:
            yield
        finally:
            sys.audit(FEATURE_EVENT, "")

    @property
    def parameters(self) -> tuple[str, ...]:
        """What the body's parameters stand for: their defaults, which name columns, or else their own names."""
        parameters = inspect.signature(self.body).parameters.values()
        return tuple(p.name if p.default is p.empty else str(p.default) for p in parameters)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all its columns, available in a competition or not."""
        options = self.options
        match self.kind:
            case "aggregate":
                return tuple(self.grid_name(key, lookback) for key, lookback in options["grid"])
            case "per_pair":
                each = options["each"]
                return tuple(
                    self.pair_name(bound) for bound in ((("*",),) if callable(each) else each or ((),))
                )
            case _:
                return tuple(
                    self.output_name(output, variant)
                    for variant in options.get("variants") or ("",)
                    for output in options["columns"]
                )

    def grid_name(self, key: Key, lookback: Lookback) -> str:
        """Name the column of an aggregate: ``like_rate__user_id_x_source_id__h2``."""
        return f"{self.name}__{'_x_'.join(key) or 'everything'}{lookback.suffix}"

    def pair_name(self, bound: Sequence[str]) -> str:
        """Name the column of a per-pair feature: the first of what is bound is part of it."""
        return "__".join([self.name, *bound[:1]])

    def output_name(self, output: str, variant: str = "") -> str:
        """Name the column of a table, fitted or streamed feature: output, key and variant."""
        return "__".join(part for part in (output, "_x_".join(self.options.get("key", ())), variant) if part)


def _declared(module: str, name: str) -> Declaration:
    found: Declaration = getattr(import_module(module), name).declaration
    return found


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
