"""What do windows of a streamed learner cost? ``python -m benchmarks.streamed`` (3 million simulated rows).

    python -m benchmarks.streamed --learner net       # user and item embeddings by gradient steps, below
    python -m benchmarks.streamed --learner taste --data DIR   # any registered learner; --variant: which

For the planned windows, in one thread, processor seconds (medians of rounds in turns; the pairs are read before) of:

- *one pass*: learning all rows before the last cutoff, chunk by chunk, as they are read;
- *streamed*: the columns of all windows into a store that has the data set and the pairs only: checkpoints and all;
- *a fit a window*: the same learner for each window from the first row, looked at, nothing stored.

Wanted: at most 1.3 passes, and 0.45 of the fits. Fails if a value of the one differs from that of the other.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from benchmarks._cached import simulated, with_folders
from benchmarks._figures import keep
from competitions import Dataset, open_dataset
from engine import Settings, Store, capped_threads, load_settings, out
from features import (
    Catalogue,
    FeatureError,
    Registry,
    StreamContext,
    Window,
    bind_catalogue,
    compute_features,
    load_registry,
    open_features,
    streamed,
)
from features._aggregation import RowsByPosition
from features._catalogue import FeatureColumn, PythonBody
from features._compute import as_frame, checked, columns_read, rows_before, shown
from features._storage import SEED, read_pairs
from validation import plan_folds

MOST_PASSES, MOST_OF_FITS = 1.3, 0.45
NET = Registry()
Look = Callable[[Any], pl.DataFrame]


@streamed(columns={"net": pl.Float32}, needs=["user_id", "item_id", "relevance"], step=50_000, registry=NET)
class Net:
    """Chance of a like by the product of a user's and an item's vector, one gradient step a batch; 0.5 if unknown."""

    def __init__(self, size: int = 32, batch: int = 500, rate: float = 0.05) -> None:
        self.size, self.batch, self.rate = size, batch, rate

    def start(self, context: StreamContext) -> None:
        """Begin without users and items."""
        self.seed = context.seed
        self.tables = [torch.zeros(0, self.size + 1) for _ in range(2)]

    def learn(self, rows: pl.DataFrame) -> None:
        """Take one step of stochastic gradient descent a batch of the chunk."""
        ids = [torch.from_numpy(rows[name].to_numpy().astype(np.int64)) for name in ("user_id", "item_id")]
        labels = torch.from_numpy((rows["relevance"] > 0).to_numpy().astype(np.float32))
        for number, of in enumerate(ids):
            self._grow(number, int(of.max()) + 1)
        for begin in range(0, rows.height, self.batch):
            users, items = (of[begin : begin + self.batch] for of in ids)
            u, v = self.tables[0][users], self.tables[1][items]
            error = torch.sigmoid(logits(u, v)) - labels[begin : begin + self.batch]
            ones = torch.ones(len(users), 1)
            step = -self.rate * error[:, None]
            self.tables[0].index_add_(0, users, step * torch.cat([v[:, :-1], ones], 1))
            self.tables[1].index_add_(0, items, step * torch.cat([u[:, :-1], ones], 1))

    def transform(self, pairs: pl.DataFrame) -> dict[str, npt.NDArray[np.float32]]:
        """Give the chance of a like."""
        found = []
        for table, name in zip(self.tables, ("user_id", "item_id"), strict=True):
            ids = torch.from_numpy(pairs[name].to_numpy().astype(np.int64))
            known = torch.cat([table, torch.zeros(1, self.size + 1)])
            found.append(known[ids.clamp(max=len(table))])
        return {"net": torch.sigmoid(logits(*found)).numpy()}

    def save(self, folder: Path) -> None:
        """Write both tables."""
        for number, table in enumerate(self.tables):
            np.save(folder / f"{number}.npy", table.numpy())

    def load(self, folder: Path) -> None:
        """Read both tables."""
        self.tables = [torch.from_numpy(np.load(folder / f"{number}.npy")) for number in range(2)]

    def _grow(self, number: int, height: int) -> None:
        """Double a table until it has so many rows; where a row begins depends on its number and the seed alone."""
        table = self.tables[number]
        if height <= len(table):
            return
        capacity = 1 << (height - 1).bit_length()
        fresh = torch.empty(capacity, self.size + 1)
        fresh.normal_(std=0.1, generator=torch.Generator().manual_seed(self.seed + number))
        fresh[:, -1] = 0
        fresh[: len(table)] = table
        self.tables[number] = fresh


def logits(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Row by row: the product of the vectors, and both biases."""
    return (u[:, :-1] * v[:, :-1]).sum(1) + u[:, -1] + v[:, -1]


def main() -> int:
    """Measure, print, keep the figures; exit code 1 if a value is wrong."""
    asked = arguments()
    data = asked.data or simulated(asked.cache / "data", asked.rows)
    with tempfile.TemporaryDirectory(dir=asked.scratch) as temporary:
        own = {"competition": asked.competition, "data": str(data.resolve()), "store": f"{temporary}/store",
               "threads": 1, "backend": "inline"}  # fmt: skip
        overrides = [f"{name}={json.dumps(value)}" for name, value in own.items()] + asked.overrides
        figures = measured(load_settings(overrides=overrides), asked.learner, asked.variant, asked.repeats)
    out.print("\n".join(in_words(figures)), highlight=False)
    keep(f"streamed_{asked.learner}", figures, asked.out)
    return 1 if figures["n_differing"] else 0


def measured(settings: Settings, learner: str, variant: str, repeats: int = 1) -> dict[str, Any]:
    """Measure the three ways in turns; ``n_differing``: values of the windows that are not the same."""
    dataset = open_dataset(settings)
    catalogue = bind_catalogue(dataset, NET if learner == "net" else load_registry())
    columns = columns_of(catalogue, learner, variant)
    windows = plan_folds(dataset, settings.folds).windows
    names, store = [column.name for column in columns], Store(settings.store)
    pairs = {window: shown(dataset, window, read_pairs(catalogue, window, store)) for window in windows}
    last = rows_before(dataset, windows[-1].cutoff)
    fits: dict[Window, pl.DataFrame] = {}
    ways: dict[str, Callable[[], object]] = {
        "one pass": lambda: learned(dataset, columns[0], last),
        "streamed": lambda: compute_features(catalogue, windows, names, store, settings),
        "a fit a window": lambda: fits.update((w, fit(dataset, columns, w, pairs[w])) for w in windows),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with capped_threads(1):
        learned(dataset, columns[0], min(last, 2 * step_of(columns[0])))  # libraries are loaded
        for _ in range(repeats):
            store.prune(kinds=["feature", "checkpoint"], is_dry_run=False)
            for name, run in ways.items():
                before = time.process_time()
                run()
                seconds[name].append(time.process_time() - before)
    found = open_features(catalogue, windows, names, store)
    fresh = pl.concat(fits.values())
    return {
        "learner": f"{learner} {variant}".strip(),
        "rows": last,
        "step": step_of(columns[0]),
        "windows": len(windows),
        "logs": sum(rows_before(dataset, window.cutoff) for window in windows) / last,
        "pairs": fresh.height,
        "seconds": {name: median(own) for name, own in seconds.items()},
        "rounds": seconds,
        "checkpoints_mib": sum(s.n_bytes for s in store.size() if s.kind == "checkpoint") / 2**20,
        "n_differing": sum(int(found.read(n).ne_missing(fresh[n]).sum()) for n in names),
    }


def columns_of(catalogue: Catalogue, learner: str, variant: str) -> list[FeatureColumn]:
    """The columns of a learner, of its first variant unless one is named."""
    own = [c for c in catalogue.columns.values() if c.kind == "streamed" and c.declaration.name == learner]
    variants = list(dict.fromkeys(variant_of(column) for column in own))
    if not variants or (variant and variant not in variants):
        raise FeatureError(f"There is no streamed learner {learner!r} here with the variant {variant!r}.")
    return [column for column in own if variant_of(column) == (variant or variants[0])]


def variant_of(column: FeatureColumn) -> str:
    """The variant that a column is of."""
    return column.body.variant if isinstance(column.body, PythonBody) else ""


def step_of(column: FeatureColumn) -> int:
    """Rows of a chunk."""
    step: int = column.declaration.options["step"]
    return step


def learned(
    dataset: Dataset, column: FeatureColumn, end: int, look: Look | None = None, refine: int = 0
) -> Any:
    """Let a new instance learn the log's first rows by chunks, and sweep over them; give what ``look`` makes of it."""
    rows, step = RowsByPosition(dataset, columns_read(dataset, column)), step_of(column)
    arguments = column.body.arguments if isinstance(column.body, PythonBody) else None
    chunks = [(begin, min(begin + step, end)) for begin in range(0, end, step)]
    with tempfile.TemporaryDirectory() as scratch:
        model = column.declaration.body(**(arguments or {}))
        model.start(StreamContext(SEED, Path(scratch)))
        for begin, until in chunks:
            model.learn(rows.read(begin, until))
        for _ in range(refine):
            model.sweep(rows.read(begin, until) for begin, until in chunks)
        return look(model) if look else None


def fit(
    dataset: Dataset, columns: Sequence[FeatureColumn], window: Window, pairs: pl.DataFrame
) -> pl.DataFrame:
    """Give the columns of a window's pairs from a learner that has learned its history and nothing else."""
    refine, end = columns[0].declaration.options["refine"], rows_before(dataset, window.cutoff)

    def look(model: Any) -> pl.DataFrame:
        return checked(as_frame(columns[0], model.transform(pairs), pairs["pair_id"]), columns, pairs)

    found: pl.DataFrame = learned(dataset, columns[0], end, look, refine)
    return found


def in_words(figures: dict[str, Any]) -> list[str]:
    """One line each of what was measured and of what is wanted."""
    seconds = figures["seconds"]
    passes, of_fits = (seconds["streamed"] / seconds[name] for name in ("one pass", "a fit a window"))
    sizes = f"{figures['logs']:.2f} logs, {figures['pairs']:,} pairs, {figures['checkpoints_mib']:.0f} MiB of states"
    return [
        f"{figures['learner']}: {figures['rows']:,} rows by {figures['step']:,}, {figures['windows']} windows: {sizes}",
        ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items()),
        f"streamed / one pass: {passes:.2f} (at most {MOST_PASSES}: {'kept' if passes <= MOST_PASSES else 'MISSED'})",
        f"streamed / a fit a window: {of_fits:.2f} "
        f"(at most {MOST_OF_FITS}: {'kept' if of_fits <= MOST_OF_FITS else 'MISSED'})",
        f"{figures['n_differing']} values differ" if figures["n_differing"] else "All values agree.",
    ]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--learner", default="net", help="a registered one, or net")
    parser.add_argument("--variant", default="", help="of the learner; default: its first")
    parser.add_argument("--competition", default="vk2024")
    parser.add_argument("--data", type=Path, help="folder of the competition's files")
    parser.add_argument("--rows", type=int, default=3_000_000, help="simulated rows, without --data")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    return with_folders(parser).parse_args()


if __name__ == "__main__":
    sys.exit(main())
