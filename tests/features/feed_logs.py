"""Small logs of clips with content vectors, some unknown or not finite, and every pair of a user and an item."""

from __future__ import annotations

import numpy as np
import polars as pl

from features import Window

WINDOW = Window(cutoff=400, start=400, until=500)
N_ITEMS, N_DIMENSIONS = 40, 4
CONTENT = pl.Array(pl.Float32, N_DIMENSIONS)


def items(seed: int = 1) -> pl.DataFrame:
    """Clips 100 to 139: two without a vector, one with NaN, one of zeros, two alike."""
    vectors = np.random.default_rng(seed).normal(size=(N_ITEMS, N_DIMENSIONS)).round(3).tolist()
    vectors[3] = vectors[4] = None
    vectors[5] = [1.0, float("nan"), 0.0, 0.0]
    vectors[6] = [0.0] * N_DIMENSIONS
    vectors[7] = vectors[8]
    return pl.DataFrame(
        {
            "item_id": range(100, 100 + N_ITEMS),
            "source_id": [n % 6 for n in range(N_ITEMS)],
            "content": vectors,
        },
        schema={"item_id": pl.UInt32, "source_id": pl.UInt32, "content": CONTENT},
    )


def log_of(n_rows: int, seed: int = 4) -> pl.DataFrame:
    """A log in the order of its clock of which the last five clips are not shown."""
    rng = np.random.default_rng(seed)
    rows = pl.DataFrame(
        {
            "row": np.arange(n_rows, dtype=np.uint32),
            "clock": np.sort(rng.integers(0, 390, n_rows)),
            "user_id": (rng.geometric(0.2, n_rows) * 5).astype(np.uint32),
            "item_id": rng.integers(100, 100 + N_ITEMS - 5, n_rows).astype(np.uint32),
            "like": rng.random(n_rows) < 0.4,
            "dislike": rng.random(n_rows) < 0.2,
            "timespent": rng.integers(0, 30, n_rows).astype(np.uint16),
            "duration": rng.integers(10, 25, n_rows).astype(np.uint16),
        }
    )
    return rows.join(items(), on="item_id", how="left", maintain_order="left")


def pairs_of(log: pl.DataFrame) -> pl.DataFrame:
    """Every user with every clip, and a user that the log does not have."""
    known = log["user_id"].drop_nulls().unique().sort()
    users = pl.DataFrame({"user_id": [*known, 9999]}, schema={"user_id": pl.UInt32})
    return users.join(items(), how="cross").with_row_index("pair_id")


def warm(log: pl.DataFrame) -> pl.DataFrame:
    """Rows whose share watched is known, in order, with ``share`` and ``warmth``: item means are shrunk by 5 rows."""
    share = (pl.col("timespent") / pl.col("duration")).clip(upper_bound=1.0)
    rows = log.drop_nulls("user_id").filter(pl.col("duration") > 0).sort("clock", "row")
    rows = rows.with_columns(share=share).with_columns(
        rest=pl.col("share") - pl.col("share").mean().over("user_id")
    )
    of_item = pl.col("rest").sum().over("item_id") / (pl.len().over("item_id") + 5)
    opinion = pl.col("like").fill_null(value=False).cast(pl.Int8) - pl.col("dislike").cast(pl.Int8)
    return rows.with_columns(warmth=pl.col("rest") - of_item + opinion)
