"""What of a log says that a user liked something, and what is left of it beside users, items and durations.

No features of its own: the latent families read the log through it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.sparse import csr_matrix

from features.factors import places

Values = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int32]

MAX_ROWS = 12_000_000  # the newest with the signal: about 90 bytes each at the peak
STRENGTH = 5.0  # rows that halve the offset of a user or an item
STRENGTH_OF_GROUP = 20.0
ROUNDS = 4


@dataclass(frozen=True)
class Signal:
    """A number a row, the columns it reads, and a column whose values have a level of their own (empty: none)."""

    value: pl.Expr
    reads: tuple[str, ...]
    level: str = ""


def _odds_of_watching() -> pl.Expr:
    """Log-odds of the share watched of twice the clip: clips repeat, and a share alone piles up at its ends."""
    seconds = pl.col("duration").cast(pl.Float64)
    most = 2 * seconds + 1
    watched = pl.min_horizontal(pl.col("timespent").cast(pl.Float64), 2 * seconds) + 0.5
    return pl.when(seconds > 0).then((watched / (most - watched)).log())


def _approval() -> pl.Expr:
    likes = pl.col("like") | pl.col("share") | pl.col("bookmarks")
    return likes.cast(pl.Float64) - pl.col("dislike").cast(pl.Float64)


SIGNALS: Mapping[str, Signal] = {
    "watch": Signal(_odds_of_watching(), ("timespent", "duration"), "duration"),
    "approval": Signal(_approval(), ("like", "share", "bookmarks", "dislike")),
    "rating": Signal(pl.col("rating").cast(pl.Float64), ("rating",)),
}


def reads_of(signal: str) -> tuple[str, ...]:
    """Name the columns of the log that a signal reads."""
    return SIGNALS[signal].reads


@dataclass(frozen=True)
class Residuals:
    """What offsets leave of a signal: ``value = mean + level + user + item + rest``, each offset shrunk towards zero.

    ``user``, ``item``, ``entity`` Int32 (n_rows,) are positions in ``users``, ``items``, ``entities`` (sorted, unique);
    ``rest`` Float64 (n_rows,). ``entity_of_item`` Int32 (n_items,): the entity of each item's last row.
    """

    users: pl.Series
    items: pl.Series
    entities: pl.Series
    user: Codes
    item: Codes
    entity: Codes
    rest: Values
    entity_of_item: Codes

    def by_entity(self) -> tuple[csr_matrix, csr_matrix]:
        """Sum the rest and count the rows: users x entities."""
        return self._cells(self.user, self.entity, (len(self.users), len(self.entities)))

    def by_item(self) -> tuple[csr_matrix, csr_matrix]:
        """Sum the rest and count the rows: items x users."""
        return self._cells(self.item, self.user, (len(self.items), len(self.users)))

    def _cells(self, rows: Codes, columns: Codes, shape: tuple[int, int]) -> tuple[csr_matrix, csr_matrix]:
        total = csr_matrix((self.rest, (rows, columns)), shape=shape)
        count = csr_matrix((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=shape)
        return total, count


def residuals(history: pl.LazyFrame, signal: str, entity: str) -> Residuals:
    """Read (user, item, entity, signal) of the newest ``MAX_ROWS`` rows that have all, and take the offsets out."""
    kind = SIGNALS[signal]
    keys = list(dict.fromkeys(("user_id", "item_id", entity)))
    level = pl.col(kind.level).cast(pl.Int64) if kind.level else pl.lit(0, pl.Int64)
    known = history.select(*keys, kind.value.alias(":value"), level.alias(":level")).drop_nulls()
    rows = known.tail(MAX_ROWS).collect(engine="streaming")
    series = {name: rows[name].unique().sort() for name in keys}
    found = {name: places(rows[name], series[name]) for name in keys}
    rest = rows[":value"].to_numpy(writable=True)
    rest -= rest.mean() if len(rest) else 0.0
    if kind.level:
        levels = rows[":level"].unique().sort()
        rest -= _offset(places(rows[":level"], levels), rest, len(levels), STRENGTH_OF_GROUP)
    del rows
    _take_out(rest, found["user_id"], found["item_id"])
    entity_of_item = np.zeros(len(series["item_id"]), dtype=np.int32)
    entity_of_item[found["item_id"]] = found[entity]
    return Residuals(
        series["user_id"], series["item_id"], series[entity],
        found["user_id"], found["item_id"], found[entity], rest, entity_of_item,
    )  # fmt: skip


def _offset(of: Codes, values: Values, n: int, strength: float) -> Values:
    """Shrunken mean of the values of each row's group, Float64 (n_rows,)."""
    means = np.bincount(of, values, n) / (np.bincount(of, minlength=n) + strength)
    return means[of]


def _take_out(rest: Values, user: Codes, item: Codes) -> None:
    """Take the offsets of users and items out of ``rest``, in place: each of what the other leaves, in turn."""
    if not len(rest):
        return
    n_user = np.bincount(user) + STRENGTH
    n_item = np.bincount(item) + STRENGTH
    of_user = np.zeros(len(n_user))
    for _ in range(ROUNDS):
        of_item = np.bincount(item, rest - of_user[user]) / n_item
        of_user = np.bincount(user, rest - of_item[item]) / n_user
    rest -= of_user[user]
    rest -= of_item[item]
