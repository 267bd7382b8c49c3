"""Where do the seconds of a net's training go? ``python -m benchmarks.net_steps`` (100,000 pairs, 150 numbers).

Fits each kind of net on random pairs with random histories, in one thread, under Python's profiler, and prints of the
seconds of its epochs the shares of: drawing batches, reading their rows (ids, numbers, histories), the net and its loss
forward, gradients backward, and moving parameters. What is drawn and read is what could be prepared while the step
before runs.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.table import Table

from benchmarks._figures import keep
from engine import out
from models import FitContext, PairFrame, build_models

SHOWN, LENGTH = 20, 20  # pairs of a user, rows of a history
KINDS = ("channel_net", "sequence_net", "two_towers", "interact_rank")
EPOCH = ("models/ranking/training.py", "_train_epoch")
READ_AT_ONCE = [("models/ranking/sequences.py", "inputs_of"), ("models/ranking/tower_inputs.py", "inputs")]
PARTS = {
    "drawn": [("models/ranking/losses.py", "_batch")],
    "read": [("engine/nets/rows.py", "<lambda>")],
    "backward": [("torch/_tensor.py", "backward")],
    "moved": [("engine/nets/training.py", "__call__")],  # with what is backward, which is taken off
}


def main(words: Sequence[str] | None = None) -> int:
    """Fit, print and keep the shares. ``words``: of the command line; None = the program's own."""
    asked = arguments(words)
    frame = random_pairs(asked.users, asked.numbers)
    rows = {kind: shares(kind, frame, asked.threads) for kind in asked.kinds}
    table = Table(
        "net", "epochs, s", *(f"{name}, %" for name in ("drawn", "read", "forward", "backward", "moved"))
    )
    for kind, row in rows.items():
        table.add_row(kind, f"{row['seconds']:.1f}", *(f"{100 * x:.1f}" for x in list(row.values())[1:]))
    out.print(table)
    keep("net_steps", rows, asked.out)
    return 0


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kinds", nargs="*", default=KINDS, metavar="KIND")
    for name, number in {"users": 5_000, "numbers": 150, "threads": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--out", type=Path, help="file of the figures")
    return parser.parse_args(words)


def random_pairs(n_users: int, n_numbers: int) -> PairFrame:
    """Pairs of one window whose numbers and histories are drawn; every seventh number tells something."""
    rng, n = np.random.default_rng(1), n_users * SHOWN
    relevance = rng.choice([-1, 0, 0, 0, 1], n).astype(np.int8)
    ids = {"item_id": 20_000, "source_id": 1_000}
    columns: dict[str, Any] = {
        "pair_id": np.arange(n, dtype=np.uint32),
        "window": np.zeros(n, dtype=np.int64),
        "user_id": (np.arange(n) // SHOWN).astype(np.uint32),
        "relevance": relevance,
        **{name: rng.integers(0, most, n).astype(np.uint32) for name, most in ids.items()},
    }
    numbers = [rng.normal(size=n) + (i % 7 == 0) * 0.3 * relevance for i in range(n_numbers)]
    columns |= {f"f{i:03}": values.astype(np.float32) for i, values in enumerate(numbers)}
    past: dict[str, tuple[int, Any]] = {
        "last_items": (20_000, pl.UInt32),
        "last_sources": (1_000, pl.UInt32),
        "last_relevances": (2, pl.Int8),
    }
    past |= {"last_actions": (8, pl.UInt8), "last_gaps": (100_000, pl.Float32)}
    for name, (most, dtype) in past.items():
        of_user = rng.integers(0, most, (n_users, LENGTH)).repeat(SHOWN, axis=0)
        columns[f"{name}__user_id"] = pl.Series(of_user).cast(pl.Array(dtype, LENGTH))
    features = tuple(name for name in columns if name.startswith(("f", "last_")))
    return PairFrame(pl.DataFrame(columns), features, "user_id", "item_id", "source_id")


def shares(kind: str, frame: PairFrame, threads: int) -> dict[str, float]:
    """Seconds of two epochs, and the share of each part."""
    table: dict[str, Any] = {"kind": kind, "epochs": 2, "holdout": 0.0, "seeds": 1, "time_budget": 3600.0}
    profile = cProfile.Profile()
    profile.runcall(build_models({kind: table})[kind].fit, frame, FitContext(seed=1, threads=threads))
    # Of each function: file, line, name -> calls, calls that are no recursion, own seconds, all seconds, callers.
    spent: dict[Any, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]

    def of(wanted: Sequence[tuple[str, str]]) -> float:
        return sum(
            float(facts[3])
            for (file, _, name), facts in spent.items()
            if any(file.endswith(end) and name == own for end, own in wanted)
        )

    epochs = of([EPOCH])
    found = {name: of(functions) / epochs for name, functions in PARTS.items()}
    found["read"] = of(READ_AT_ONCE) / epochs or found["read"]
    found["moved"] -= found["backward"]
    forward = 1 - sum(found.values())
    return {"seconds": epochs, "drawn": found["drawn"], "read": found["read"], "forward": forward,
            "backward": found["backward"], "moved": found["moved"]}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
