"""Registries with one feature in them, for tests to bind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from competitions import Dataset
from engine import Settings
from features import (
    Catalogue,
    Log,
    Registry,
    Window,
    aggregate,
    bind_catalogue,
    compute_window,
    fitted,
    per_pair,
    table,
)
from features._audit import Finding, audit_window
from validation import Folds, plan_folds, window_pairs

Expression = Callable[..., Any]


def one_aggregate(body: Callable[[Log], Any], keys: Any = ("user_id",), **options: Any) -> Registry:
    """A registry with one aggregate, ``planted``."""
    registry = Registry()
    body.__name__, body.__doc__ = "planted", "Planted by a test."
    aggregate(keys=keys, registry=registry, **options)(body)
    return registry


def one_pair_feature(body: Expression, registry: Registry | None = None, **options: Any) -> Registry:
    """A registry with one more per-pair feature, ``planted``."""
    registry = registry or Registry()
    body.__name__, body.__doc__ = "planted", "Planted by a test."
    per_pair(registry=registry, **options)(body)
    return registry


def pair_features(**options: dict[str, Any]) -> Registry:
    """A registry with a number of the pair under each name, declared with these options."""
    registry = Registry()
    for name, own in options.items():

        def body(item_id: pl.Expr) -> pl.Expr:
            """Planted by a test."""
            return item_id * 2

        body.__name__ = name
        per_pair(registry=registry, **own)(body)
    return registry


def one_table(result: Callable[[pl.LazyFrame], Any], columns: Any, **options: Any) -> Registry:
    registry = Registry()

    @table(key=options.pop("key", "user_id"), columns=columns, registry=registry, **options)
    def planted(history: pl.LazyFrame, window: Window) -> Any:
        """Planted by a test."""
        return result(history)

    return registry


def one_fitted(result: Callable[[pl.DataFrame], Any], columns: Any, **options: Any) -> Registry:
    registry = Registry()

    @fitted(columns=columns, registry=registry, **options)
    class Planted:
        """Planted by a test."""

        def fit(self, history: pl.LazyFrame, window: Window) -> None:
            pass

        def transform(self, pairs: pl.DataFrame) -> Any:
            return result(pairs)

    return registry


def computed(catalogue: Catalogue, folds: Folds) -> pl.DataFrame:
    window = folds.final.eval
    return compute_window(catalogue, window, list(catalogue.columns), window_pairs(catalogue.dataset, window))


def counted(history: pl.LazyFrame) -> pl.LazyFrame:
    return history.group_by("user_id").agg(pl.len().cast(pl.UInt32).alias("n"))


def audited(dataset: Dataset, registry: Registry, settings: Settings, *, n_windows: int = 1) -> list[Finding]:
    """Audit all columns of a registry in the last eval windows."""
    catalogue = bind_catalogue(dataset, registry)
    windows = [fold.eval for fold in plan_folds(dataset, settings.folds).folds[-n_windows:]]
    return audit_window(catalogue, windows, catalogue.columns, settings)
