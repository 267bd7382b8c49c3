"""A feed of clips in which users have tastes of low rank, as tables of the vk2024 competition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from features import Window
from tests.features.fitting import fitted_on, values_of

N_USERS, N_ITEMS, N_SOURCES = 60, 40, 12
DTYPES: dict[str, type[pl.DataType]] = {
    "row": pl.UInt32, "user_id": pl.UInt32, "item_id": pl.UInt32, "source_id": pl.UInt32,
    "timespent": pl.UInt16, "duration": pl.UInt16, "rating": pl.UInt8, "relevance": pl.Int8,
}  # fmt: skip
WINDOW = Window(cutoff=10**6, start=10**6, until=2 * 10**6)


@dataclass(frozen=True)
class Feed:
    """``log``: the history with attributes, in order. ``liking`` (n_users, n_sources): what the log follows from."""

    log: pl.DataFrame
    liking: npt.NDArray[np.float64]

    def pairs(self) -> pl.DataFrame:
        """Every user with every item, and keys that the log does not have (user 999, item 9999 of source 99)."""
        users = pl.DataFrame({"user_id": [*range(N_USERS), 999]}, schema={"user_id": pl.UInt32})
        items = pl.DataFrame(
            {
                "item_id": [*range(N_ITEMS), 9999],
                "source_id": [*(i % N_SOURCES for i in range(N_ITEMS)), 99],
            },
            schema={"item_id": pl.UInt32, "source_id": pl.UInt32},
        )
        return users.join(items, how="cross").with_row_index("pair_id")


def feed(n_rows: int = 6000, seed: int = 1) -> Feed:
    """Draw a feed: two camps of users and of sources, each user liking their camp's sources, all shown at random."""
    rng = np.random.default_rng(seed)
    camp_of_user, camp_of_source = np.arange(N_USERS) % 2, np.arange(N_SOURCES) % 2
    liking = np.where(camp_of_user[:, None] == camp_of_source, 1.0, -1.0)
    user, item = rng.integers(0, N_USERS, n_rows), rng.integers(0, N_ITEMS, n_rows)
    liked = liking[user, item % N_SOURCES] + 0.5 * rng.normal(size=n_rows)
    columns: dict[str, Any] = {
        "row": np.arange(n_rows),
        "clock": np.arange(n_rows),
        "user_id": user,
        "item_id": item,
        "source_id": item % N_SOURCES,
        "timespent": np.clip(np.round(15 + 8 * liked), 0, 40),
        "duration": np.full(n_rows, 20),
        "like": liked > 1,
        "dislike": liked < -1.5,
        "share": liked > 2,
        "bookmarks": liked > 2.2,
        "relevance": (liked > 1).astype(np.int8) - (liked < -1.5),
        "rating": np.clip(np.round(3 + liked), 1, 5),
    }
    log = pl.DataFrame(columns).with_columns(pl.col(name).cast(dtype) for name, dtype in DTYPES.items())
    return Feed(log, liking)


def transformed(model: Any, log: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """Fit on the log and score the pairs."""
    return values_of(fitted_on(model, log, WINDOW), pairs)


def recovers(values: pl.DataFrame, column: str, planted: Feed) -> float:
    """Share of (user, two sources that they like and dislike) that a column puts in the right order; keys known."""
    scored = (
        planted.pairs()
        .hstack(values.select(column))
        .filter(pl.col("user_id") < 999, pl.col("item_id") < 9999)
    )
    truth = planted.liking[scored["user_id"], scored["source_id"]]
    scored = scored.with_columns(pl.Series("truth", truth))
    liked, disliked = scored.filter(pl.col("truth") > 0), scored.filter(pl.col("truth") < 0)
    both = liked.join(disliked, on="user_id")
    right: Any = (both[column] > both[f"{column}_right"]).mean()
    return float(right)


def assert_alone_and_unseen(model: Any, planted: Feed, columns: list[str]) -> None:
    """One pair alone and any order give the same bits; unseen keys are null; histories of nothing are all null."""
    pairs = planted.pairs()
    values = transformed(model, planted.log, pairs)
    for row in (0, 17, pairs.height - 1):
        assert values_of(model, pairs[row : row + 1]).equals(values[row : row + 1])
    shuffled = pairs.sample(fraction=1.0, shuffle=True, seed=3)
    assert values_of(model, shuffled).sort("pair_id").equals(values)
    assert transformed(model, planted.log, pairs).equals(values)
    unseen = (pairs["user_id"] == 999) | (pairs["item_id"] == 9999)
    assert all(values[name].is_null().equals(unseen, check_names=False) for name in columns)
    nothing = transformed(model, planted.log.head(0), pairs)
    assert all(nothing[name].null_count() == pairs.height for name in columns)
    one_user = planted.log.filter(pl.col("user_id") == 3)
    one_class = planted.log.with_columns(
        pl.lit(7).cast(pl.UInt16).alias("timespent"), pl.lit(3).cast(pl.UInt8).alias("rating"),
        *(pl.lit(False).alias(name) for name in ("like", "share", "bookmarks", "dislike")),
        pl.lit(0).cast(pl.Int8).alias("relevance"),
    )  # fmt: skip
    for few in (one_user, one_class, planted.log.head(1)):
        assert transformed(model, few, pairs).height == pairs.height
    assert values_of(model, pairs.head(0)).height == 0
