"""Columns in the store: what is missing, and reading what is there, all at once or one column at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from engine import Json, Recipe, Store, StoreError
from features._catalogue import Catalogue
from features._storage.recipes import column_recipes, pairs_recipe
from validation import Window, is_test, window_pairs, window_relevance

_FILE = "column.parquet"
_FACTS = "facts"


def missing_columns(
    catalogue: Catalogue, window: Window, names: Iterable[str], store: Store
) -> tuple[str, ...]:
    """Name what has to be computed for these columns: those not in the store, and what they read, down to it."""
    recipes = column_recipes(catalogue, window, names)
    missing: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in missing and store.find(recipes[name]) is None:
            missing.add(name)
            waiting.extend(catalogue.columns[name].reads)
    return tuple(name for name in recipes if name in missing)


class StoredTable:
    """Writes one table (of one column, of pairs, of partials) as Parquet into the folder of its artifact.

    ``facts``: what is known of the table as a whole, as JSON in the file's own metadata.
    """

    def __init__(self, values: pl.DataFrame, facts: Mapping[str, Json] | None = None) -> None:
        self.values, self.facts = values, facts

    def write(self, folder: Path) -> None:
        metadata = None if self.facts is None else {_FACTS: json.dumps(self.facts)}
        # No statistics: it is only ever read as a whole.
        self.values.write_parquet(folder / _FILE, statistics=False, metadata=metadata)


def read_pairs(catalogue: Catalogue, window: Window, store: Store) -> pl.DataFrame:
    """Read the pairs of a window, sorted by pair_id: ``pair_id``, keys and observed columns."""
    recipe = pairs_recipe(catalogue.dataset, window)
    folder = store.find(recipe) or store.make(
        recipe, StoredTable(window_pairs(catalogue.dataset, window)).write
    )
    return pl.read_parquet(folder / _FILE)


def read_table(folder: Path) -> pl.DataFrame:
    """Read what ``StoredTable`` wrote. Not mapped: the artifact may be pruned while it is in use."""
    return pl.read_parquet(folder / _FILE, memory_map=False)


def read_facts(folder: Path) -> dict[str, Any]:
    """Read the facts that ``StoredTable`` wrote beside a table."""
    facts: dict[str, Any] = json.loads(pl.read_parquet_metadata(folder / _FILE)[_FACTS])
    return facts


def read_column(recipe: Recipe, name: str, store: Store, height: int) -> pl.Series:
    """Read one stored column of one window: ``height`` values, in the order of the window's pairs."""
    folder = store.find(recipe)
    if folder is None:
        raise StoreError(
            f"The column {recipe.name!r} is not in the store (any more).",
            todo="run the command again to rebuild it",
        )
    values = read_table(folder)[name]
    if len(values) != height:
        raise StoreError(
            f"{recipe.name!r} has {len(values)} rows in the store.", expected=f"{height}, one a pair"
        )
    return values


def read_features(
    catalogue: Catalogue, windows: Iterable[Window], names: Iterable[str], store: Store
) -> pl.DataFrame:
    """Read stored columns of several windows as one frame, sorted by (window, user, pair_id).

    Columns: ``pair_id``, ``window`` (the cutoff, Int64), the key columns (user, item, source), ``names``, and
    ``relevance`` Int8 (null in the test window).
    """
    stored = open_features(catalogue, windows, names, store)
    columns = [stored.read(name) for name in stored.schema]
    frame = stored.pairs.hstack(columns).select(pl.exclude("relevance"), "relevance")
    return frame.sort("window", catalogue.dataset.competition.user, "pair_id")


@dataclass(frozen=True)
class StoredPairs:
    """Pairs of windows and where their columns lie.

    Attributes
    ----------
    pairs
        ``pair_id``, ``window`` (the cutoff, Int64), the key columns (user, item, source) and ``relevance`` Int8 (null
        in the test window); windows in the order asked for, each sorted by pair_id.
    schema
        Dtypes of the feature columns.
    """

    pairs: pl.DataFrame
    schema: Mapping[str, pl.DataType]
    store: Store
    recipes: tuple[Mapping[str, Recipe], ...]
    heights: tuple[int, ...]

    def read(self, name: str) -> pl.Series:
        """Read a feature column of all windows, in the order of ``pairs``: the only one in memory."""
        by_window = [
            read_column(recipes[name], name, self.store, height)
            for recipes, height in zip(self.recipes, self.heights, strict=True)
        ]
        return pl.concat(by_window, rechunk=True)


def open_features(
    catalogue: Catalogue, windows: Iterable[Window], names: Iterable[str], store: Store
) -> StoredPairs:
    """Read the pairs and labels of windows, and find their columns. Missing ones are told when they are read."""
    windows, names = tuple(windows), tuple(dict.fromkeys(names))
    pairs = [_labelled_pairs(catalogue, window, store) for window in windows]
    return StoredPairs(
        pairs=pl.concat(pairs),
        schema={name: catalogue.columns[name].dtype for name in names},
        store=store,
        recipes=tuple(column_recipes(catalogue, window, names) for window in windows),
        heights=tuple(frame.height for frame in pairs),
    )


def _labelled_pairs(catalogue: Catalogue, window: Window, store: Store) -> pl.DataFrame:
    dataset = catalogue.dataset
    competition = dataset.competition
    pairs = read_pairs(catalogue, window, store)
    keys = [name for name in (competition.user, competition.item, competition.source) if name]
    shown = dataset.with_attributes(pairs.lazy()).select("pair_id", *keys).collect(engine="in-memory")
    frame = shown.with_columns(pl.lit(window.cutoff, pl.Int64).alias("window"))
    if is_test(dataset, window):
        return frame.with_columns(pl.lit(None, pl.Int8).alias("relevance"))
    labels = window_relevance(dataset, window)
    return frame.join(labels, on="pair_id", how="left", validate="1:1", maintain_order="left")
