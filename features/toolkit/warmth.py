"""How warmly users took what they were shown: clips watched longer than usual, likes and dislikes in one number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from features._declare import Log
from features.toolkit.expressions import share_watched
from features.toolkit.lists import Rows, rows_of
from features.toolkit.positions import Codes, Values, places

WARMTH_COLUMNS = ("user_id", "item_id", "timespent", "duration", "like", "dislike")
STRENGTH = 5.0  # rows that halve what the item differs by
OPINION = 1.0  # a like adds as much as a whole clip watched, a dislike takes as much


@dataclass(frozen=True)
class WarmRows:
    """Rows with a known share of the clip watched, by user, clock and row; all arrays are (n_rows,).

    ``share`` is that share, at most 1; ``is_liked`` and ``is_disliked`` are false where it is not known; ``warmth`` is
    the sum of what ``warmth_of`` gives and of ``OPINION`` for a like, less that for a dislike.
    """

    rows: Rows
    share: npt.NDArray[np.float32]
    is_liked: npt.NDArray[np.bool_]
    is_disliked: npt.NDArray[np.bool_]
    warmth: Values


def warm_rows(history: pl.LazyFrame, entity: str, *, most: int = 8_000_000) -> WarmRows:
    """Read the newest rows, at most ``most``, whose share watched is known: 30 bytes each, twice while sorted.

    The history has to have ``WARMTH_COLUMNS`` and the entity.
    """
    share = share_watched(Log(history.collect_schema())).cast(pl.Float32)
    opinions = [pl.col(name).fill_null(value=False) for name in ("like", "dislike")]
    names = dict.fromkeys(("user_id", "item_id", entity, "clock", "row"))
    read = history.select(*names, *opinions, share=share).drop_nulls().tail(most)
    frame = read.collect(engine="streaming").sort("user_id", "clock", "row")
    rows = rows_of(frame, entity)
    item = rows.entity if entity == "item_id" else places(frame["item_id"], frame["item_id"].unique().sort())
    shares = frame["share"].to_numpy()
    is_liked, is_disliked = frame["like"].to_numpy(), frame["dislike"].to_numpy()
    del frame
    warmth = warmth_of(rows.user, item, shares)
    warmth += OPINION * is_liked
    warmth -= OPINION * is_disliked
    return WarmRows(rows, shares, is_liked, is_disliked, warmth)


def warmth_of(user: Codes, item: Codes, share: npt.NDArray[np.float32]) -> Values:
    """Share watched less the user's mean, less the mean of what that leaves of the item, shrunk by ``STRENGTH`` rows.

    All are (n_rows,). Sums run over the rows in their order, so that they are the same however they are read.

    >>> warmth_of(np.array([0, 0]), np.array([0, 1]), np.array([1.0, 0.5])).round(4).tolist()
    [0.2083, -0.2083]
    """
    rest: Values = share.astype(np.float64)
    rest -= _means(user, rest, 0.0)[user]
    rest -= _means(item, rest, STRENGTH)[item]
    return rest


def _means(key: Codes, values: Values, strength: float) -> Values:
    means: Values = np.bincount(key, values) / np.maximum(np.bincount(key) + strength, 1.0)
    return means
