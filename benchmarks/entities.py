"""Vectors trained together against vectors trained apart: ``python -m benchmarks.entities`` (MovieLens by default).

For the last windows (``--windows``), vectors as of the cutoff, in one thread:

- *next likes*: share of the items that a user likes in the window, and has not met before, among the 20 with the
  highest product of vectors; of at most 20, over the users with such an item. All items of the history are ranked but
  those that the user has met, the same for all ways; an item without a vector comes last.
- *same source*: share of an item's 20 nearest (cosine) that have its source, over the items whose source has another
  item, as a share of what can be had. MovieLens has no source of its own: the competition names the main genre.

Ways: *together* (``entities``), its own code with one pair of kinds only (*user-item*, *item-source*), ``doc2vec``
(users and items) and ``item2vec`` (items). Differences from *together* are paired, with 95 % intervals by a bootstrap
over the users, and over the sources for the nearest, with all their windows and seeds; ``--seeds``: of the learners.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from rich.table import Table

from benchmarks._cached import LOG_HELP, Log, with_folders
from benchmarks._figures import keep
from competitions import Dataset, open_dataset
from engine import capped_threads, out
from features import LogColumns, StreamContext, Window, bind_catalogue, load_registry
from features._aggregation import RowsByPosition
from features._compute import rows_before
from features._storage import SEED
from features.doc2vec import Doc2Vec
from features.entities import PAIRS, Entities
from features.item2vec import Item2Vec
from validation import plan_folds

K, STEP, RESAMPLES, ROWS = 20, 100_000, 1000, 1000
MEASURES, TOGETHER = ("next likes", "same source"), "together"
Vectors = npt.NDArray[np.float32]


def ways(log: LogColumns) -> dict[str, Callable[[], Any]]:
    """Learners by what they are called."""
    both = (PAIRS[0], PAIRS[-1]) if log.source else PAIRS[:1]
    apart = {f"{a}-{b} only": partial(class_of(Entities), log, pairs=((a, b, 1.0),)) for a, b, _ in both}
    return {TOGETHER: partial(class_of(Entities), log), **apart, "doc2vec": class_of(Doc2Vec)}


def columns_of(dataset: Dataset) -> LogColumns:
    """What the log has, as learners are told."""
    body = bind_catalogue(dataset, load_registry()).columns["entities_score"].body
    log: LogColumns = body.arguments["log"]  # type: ignore[union-attr, index]
    return log


def class_of(learner: Any) -> Callable[..., Any]:
    """The class behind a decorated learner."""
    found: Callable[..., Any] = learner.declaration.body
    return found


def main() -> int:
    """Measure, print, keep the figures."""
    asked = arguments()
    log = Log.of(asked.log, asked.cache / "data")
    parts: list[pl.DataFrame] = []
    with tempfile.TemporaryDirectory(dir=asked.scratch) as temporary, capped_threads(1):
        settings = log.settings(Path(temporary), [*asked.overrides, "threads=1", 'backend="inline"'])
        dataset = open_dataset(settings)
        for window in plan_folds(dataset, settings.folds).windows[:-1][-asked.windows :]:
            met = Met.of(dataset, window)
            for seed in range(SEED, SEED + asked.seeds):
                for name, model in ways(columns_of(dataset)).items():
                    began = time.process_time()
                    found = learned(dataset, window, model, met, seed)
                    out.print(f"{window.name} {name} {seed - SEED}: {time.process_time() - began:.0f} CPU s")
                    parts.append(judged(met, *found, way=name, seed=seed))
            parts.append(judged(met, *of_item2vec(dataset, window, met), way="item2vec", seed=SEED))
    figures = compared(pl.concat(parts))
    show(asked.log, figures)
    keep(f"entities_{log.name}", {"log": asked.log, "figures": figures}, asked.out)
    return 0


@dataclass(frozen=True)
class Met:
    """What is known when a window begins, and what its users like.

    ``users``, ``items``: one row each, with attributes, as learners read pairs. ``seen``, ``liked``: Boolean (n_users,
    n_items), met in the history, liked in the window for the first time. ``source``: number of each item's source, -1
    if it has none or no other item.
    """

    users: pl.DataFrame
    items: pl.DataFrame
    keys: tuple[str, str]
    seen: npt.NDArray[np.bool_]
    liked: npt.NDArray[np.bool_]
    source: npt.NDArray[np.int64]

    @classmethod
    def of(cls, dataset: Dataset, window: Window) -> Met:
        """Look at the history, and at the likes of the window of users who have one."""
        names = columns_of(dataset)
        history = window.history(dataset.log).select(names.user, names.item).drop_nulls().unique().collect()
        targets = window.targets(dataset.log).filter(pl.col("relevance") > 0)
        new = targets.select(names.user, names.item).drop_nulls().unique().collect()
        new = new.join(history, on=[names.user, names.item], how="anti")
        new = new.join(history, on=names.user, how="semi").join(history, on=names.item, how="semi")
        users, items = (
            table.select(of).unique().sort(of) for table, of in ((new, names.user), (history, names.item))
        )
        seen, liked = (crossed(rows, users, items) for rows in (history, new))
        described = [
            dataset.with_attributes(
                table.lazy().with_columns(pl.lit(None, dataset.pair_schema[other]).alias(other))
            )
            for table, other in ((users, names.item), (items, names.user))
        ]
        users, items = pl.collect_all(described)
        source = np.full(items.height, -1)
        if names.source:
            of = items[names.source].cast(pl.String)
            is_shared = (of.is_duplicated() & of.is_not_null()).to_numpy()
            source[is_shared] = of.rank("dense").fill_null(0).to_numpy()[is_shared]
        return cls(users, items, (names.user, names.item), seen, liked, source)


def crossed(rows: pl.DataFrame, users: pl.DataFrame, items: pl.DataFrame) -> npt.NDArray[np.bool_]:
    """Which of the users (rows) comes with which of the items (columns)."""
    (at_user, of_users), (at_item, of_items) = (
        (name, table.with_row_index(name)) for name, table in (("at user", users), ("at item", items))
    )
    at = rows.join(of_users, on=users.columns, how="inner").join(of_items, on=items.columns, how="inner")
    found = np.zeros((users.height, items.height), dtype=np.bool_)
    found[at[at_user].to_numpy(), at[at_item].to_numpy()] = True
    return found


def learned(dataset: Dataset, window: Window, begin: Any, met: Met, seed: int) -> tuple[Vectors, Vectors]:
    """Let a learner go through the history; its vectors of users and items, NaN where there is none."""
    columns = {*columns_of(dataset).all, "clock"}
    rows, end = RowsByPosition(dataset, frozenset(columns)), rows_before(dataset, window.cutoff)
    with tempfile.TemporaryDirectory() as scratch:
        model = begin()
        model.start(StreamContext(seed, Path(scratch)))
        for first in range(0, end, STEP):
            model.learn(rows.read(first, min(first + STEP, end)))
        users, items = (
            pl.DataFrame(dict(model.transform(table)))
            .select(pl.selectors.ends_with(f"_{of}_vector"))
            .to_series()
            for of, table in (("user", met.users), ("item", met.items))
        )
    return as_array(users), as_array(items)


def of_item2vec(dataset: Dataset, window: Window, met: Met) -> tuple[Vectors, Vectors]:
    """Vectors of items by item2vec over likes; there are none of users."""
    model = class_of(Item2Vec)("item_id", "like")
    model.fit(window.history(dataset.log), window)
    items = model.entities[met.items[met.keys[1]]].astype(np.float32)
    return np.full((met.users.height, items.shape[1]), np.nan, dtype=np.float32), items


def as_array(column: pl.Series) -> Vectors:
    """Vectors as Float32 (n, dim), NaN for null."""
    width = column.dtype.size if isinstance(column.dtype, pl.Array) else 0
    found = np.full((len(column), width), np.nan, dtype=np.float32)
    found[column.is_not_null().to_numpy()] = column.drop_nulls().to_numpy()
    return found


def judged(met: Met, users: Vectors, items: Vectors, **of: Any) -> pl.DataFrame:
    """What is found of the likes and of the sources, by user and by source: ``total`` of ``n``."""
    unknown = ~np.isfinite(items.sum(axis=1))
    items = np.nan_to_num(items)
    parts = [pl.DataFrame({"measure": MEASURES[1], "unit": met.source, **nearest(met, items, unknown)})]
    if not np.isnan(users).all():
        share = next_likes(met, users, items, unknown)
        unit = met.users[met.keys[0]].cast(pl.String)
        parts.append(
            pl.DataFrame({"measure": MEASURES[0], "unit": unit, "total": share, "n": np.ones_like(share)})
        )
    found = pl.concat([part.with_columns(pl.col("unit").cast(pl.String)) for part in parts])
    return (
        found.group_by("measure", "unit")
        .agg(pl.col("total", "n").sum())
        .with_columns(**{n: pl.lit(v) for n, v in of.items()})
    )


def next_likes(met: Met, users: Vectors, items: Vectors, unknown: npt.NDArray[np.bool_]) -> Vectors:
    """Recall of each user's likes among the best K, of at most K; 0 for a user without a vector."""
    found = np.zeros(len(users), dtype=np.float32)
    for first in range(0, len(users), ROWS):
        some = slice(first, first + ROWS)
        scores = np.nan_to_num(users[some]) @ items.T
        scores[:, unknown] = -1e30
        scores[met.seen[some]] = -np.inf
        best = np.argpartition(-scores, K, axis=1)[:, :K]
        liked = met.liked[some]
        hits = np.take_along_axis(liked, best, axis=1).sum(axis=1)
        found[some] = hits / np.minimum(liked.sum(axis=1), K)
    found[np.isnan(users).any(axis=1)] = 0
    return found


def nearest(met: Met, items: Vectors, unknown: npt.NDArray[np.bool_]) -> dict[str, Vectors]:
    """Share of each item's K nearest that have its source, of what can be had; 0 for an item without a vector."""
    length = np.linalg.norm(items, axis=1, keepdims=True)
    unit = items / np.where(length > 0, length, 1)
    n_same = np.bincount(met.source[met.source >= 0], minlength=1)
    total, asked = np.zeros(len(items), dtype=np.float32), met.source >= 0
    for first in range(0, len(items), ROWS):
        at = np.arange(first, min(first + ROWS, len(items)))
        scores = unit[at] @ unit.T
        scores[:, unknown] = -2
        scores[np.arange(len(at)), at] = -np.inf
        best = np.argpartition(-scores, K, axis=1)[:, :K]
        hits = (met.source[best] == met.source[at, None]).sum(axis=1)
        total[at] = hits / np.minimum(np.maximum(n_same[np.maximum(met.source[at], 0)] - 1, 1), K)
    return {"total": np.where(asked & ~unknown, total, 0), "n": asked.astype(np.float32)}


def compared(parts: pl.DataFrame) -> list[dict[str, Any]]:
    """Mean of each way and measure, and its difference from *together*, paired over users or sources."""
    seeds = pl.col("seed").n_unique().over("way")
    units = parts.with_columns(pl.col("total", "n") / seeds).group_by("way", "measure", "unit")
    sums = units.agg(pl.col("total", "n").sum()).filter(pl.col("n") > 0).sort("unit")
    found = []
    for (measure, way), own in sums.group_by("measure", "way", maintain_order=True):
        other = sums.filter(pl.col("measure") == measure, pl.col("way") == TOGETHER)
        both = own.join(other, on="unit", how="inner", validate="1:1", maintain_order="left")
        lead, n = (both["total"] - both["total_right"]).to_numpy(), both["n"].to_numpy()
        rng = np.random.default_rng(1)
        counts = [np.bincount(rng.integers(0, len(n), len(n)), minlength=len(n)) for _ in range(RESAMPLES)]
        low, high = np.quantile([(c @ lead) / (c @ n) for c in counts], [0.025, 0.975])
        facts = {
            "mean": float(own["total"].to_numpy().sum() / own["n"].to_numpy().sum()),
            "lead": lead.sum() / n.sum(),
            "low": low,
            "high": high,
        }
        found.append({"measure": measure, "way": way, "units": both.height, **facts})
    return sorted(found, key=lambda facts: (facts["measure"], -facts["mean"]))


def show(log: str, figures: list[dict[str, Any]]) -> None:
    """Print a table."""
    table = Table("measure", "way", "recall@20", "less than together", "units", title=log)
    for f in figures:
        lead = "" if f["way"] == TOGETHER else f"{f['lead']:+.4f} [{f['low']:+.4f}, {f['high']:+.4f}]"
        table.add_row(f["measure"], f["way"], f"{f['mean']:.4f}", lead, f"{f['units']:,}")
    out.print(table)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("log", nargs="?", default="movielens", help=LOG_HELP)
    parser.add_argument("--windows", type=int, default=3, help="so many before the test window")
    parser.add_argument("--seeds", type=int, default=2, help="of the learners")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    return with_folders(parser).parse_args()


if __name__ == "__main__":
    sys.exit(main())
