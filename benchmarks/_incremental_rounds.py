"""One more feature, and one edited, on a warm store: ours and the plain query in turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TypeAlias

import polars as pl

from benchmarks._aggregates_inputs import write
from benchmarks._aggregates_job import settings_for
from benchmarks._aggregates_ours import declared
from benchmarks._figures import spread
from competitions import Dataset, open_dataset
from engine import Settings, Store
from features import (
    Aggregate,
    Catalogue,
    Log,
    Registry,
    aggregate,
    bind_catalogue,
    compute_features,
    mean,
    read_features,
)
from validation import Window, plan_folds

Lookbacks: TypeAlias = tuple[int | None, ...]
LOOKBACKS: Lookbacks = (None, 1, 2, 3)  # 4 keys x 15 aggregates x 4 lookbacks = 240 columns
TOLERANCE = 1e-6


@dataclass
class Rounds:
    """Seconds of ours and of what it is compared with (``plain`` and, if any, ``merge``), and what went wrong."""

    ours: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)
    merge: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def ratio(self) -> float:
        """Median of ours over that of what it is compared with."""
        return median(self.ours) / (median(self.plain) + (median(self.merge) if self.merge else 0.0))

    def in_words(self, wanted: float) -> str:
        """Both medians, their ratio, and whether it is as wanted."""
        verdict = "kept" if self.ratio() <= wanted else "MISSED"
        merge = f" and a merge of {spread(self.merge)}" if self.merge else ""
        return (
            f"{spread(self.ours)}, compared with {spread(self.plain)}{merge}: ratio {self.ratio():.2f}, "
            f"at most {wanted:.2f} is wanted: {verdict}"
        )

    def figures(self) -> dict[str, object]:
        """For the JSON."""
        return {"ours": self.ours, "plain": self.plain, "merge": self.merge, "ratio": self.ratio()}


@dataclass(frozen=True)
class Warm:
    """A store filled with columns, and the files that the plain query reads (``inputs``)."""

    settings: Settings
    dataset: Dataset
    store: Store
    windows: tuple[Window, ...]
    names: tuple[str, ...]
    inputs: Path
    n_rows: int
    seconds: float
    lookbacks: Lookbacks

    def bound(self, more: Registry) -> Catalogue:
        """Bind the columns of the store and those of a further registry."""
        registry = declared(self.lookbacks)
        for declaration in more.declarations.values():
            registry.add(declaration)
        return bind_catalogue(self.dataset, registry)


def warmed(data: Path, folder: Path, threads: int, lookbacks: Lookbacks = LOOKBACKS) -> Warm:
    """Take the data in and fill a new store."""
    settings = settings_for(data, folder / "store", threads)
    dataset = open_dataset(settings)
    windows = plan_folds(dataset, settings.folds).windows
    write(dataset, list(windows), folder / "inputs")
    catalogue = bind_catalogue(dataset, declared(lookbacks))
    names, store = tuple(catalogue.columns), Store(settings.store)
    began = perf_counter()
    compute_features(catalogue, windows, names, store, settings)
    seconds = perf_counter() - began
    n_rows = int(dataset.log.select(pl.len()).collect(engine="streaming").item())
    return Warm(settings, dataset, store, windows, names, folder / "inputs", n_rows, seconds, lookbacks)


def watched_longer(than: float, key: str, name: str) -> Registry:
    """Declare one aggregate: the share of rows watched for longer than so many seconds."""
    registry = Registry()

    def watched(log: Log) -> Aggregate:
        """Share of rows that were watched for long."""
        return mean(log.timespent > than)

    watched.__name__ = name
    parts = key.split("_x_")
    aggregate(keys=[parts if len(parts) > 1 else key], registry=registry)(watched)
    return registry


def one_more(warm: Warm, key: str, repeats: int) -> Rounds:
    """Add a feature that was never there, once a round."""
    return _rounds(warm, key, [(f"watched_{number}", 10.5 + number) for number in range(repeats)])


def one_edited(warm: Warm, key: str, repeats: int) -> Rounds:
    """Edit the constant in a feature that is there, once a round."""
    _computed(warm, key, "edited", 5.5)
    return _rounds(warm, key, [("edited", 50.5 + number) for number in range(repeats)])


def _rounds(warm: Warm, key: str, versions: Sequence[tuple[str, float]]) -> Rounds:
    rounds = Rounds()
    for name, than in versions:
        seconds, n_computed = _computed(warm, key, name, than)
        rounds.ours.append(seconds)
        if n_computed != len(warm.windows):
            rounds.problems.append(f"{name}: {n_computed} columns were computed, not {len(warm.windows)}")
        began = perf_counter()
        plain = [_plain(warm, window, key, than) for window in warm.windows]
        rounds.plain.append(perf_counter() - began)
        if not _agree(warm, f"{name}__{key}", watched_longer(than, key, name), plain):
            rounds.problems.append(f"{name}: the values differ from those of the plain query")
    return rounds


def _computed(warm: Warm, key: str, name: str, than: float) -> tuple[float, int]:
    """Compute all columns and one more; seconds, and how many were computed. Binding is not timed."""
    catalogue = warm.bound(watched_longer(than, key, name))
    names = (*warm.names, f"{name}__{key}")
    began = perf_counter()
    n_computed = compute_features(catalogue, warm.windows, names, warm.store, warm.settings)
    return perf_counter() - began, n_computed


def _plain(warm: Warm, window: Window, key: str, than: float) -> pl.DataFrame:
    """Compute the aggregate for the pairs of a window as one would by hand: ``pair_id``, ``value``."""
    on = key.split("_x_")
    pairs = pl.read_parquet(warm.inputs / "pairs" / f"{window.cutoff}.parquet", columns=["pair_id", *on])
    rows = pl.scan_parquet(warm.inputs / "joined" / "*.parquet").filter(pl.col("clock") < window.cutoff)
    wanted = rows.join(pairs.lazy().select(on).unique(), on=on, how="semi")
    value = (pl.col("timespent") > than).mean().alias("value")
    found = wanted.group_by(on).agg(value).collect(engine="streaming")
    return pairs.join(found, on=on, how="left", validate="m:1").select("pair_id", "value")


def _agree(warm: Warm, column: str, registry: Registry, plain: Sequence[pl.DataFrame]) -> bool:
    catalogue = bind_catalogue(warm.dataset, registry)
    ours = read_features(catalogue, warm.windows, [column], warm.store)
    cutoffs = [pl.lit(window.cutoff, pl.Int64).alias("window") for window in warm.windows]
    expected = pl.concat(
        frame.with_columns(cutoff) for frame, cutoff in zip(plain, cutoffs, strict=True)
    ).sort("window", "pair_id")
    both = (
        ours.sort("window", "pair_id")
        .select("window", "pair_id", column)
        .join(expected, on=["window", "pair_id"], how="full", validate="1:1")
    )
    close = (pl.col(column).cast(pl.Float64) - pl.col("value")).abs() <= TOLERANCE
    same = close.fill_null(False) | (pl.col(column).is_null() & pl.col("value").is_null())
    return both.height == expected.height and bool(both.select(same.all()).item())
