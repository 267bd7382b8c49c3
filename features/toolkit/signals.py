"""What of a log says that a user liked something, and what is left of it beside users, items and durations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.sparse import csr_matrix, diags

from features.toolkit.codes import places

Values = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int32]

MAX_ROWS = 12_000_000  # the newest with the signal: about 90 bytes each at the peak
STRENGTH = 5.0  # rows that halve the offset of a user or an item
STRENGTH_OF_GROUP = 20.0
ROUNDS = 4
MOST_OPINIONS = 10_000_000  # the newest: about 60 bytes each
MOST_CELLS = 5_000_000  # the newest rows with the signal: about 45 bytes each at the peak
ROWS_OF_USER, ROWS_OF_ENTITY = 20.0, 50.0


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


LIKES = (pl.col("relevance") > 0).cast(pl.Float32)
SIGNALS: Mapping[str, Signal] = {
    "watch": Signal(_odds_of_watching(), ("timespent", "duration"), "duration"),
    "approval": Signal(_approval(), ("like", "share", "bookmarks", "dislike")),
    "rating": Signal(pl.col("rating").cast(pl.Float64), ("rating",)),
}


def reads_of(signal: str) -> tuple[str, ...]:
    """Name the columns of the log that a signal reads; ``like`` is a positive relevance."""
    return ("relevance",) if signal == "like" else SIGNALS[signal].reads


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


def certain(total: csr_matrix, count: csr_matrix) -> csr_matrix:
    """Weigh summed residuals by how certain they are: by the root of the rows of the cell, the user and the entity.

    ``total``, ``count``: users x entities, the same cells. A user with many rows counts less than by his rows, and
    so does a frequent entity: neither alone decides the factors.
    """
    of_user = np.asarray(count.sum(axis=1), dtype=np.float64).ravel()
    of_entity = np.asarray(count.sum(axis=0), dtype=np.float64).ravel()
    cells = total.copy()
    cells.data = total.data / np.sqrt(count.data + 1.0)
    weighed = diags((of_user + ROWS_OF_USER) ** -0.5) @ cells @ diags((of_entity + ROWS_OF_ENTITY) ** -0.5)
    return csr_matrix(weighed)


@dataclass(frozen=True)
class Opinions:
    """The signal as users x items, and the shrunken offsets of both: ``signal = mean + user + item + rest``.

    ``user`` and ``item`` (n_rows,) are positions in ``users`` and ``items``; offsets have one more entry, of zero, for
    keys without rows.
    """

    users: pl.Series
    items: pl.Series
    user: Codes
    item: Codes
    rest: Values
    item_offset: Values

    def by_user(self, values: Values) -> csr_matrix:
        """Values of the rows (n_rows,) as users x items, one row and column more than there are keys."""
        shape = (len(self.users) + 1, len(self.items) + 1)
        return csr_matrix((values, (self.user, self.item)), shape=shape)


def opinions(history: pl.LazyFrame, signal: str, strength: float = 5.0) -> Opinions:
    """Read (user, item, signal) and take the offsets out, each shrunk by ``strength`` rows towards zero.

    Of more than ``MOST_OPINIONS`` rows the newest are read: the history comes sorted by its clock.
    """
    known = history.select("user_id", "item_id", signal, "clock", "row").drop_nulls(
        ["user_id", "item_id", signal]
    )
    newest = known.tail(MOST_OPINIONS).collect(engine="streaming")
    rows = newest.sort("clock", "row").drop("clock", "row")
    users, items = rows["user_id"].unique().sort(), rows["item_id"].unique().sort()
    user, item = places(rows["user_id"], users), places(rows["item_id"], items)
    rest = rows[signal].cast(pl.Float64).to_numpy(writable=True)
    del newest, rows
    rest -= rest.mean() if len(rest) else 0.0
    n_user = np.bincount(user, minlength=len(users) + 1) + strength
    n_item = np.bincount(item, minlength=len(items) + 1) + strength
    user_offset = np.zeros(len(users) + 1)
    item_offset = np.zeros(len(items) + 1)
    for _ in range(5):
        item_offset = np.bincount(item, rest - user_offset[user], len(items) + 1) / n_item
        user_offset = np.bincount(user, rest - item_offset[item], len(users) + 1) / n_user
    rest -= user_offset[user]
    rest -= item_offset[item]
    return Opinions(users, items, user, item, rest, item_offset)


@dataclass(frozen=True)
class SignalMatrix:
    """Summed signal as users x items, Float32; ``users`` and ``items`` (sorted) are those with a cell that is not 0."""

    users: pl.Series
    items: pl.Series
    cells: csr_matrix


def fond_of(history: pl.LazyFrame, signal: str, entity: str) -> SignalMatrix:
    """Give users x entities with a positive cell where the user is fond of the entity.

    ``like``: number of likes. Other signals (``SIGNALS``): what is above the usual, weighed by its certainty
    (``certain``) and scaled to a mean of 1.
    """
    if signal == "like":
        return signal_matrix(history, LIKES, entity)
    seen = residuals(history, signal, entity)
    cells = certain(*seen.by_entity())
    cells.data = np.maximum(cells.data, 0.0)
    cells.eliminate_zeros()
    if cells.nnz:
        cells.data /= cells.data.mean()
    return _narrowed(seen.users, seen.entities, cells.astype(np.float32))


def signal_matrix(history: pl.LazyFrame, signal: pl.Expr, entity: str = "item_id") -> SignalMatrix:
    """Read the newest rows that have the signal and sum it by (user, item), or by another entity than the item.

    Peak for n rows: as read 12 n bytes, positions 8 n, the matrix by coordinates 12 n and by rows 8 n. Implicit then
    holds it by rows and by columns, 16 n.
    """
    rows = history.select("user_id", entity, signal.alias("weight"))
    rows = rows.drop_nulls().filter(pl.col("weight") != 0).tail(MOST_CELLS)
    read = rows.collect(engine="streaming")
    users, items = read["user_id"].unique().sort(), read[entity].unique().sort()
    places_of = (places(read["user_id"], users), places(read[entity], items))
    cells = csr_matrix((read["weight"].to_numpy(), places_of), shape=(len(users), len(items)))
    cells.eliminate_zeros()
    return _narrowed(users, items, cells)


def _narrowed(users: pl.Series, items: pl.Series, cells: csr_matrix) -> SignalMatrix:
    """Leave out users and items without a cell."""
    has_user = np.diff(cells.indptr) > 0
    has_item = np.bincount(cells.indices, minlength=len(items)) > 0
    if has_user.all() and has_item.all():
        return SignalMatrix(users, items, cells)
    kept = cells[has_user][:, has_item]
    return SignalMatrix(users.filter(pl.Series(has_user)), items.filter(pl.Series(has_item)), kept)
