"""Read stored columns of several windows one at a time, so that a model holds no more of them than it wants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from engine import Recipe, Store
from features._catalogue import Catalogue
from features._recipes import column_recipes
from features._stored import read_column, read_pairs
from validation import Window, is_test, window_relevance


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
        parts = [
            read_column(recipes[name], name, self.store, height)
            for recipes, height in zip(self.recipes, self.heights, strict=True)
        ]
        return pl.concat(parts, rechunk=True)


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
