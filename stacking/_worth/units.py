"""Which columns belong together: a family, a feature, a column."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Literal

import polars as pl

from engine import ConfigError, did_you_mean
from features import Catalogue
from models import needed_columns
from stacking._plan import Plan

By = Literal["family", "feature", "column"]
Units = dict[str, tuple[str, ...]]


def units_of(catalogue: Catalogue, columns: Iterable[str], by: By) -> Units:
    """Put columns together: those of a file (``family``), of a function or class (``feature``), or each by itself."""
    found: dict[str, list[str]] = {}
    for name in columns:
        column = catalogue.columns[name]
        unit = {"family": column.family, "feature": column.declaration.name, "column": name}[by]
        found.setdefault(unit, []).append(name)
    return {unit: tuple(names) for unit, names in found.items()}


def named_columns(catalogue: Catalogue, name: str) -> tuple[str, ...]:
    """Model inputs that a name means: a column, a feature, a family, or a pattern of columns, in this order.

    Raises ConfigError if it means none, with the nearest name and why it may be missing.
    """
    inputs = [n for n, c in catalogue.columns.items() if c.is_model_input]
    if name in inputs:
        return (name,)
    by: tuple[By, ...] = ("feature", "family")
    for kind in by:
        units = units_of(catalogue, inputs, kind)
        if name in units:
            return units[name]
    matching = tuple(n for n in inputs if fnmatchcase(n, name))
    if matching:
        return matching
    known = [*inputs, *units_of(catalogue, inputs, "feature"), *units_of(catalogue, inputs, "family")]
    raise ConfigError(
        f"{name!r} is no feature, column, family or pattern of model inputs here."
        + (_why_no_input(catalogue, name) or did_you_mean(name, known)),
        expected="a name of model inputs, as `python -m features list` shows them",
    )


def _why_no_input(catalogue: Catalogue, name: str) -> str:
    """Say why a name that is known means no model input; empty for a name that is not known."""
    if name in catalogue.unavailable:
        return f" It {catalogue.unavailable[name].rstrip('.')}."
    columns = [c for c in catalogue.columns.values() if name in (c.name, c.declaration.name, c.family)]
    if not columns:
        return ""
    if any(isinstance(c.dtype, pl.Array) for c in columns):
        return " It has arrays, which only models that name them read."
    return " It is a step on the way to other features, or neither number, Boolean nor Enum."


def main_model(plan: Plan, name: str | None) -> str:
    """The model that features are judged by: the named one, else the first ``catboost``, else the first of all.

    Only models that read all that the patterns select can tell what a feature is worth. Raises ConfigError if the
    named one is not such a model, or if there is none.
    """
    readers = {n: m for n, m in plan.models.items() if not needed_columns(m)}
    if name is None and readers:
        return next(
            (n for n, m in readers.items() if type(m).__module__ == "models.catboost"), next(iter(readers))
        )
    if name in readers:
        return name
    raise ConfigError(
        "No enabled model reads the selected features."
        if name is None
        else f"The model {name!r} is not enabled, or reads only columns that it names.",
        expected="a model that reads what [features] selects: "
        + (", ".join(readers) or "such as kind catboost"),
        todo="" if readers else "add [models.catboost] to config.toml",
    )
