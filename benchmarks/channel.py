"""How many pairs a second does the channel net search? ``python -m benchmarks.channel`` (10,000 users, 50,000 items).

The best 100 fresh items of each user, of all pairs, by ``features/toolkit/search.py``; of some users compared with
brute force: all scores, sorted by score and then by the items' order. Wanted: 10 M pairs a second of CPU time (what
else the machine does is in wall time), and the same items.

``--tables USERS ITEMS`` also trains a net with so many users and items in chunks of the log, searches in it, and says
what memory the process took at most. Wanted for 1 M users and 10 M items: 2 GiB.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from benchmarks._figures import keep
from engine import out
from features import LogColumns, StreamContext
from features.channel import BEST, FRESH, HIDDEN, Channel
from features.toolkit import Floats, hidden_scores, highest_scores

WANTED, MOST_GIB = 10e6, 2.0
PER_SOURCE, STEP = 100, 100_000
COLUMNS = LogColumns("user_id", "item_id", "source_id", (), (), None, None, (), ())


def peak_gib() -> float:
    """Most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def drawn(n_users: int, n_items: int) -> tuple[Floats, Floats, Floats]:
    """Hidden units of users and items, and their weights."""
    rng = np.random.default_rng(1)
    users, items, weights = (
        rng.standard_normal(shape, dtype=np.float32)
        for shape in ((n_users, HIDDEN), (n_items, HIDDEN), HIDDEN)
    )
    return users, items, weights


def searched(n_users: int, n_items: int, threads: int, n_compared: int) -> dict[str, object]:
    """Pairs a second, the users split between threads; and whether some users' items are those of brute force."""
    users, items, weights = drawn(n_users, n_items)
    torch.set_num_threads(1)
    began, used = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        shares = [
            pool.submit(highest_scores, some, items, weights, BEST) for some in np.array_split(users, threads)
        ]
        places = np.concatenate([share.result()[0] for share in shares])
    seconds, used = time.perf_counter() - began, time.process_time() - used
    same = True
    for user in np.linspace(0, n_users - 1, n_compared).astype(np.int64):
        scores = hidden_scores(*(torch.from_numpy(x) for x in (users[user], items, weights))).numpy()
        same &= np.array_equal(places[user], np.argsort(-scores, kind="stable")[:BEST])
    return {
        "threads": threads,
        "seconds": seconds,
        "pairs a second": n_users * n_items / seconds,
        "pairs a CPU second": n_users * n_items / used,
        "same": same,
    }


def trained(n_users: int, n_items: int, folder: Path) -> dict[str, object]:
    """Train on a row of every item, users in turns, score the last chunk, and search for 1,000 users."""
    model: Any = Channel(COLUMNS)
    model.start(StreamContext(1, folder))
    began = time.perf_counter()
    rng = np.random.default_rng(2)
    for first in range(0, n_items, STEP):
        item = np.arange(first, min(first + STEP, n_items))
        rows = {"user_id": item % n_users, "item_id": item, "source_id": item // PER_SOURCE}
        model.learn(pl.DataFrame(rows | {"relevance": rng.integers(0, 2, len(item))}))
    learning = time.perf_counter() - began
    model.transform(pl.DataFrame(rows))
    found = model.best_fresh(pl.Series(np.arange(1000)))
    return {"users": n_users, "items": n_items, "rows a second": n_items / learning, "found": found.height,
            "peak GiB": peak_gib()}  # fmt: skip


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--items", type=int, default=FRESH)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--compared", type=int, default=100, help="users that brute force is run for")
    parser.add_argument("--tables", type=int, nargs=2, metavar=("USERS", "ITEMS"))
    parser.add_argument("--scratch", type=Path, help="folder for tables that outgrow memory")
    asked = parser.parse_args()
    figures: dict[str, object] = {}
    peak = 0.0
    if asked.tables:
        with tempfile.TemporaryDirectory(dir=asked.scratch) as folder:
            figures["tables"] = trained(asked.tables[0], asked.tables[1], Path(folder))
            out.print(figures["tables"])
            peak = peak_gib()
    found = [searched(asked.users, asked.items, threads, asked.compared) for threads in asked.threads]
    for one in found:
        out.print(one)
    keep("channel", figures | {"search": found, "users": asked.users, "items": asked.items})
    fast = all(float(str(one["pairs a CPU second"])) >= WANTED for one in found)
    small = not asked.tables or peak <= MOST_GIB
    raise SystemExit(0 if fast and small and all(one["same"] for one in found) else 1)


if __name__ == "__main__":
    main()
