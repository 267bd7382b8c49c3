"""How much memory a fit takes beside its matrix: ``python -m benchmarks.training_memory``.

Writes random features as one Parquet file a column, as the store keeps them, and fits each model in a process of its
own, once with features read from there one at a time and once with a frame that holds them all. The unit is the matrix:
pairs x features x 4 bytes. What a process has before it reads anything (libraries) is subtracted.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
from rich.table import Table

from engine import out
from models import FitContext, PairFrame, StoredColumns, build_models

MODELS: dict[str, dict[str, Any]] = {"catboost": {"iterations": 10}, "channel_net": {"epochs": 1}}
SHOWN = 20  # pairs of a user
MIB = 2**20


def main() -> None:
    """Measure and print; ``--json FILE`` also writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=150)
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--one", nargs=3, metavar=("MODEL", "HOW", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(*arguments.one)))
        return
    with TemporaryDirectory() as folder:
        write_pairs(Path(folder), arguments.pairs, arguments.features)
        figures = [run_one(model, how, folder) for model in MODELS for how in ("held", "stored")]
    matrix = 4 * arguments.pairs * arguments.features / MIB
    table = Table("model", "features", "peak MiB", "of the matrix", header_style="dim")
    for f in figures:
        table.add_row(f["model"], f["how"], f"{f['peak_mib']:.0f}", f"{f['peak_mib'] / matrix:.2f}")
    out.print(table)
    out.print(f"{arguments.pairs} pairs x {arguments.features} features: a matrix of {matrix:.0f} MiB.")
    if arguments.json:
        arguments.json.write_text(json.dumps({"matrix_mib": matrix, "fits": figures}, indent=1))


def run_one(model: str, how: str, folder: str) -> dict[str, Any]:
    """Measure one fit in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.training_memory", "--one", model, how, folder]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {"model": model, "how": how, **found}


def write_pairs(folder: Path, n_pairs: int, n_features: int) -> None:
    """Write keys and labels, and features of which every seventh tells something."""
    rng = np.random.default_rng(1)
    relevance = rng.choice([-1, 0, 0, 0, 1], n_pairs)
    keys = {
        "pair_id": np.arange(n_pairs, dtype=np.uint32),
        "window": np.zeros(n_pairs, dtype=np.int64),
        "user_id": (np.arange(n_pairs) // SHOWN).astype(np.uint32),
        "item_id": rng.integers(0, 20_000, n_pairs).astype(np.uint32),
        "source_id": rng.integers(0, 1_000, n_pairs).astype(np.uint32),
        "relevance": relevance.astype(np.int8),
    }
    pl.DataFrame(keys).write_parquet(folder / "keys.parquet")
    (folder / "columns").mkdir()
    for i in range(n_features):
        values = rng.normal(size=n_pairs) + (i % 7 == 0) * 0.3 * relevance
        table = pl.DataFrame({"value": values.astype(np.float32), "is_known": rng.random(n_pairs) > 0.02})
        known = table.select(pl.when("is_known").then("value"))
        known.write_parquet(folder / "columns" / f"f{i:03}.parquet")


def measure(model: str, how: str, folder: str) -> dict[str, float]:
    """Fit one model; MiB that the process had at most, less what it had before it read anything."""
    before = _peak()
    files = sorted((Path(folder) / "columns").iterdir())
    table, names = pl.read_parquet(Path(folder) / "keys.parquet"), tuple(f.stem for f in files)

    def read(name: str) -> pl.Series:
        return pl.read_parquet(Path(folder) / "columns" / f"{name}.parquet", memory_map=False)["value"]

    rows = pl.int_range(table.height, dtype=pl.UInt32, eager=True)
    stored = StoredColumns(dict.fromkeys(names, pl.Float32()), read, rows)
    frame = PairFrame(table, names, "user_id", "item_id", "source_id", stored)
    if how == "held":
        frame = PairFrame(table.hstack(frame.columns(names)), names, "user_id", "item_id", "source_id")
    context = FitContext(seed=1, scratch=Path(folder) if how == "stored" else None)
    build_models({model: MODELS[model]})[model].fit(frame, context)
    return {"peak_mib": _peak() - before, "before_mib": before}


def _peak() -> float:
    """Most resident memory of this process so far, in MiB (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
