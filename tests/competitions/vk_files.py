"""Small files in the form of the VK RecSys Challenge 2024."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

N_USERS, N_ITEMS, N_ROWS = 30, 200, 6_000
KEYS = ("user_id", "item_id")
Change = Callable[[pl.DataFrame], pl.DataFrame]


def log(n_rows: int = N_ROWS, seed: int = 0) -> pl.DataFrame:
    """Rows of few busy users; a like every tenth, a dislike every fiftieth, a few with both."""
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "user_id": rng.integers(0, N_USERS, n_rows, dtype=np.uint32),
            "item_id": rng.integers(0, N_ITEMS, n_rows, dtype=np.uint32),
            "timespent": rng.integers(0, 100, n_rows, dtype=np.uint8),
            **{
                name: rng.random(n_rows) < share
                for name, share in (("like", 0.1), ("dislike", 0.02), ("share", 0.01), ("bookmarks", 0.01))
            },
        }
    )


def users() -> pl.DataFrame:
    return pl.DataFrame(
        {"user_id": range(N_USERS), "gender": [1, 2] * (N_USERS // 2), "age": range(20, 20 + N_USERS)},
        schema={"user_id": pl.UInt32, "gender": pl.UInt8, "age": pl.UInt8},
    )


def items() -> pl.DataFrame:
    vectors = np.random.default_rng(1).standard_normal((N_ITEMS, 32)).astype(np.float32)
    return pl.DataFrame(
        {
            "item_id": pl.Series(range(N_ITEMS), dtype=pl.UInt32),
            "source_id": pl.Series([i % 20 for i in range(N_ITEMS)], dtype=pl.UInt32),
            "duration": pl.Series([5 + i % 60 for i in range(N_ITEMS)], dtype=pl.UInt8),
            "embeddings": pl.Series(vectors.tolist(), dtype=pl.List(pl.Float32)),
        }
    )


def pairs() -> pl.DataFrame:
    """Twenty pairs of each of ten users, in no order."""
    every = [(user, (user * 7 + i) % N_ITEMS) for user in range(0, N_USERS, 3) for i in range(20)]
    table = pl.DataFrame(every, schema=dict.fromkeys(KEYS, pl.UInt32), orient="row")
    return table.sample(fraction=1, shuffle=True, seed=2)


def solution() -> pl.DataFrame:
    """Outcomes and true probabilities of the pairs, in another order than theirs."""
    n = pairs().height
    rng = np.random.default_rng(3)
    truth = {"p_like": rng.random(n) / 2, "p_dislike": rng.random(n) / 10}
    outcomes = log(n, seed=4).drop(KEYS)
    return pairs().sort(KEYS).hstack(outcomes).with_columns(**{k: pl.Series(v) for k, v in truth.items()})


def write(folder: Path) -> Path:
    """Write the files into a new folder and return it."""
    folder.mkdir()
    log().write_parquet(folder / "train_interactions.parquet")
    users().write_parquet(folder / "users_meta.parquet")
    items().write_parquet(folder / "items_meta.parquet")
    pairs().write_csv(folder / "test_pairs.csv")
    return folder


def altered(folder: Path, name: str, change: Change) -> None:
    """Write a file anew with something changed."""
    path = folder / name
    if path.suffix == ".csv":
        change(pl.read_csv(path)).write_csv(path)
    else:
        change(pl.read_parquet(path)).write_parquet(path)
