"""The registry bound to a data set: which columns exist here, what they are made of, what is not available."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import polars as pl

from competitions import Dataset
from engine import ConfigError, FeatureSettings, did_you_mean, import_plain_files
from features._catalogue.binding import bind_history_feature, bind_pair_feature, bound_names
from features._catalogue.column import WINDOW_COLUMNS, FeatureColumn, PairBody, check_fill
from features._catalogue.fit import Flags
from features._catalogue.log_columns import LogColumns, log_columns
from features._declare import REGISTRY, Declaration, FeatureError, Key, MissingColumnError, Registry

_RESERVED = {*WINDOW_COLUMNS, "row", "clock", "relevance", "pair_id", "window", "weight"}


@dataclass(frozen=True)
class Catalogue:
    """What can be computed on a data set.

    Attributes
    ----------
    columns
        Every column by name, each after the ones it reads.
    unavailable
        Name of a feature or column -> why the competition does not have it.
    made_of
        Notes of what columns' bodies are made of, filled as recipes are written; nothing else depends on it.
    """

    dataset: Dataset
    columns: Mapping[str, FeatureColumn]
    unavailable: Mapping[str, str]
    made_of: dict[str, Mapping[str, Any]] = field(default_factory=dict, repr=False, compare=False)

    def select(self, patterns: FeatureSettings, needs: Iterable[str] = ()) -> tuple[str, ...]:
        """Name the model inputs that the patterns keep, and ``needs``, by name: what models give depends on the order.

        What the competition leaves out is kept only if a pattern other than ``*`` names it. Raises ConfigError
        when a pattern matches nothing or a needed column does not exist here.
        """
        needed = set(needs)
        for name in sorted(needed - set(self.columns)):
            raise ConfigError(self._missing(name), todo="drop the model that needs it, or add the feature")
        for pattern in (*patterns.include, *patterns.exclude, *self.dataset.competition.leave_out):
            if pattern != "*" and not any(
                fnmatchcase(n, pattern) for n in (*self.columns, *self.unavailable)
            ):
                near = did_you_mean(pattern, self.columns)
                raise ConfigError(f"The feature pattern {pattern!r} matches no feature.{near}")
        left_out = self.dataset.competition.leave_out
        return tuple(
            sorted(n for n, c in self.columns.items() if n in needed or _keeps(patterns, c, left_out))
        )

    def closure(self, names: Iterable[str]) -> tuple[str, ...]:
        """Name the columns and all that they read, each after what it reads."""
        reached: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in self.columns:
                raise FeatureError(self._missing(name))
            if name not in reached:
                reached.add(name)
                waiting.extend(self.columns[name].reads)
        return tuple(n for n in self.columns if n in reached)

    def unread(self, names: Iterable[str]) -> dict[str, pl.DataType]:
        """Columns of the pairs, and their dtypes, that none of these columns reads, nor what they read."""
        c = self.dataset.competition
        read = {n for name in self.closure(names) for n in self.columns[name].columns}
        read |= {"pair_id", c.user, c.item, c.clock.column or ""}
        read |= {*c.aliases, *(own for alias, own in c.aliases.items() if alias in read)}
        return {name: dtype for name, dtype in self.dataset.pair_schema.items() if name not in read}

    def _missing(self, name: str) -> str:
        if name in self.unavailable:
            reason = self.unavailable[name].rstrip(".")
            return f"The feature {name!r} is not available here: it {reason}{'' if reason.endswith('?') else '.'}"
        return f"There is no feature {name!r}.{did_you_mean(name, self.columns)}"


def _keeps(patterns: FeatureSettings, column: FeatureColumn, left_out: Sequence[str]) -> bool:
    if not column.is_model_input or (column.scope != "row" and not patterns.transductive):
        return False
    included = [p for p in patterns.include if fnmatchcase(column.name, p)]
    if any(fnmatchcase(column.name, p) for p in patterns.exclude):
        return False
    return bool(included) and (included != ["*"] or not any(fnmatchcase(column.name, p) for p in left_out))


@cache
def load_registry() -> Registry:
    """Import every plain file of the room (those without a leading underscore) and return the registry."""
    import_plain_files([Path(__file__).parents[1]], "features", error=FeatureError)
    return REGISTRY


def load_catalogue(dataset: Dataset) -> Catalogue:
    """Bind every feature of the room to a data set."""
    return bind_catalogue(dataset, load_registry())


def bind_catalogue(dataset: Dataset, registry: Registry) -> Catalogue:
    """Bind every declaration to the data set.

    Raises FeatureError for what no competition could make right: duplicate columns, cycles, bodies that fail. What only
    this competition lacks, has as another dtype or as an outcome is listed as unavailable with the reason.
    """
    columns: dict[str, FeatureColumn] = {}
    unavailable: dict[str, str] = {}
    declarations, flags = registry.declarations.values(), Flags(dataset)
    for declaration in (d for d in declarations if d.kind != "per_pair"):
        found, lacking = bind_history_feature(declaration, dataset, flags)
        unavailable.update({**lacking, **_add(columns, found, dataset)})
    for declaration, bound in _in_order([d for d in declarations if d.kind == "per_pair"], dataset):
        try:
            column = bind_pair_feature(declaration, bound, dataset, columns, unavailable, flags)
            _refuse_repetition(column, columns.values())
            unavailable.update(_add(columns, [column], dataset))
        except MissingColumnError as missing:
            unavailable[declaration.pair_name(bound)] = missing.found
    return Catalogue(dataset, columns, unavailable)


def _refuse_repetition(column: FeatureColumn, known: Iterable[FeatureColumn]) -> None:
    """Raise MissingColumnError if this feature, bound to each of some columns, says just what another one says."""
    if callable(column.declaration.options["each"]) and isinstance(column.body, PairBody):
        for other in known:
            if (
                isinstance(other.body, PairBody)
                and other.columns == column.columns
                and other.dtype == column.dtype
                and other.body.expression.meta.eq(column.body.expression)
            ):
                raise MissingColumnError(
                    f"needs a column that no other feature gives as it is: {other.name!r} does"
                )


def _add(
    columns: dict[str, FeatureColumn], found: Sequence[FeatureColumn], dataset: Dataset
) -> dict[str, str]:
    """Add columns; return those whose names the competition has taken, with the reason."""
    taken = {*dataset.history_schema, *dataset.pair_schema}
    lacking = {}
    for column in found:
        if column.name in _RESERVED:
            raise FeatureError(
                f"{column} has the name of a column that Samewise needs itself.", todo="rename the function"
            )
        if column.name in columns:
            raise _twice(column.name, columns[column.name].declaration, column.declaration)
        if column.name in taken:
            lacking[column.name] = "needs its name, which a column of the competition has: rename one of them"
            continue
        check_fill(column)
        columns[column.name] = column
    return lacking


def _twice(name: str, first: Declaration, second: Declaration) -> FeatureError:
    return FeatureError(
        f"Two features give the column {name!r}: {first.place} and {second.place}.",
        todo="rename one of them; of several bound names the first one names the column",
    )


def _in_order(declarations: Sequence[Declaration], dataset: Dataset) -> Iterable[tuple[Declaration, Key]]:
    """Sort per-pair columns so that each comes after what it reads; ``each`` is spread out, functions of it last."""
    nodes: dict[str, tuple[Declaration, Key]] = {}
    reads: dict[str, set[str]] = {}
    log = log_columns(dataset)
    for declaration in sorted(declarations, key=lambda d: callable(d.options["each"])):
        each = declaration.options["each"]
        for bound in _given_names(declaration, log) if callable(each) else each or ((),):
            name = declaration.pair_name(bound)
            if name in nodes:
                raise _twice(name, nodes[name][0], declaration)
            nodes[name] = (declaration, bound)
            reads[name] = set(bound_names(declaration, bound))
    # Sorted: the order of a set of names differs between processes, and with it the order of the columns.
    order = TopologicalSorter({n: sorted(reads[n] & nodes.keys()) for n in nodes})
    try:
        return [nodes[name] for name in order.static_order()]
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        places = ", ".join(sorted({str(nodes[n][0].place) for n in error.args[1]}))
        raise FeatureError(
            f"Features read each other in a circle: {circle} ({places}).", todo="break it"
        ) from error


def _given_names(declaration: Declaration, log: LogColumns) -> list[Key]:
    """Ask the function behind ``each`` for the names that it is bound to."""
    try:
        names = list(declaration.options["each"](log))
    except Exception as error:
        raise FeatureError(f"The each= of {declaration} failed: {type(error).__name__}: {error}") from error
    if not all(isinstance(name, str) for name in names):
        raise FeatureError(
            f"The each= of {declaration} gives {names!r}.",
            expected="names of columns, such as lambda log: log.shown_numbers",
        )
    return [(name,) for name in names]


def dtype_name(dtype: pl.DataType) -> str:
    """Short text of a dtype for listings."""
    return f"Enum({len(dtype.categories)})" if isinstance(dtype, pl.Enum) else str(dtype)
