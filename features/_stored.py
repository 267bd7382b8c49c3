"""Columns in the store: compute what is missing, read what is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import polars as pl

from engine import Job, Recipe, Settings, Store, StoreError, run_jobs
from features._catalogue import Catalogue
from features._compute import compute_windows
from features._memory import threads_per_window
from features._recipes import column_recipes, pairs_recipe
from validation import Window, is_test, window_pairs, window_relevance

_FILE = "column.parquet"


def compute_features(
    catalogue: Catalogue, windows: Iterable[Window], names: Iterable[str], store: Store, settings: Settings
) -> int:
    """Compute every named column of every window that is not in the store; return how many were computed."""
    names, windows = tuple(dict.fromkeys(names)), tuple(windows)
    jobs, n_found = [], 0
    for window in windows:
        missing = missing_columns(catalogue, window, names, store)
        n_found += len(names) - len(set(missing) & set(names))
        if missing:
            job = (catalogue, window, names, store.root)
            jobs.append(Job(f"{len(missing)} features @ {window.name}", compute_missing, job))
    if not jobs:
        return 0
    latest = max(window.cutoff for window in windows)
    threads = threads_per_window(catalogue.dataset, latest, settings)
    return sum(run_jobs("features", jobs, settings, n_found=n_found, threads_per_job=threads))


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


def compute_missing(catalogue: Catalogue, window: Window, names: Sequence[str], root: Path) -> int:
    """Compute and store what is missing in one window; a second process waits and then finds it."""
    store = Store(root)
    with store.lock(f"features @ {window.name}"):
        missing = missing_columns(catalogue, window, names, store)
        if not missing:
            return 0
        recipes = column_recipes(catalogue, window, missing)
        pairs = read_pairs(catalogue, window, store)
        given = _given(catalogue, missing, recipes, store, pairs)
        values = compute_windows(
            catalogue, missing, {window: pairs}, {} if given is None else {window: given}
        )[window]
        seconds = dict.fromkeys(missing, 0.0)
        for name in missing:
            store.put(recipes[name], _Column(values.select(name)).write, seconds=seconds[name])
    return len(missing)


class _Column:
    """Writes one column as Parquet into the folder of its artifact."""

    def __init__(self, values: pl.DataFrame) -> None:
        self.values = values

    def write(self, folder: Path) -> None:
        self.values.write_parquet(folder / _FILE)


def _given(
    catalogue: Catalogue,
    missing: Sequence[str],
    recipes: Mapping[str, Recipe],
    store: Store,
    pairs: pl.DataFrame,
) -> pl.DataFrame | None:
    """Read the stored columns that the missing ones read."""
    reads = {n for name in missing for n in catalogue.columns[name].reads} - set(missing)
    if not reads:
        return None
    return pairs.select("pair_id").hstack([_read(recipes[n], n, store, pairs.height) for n in sorted(reads)])


def read_pairs(catalogue: Catalogue, window: Window, store: Store) -> pl.DataFrame:
    """Read the pairs of a window, sorted by pair_id: ``pair_id``, keys and observed columns."""
    recipe = pairs_recipe(catalogue.dataset, window)
    folder = store.find(recipe) or store.make(recipe, _Column(window_pairs(catalogue.dataset, window)).write)
    return pl.read_parquet(folder / _FILE)


def _read(recipe: Recipe, name: str, store: Store, height: int) -> pl.Series:
    folder = store.find(recipe)
    if folder is None:
        raise StoreError(
            f"The column {recipe.name!r} is not in the store (any more).",
            todo="run the command again to rebuild it",
        )
    values = pl.read_parquet(folder / _FILE, memory_map=False)[name]
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
    names = tuple(dict.fromkeys(names))
    frames = [_read_window(catalogue, window, names, store) for window in windows]
    user = catalogue.dataset.competition.user
    return pl.concat(frames).sort("window", user, "pair_id")


def _read_window(catalogue: Catalogue, window: Window, names: tuple[str, ...], store: Store) -> pl.DataFrame:
    dataset = catalogue.dataset
    competition = dataset.competition
    pairs = read_pairs(catalogue, window, store)
    recipes = column_recipes(catalogue, window, names)
    values = [_read(recipes[name], name, store, pairs.height) for name in names]
    keys = [name for name in (competition.user, competition.item, competition.source) if name]
    shown = dataset.with_attributes(pairs.lazy()).select("pair_id", *keys).collect(engine="in-memory")
    frame = shown.with_columns(pl.lit(window.cutoff, pl.Int64).alias("window")).hstack(
        [value for value in values if value.name not in keys]
    )
    if is_test(dataset, window):
        return frame.with_columns(pl.lit(None, pl.Int8).alias("relevance"))
    labels = window_relevance(dataset, window)
    return frame.join(labels, on="pair_id", how="left", validate="1:1", maintain_order="left")
