"""What of a log says that a user liked something, and what is left of it beside users, items and durations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
import scipy

from features.toolkit.positions import Codes, Sparse, Values, places

STRENGTH_OF_LEVEL = 20.0  # rows that halve the offset of a level
MOST_OF_A_SIGNAL = 2.0**33
ROWS_OF_USER, ROWS_OF_ENTITY = 20.0, 50.0  # that are added before their root is taken


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
    "relevance": Signal(pl.col("relevance").cast(pl.Float64), ("relevance",)),
}


def signal_columns(signal: str) -> tuple[str, ...]:
    """Name the columns of the log that a signal reads: one of ``SIGNALS``, or ``like``, a positive relevance."""
    return ("relevance",) if signal == "like" else SIGNALS[signal].reads


@dataclass(frozen=True)
class Residuals:
    """What offsets leave of a signal: ``value = mean + level + user + item + rest``, each offset shrunk towards zero.

    ``user``, ``item``, ``entity`` Int32 (n_rows,) are positions in ``users``, ``items``, ``entities`` (sorted, unique);
    ``rest`` Float64 (n_rows,). ``item_offset`` (n_items + 1,): the last is 0, for unseen items. ``entity_of_item``
    Int32 (n_items,): the entity of each item's last row.
    """

    users: pl.Series
    items: pl.Series
    entities: pl.Series
    user: Codes
    item: Codes
    entity: Codes
    rest: Values
    item_offset: Values
    entity_of_item: Codes

    def by_entity(self, *, n_more: int = 0) -> tuple[Sparse, Sparse]:
        """Sum the rest and count the rows: users x entities, with ``n_more`` empty rows and columns behind them."""
        return self._cells(self.user, self.entity, (len(self.users) + n_more, len(self.entities) + n_more))

    def by_item(self) -> tuple[Sparse, Sparse]:
        """Sum the rest and count the rows: items x users."""
        return self._cells(self.item, self.user, (len(self.items), len(self.users)))

    def _cells(self, rows: Codes, columns: Codes, shape: tuple[int, int]) -> tuple[Sparse, Sparse]:
        ones = np.ones(len(rows), dtype=np.float32)
        total, count = (
            scipy.sparse.csr_matrix((data, (rows, columns)), shape=shape) for data in (self.rest, ones)
        )
        return total, count


def residuals(
    history: pl.LazyFrame,
    signal: str,
    entity: str = "item_id",
    *,
    most: int = 12_000_000,
    rounds: int = 4,
    strength: float = 5.0,
) -> Residuals:
    """Read (user, item, entity, signal) of the newest rows that have all, and take the offsets out.

    Parameters
    ----------
    signal
        One of ``SIGNALS``.
    most
        Rows that are read: about 90 bytes each at the peak.
    rounds, strength
        How often offsets of users and items are found in turn, and the rows that halve one.
    """
    kind = SIGNALS[signal]
    keys = list(dict.fromkeys(("user_id", "item_id", entity)))
    level = pl.col(kind.level).cast(pl.Int64, strict=False) if kind.level else pl.lit(0, pl.Int64)
    # The log-odds of negative seconds are no number, and larger ones than aggregates add up are no signal.
    value = pl.when(kind.value.abs() < MOST_OF_A_SIGNAL).then(kind.value)
    known = history.select(*keys, value.alias(":value"), level.alias(":level")).drop_nulls()
    rows = known.tail(most).collect(engine="streaming")
    series = {name: rows[name].unique().sort() for name in keys}
    found = {name: places(rows[name], series[name]) for name in keys}
    rest = rows[":value"].to_numpy(writable=True)
    rest -= rest.mean() if len(rest) else 0.0
    if kind.level:
        levels = rows[":level"].unique().sort()
        rest -= _offset(places(rows[":level"], levels), rest, len(levels), STRENGTH_OF_LEVEL)
    del rows
    item_offset = _take_out(rest, found["user_id"], found["item_id"], rounds, strength)
    entity_of_item = np.zeros(len(series["item_id"]), dtype=np.int32)
    entity_of_item[found["item_id"]] = found[entity]
    return Residuals(
        series["user_id"], series["item_id"], series[entity], found["user_id"], found["item_id"], found[entity],
        rest, np.append(item_offset, 0.0), entity_of_item,
    )  # fmt: skip


def _offset(of: Codes, values: Values, n: int, strength: float) -> Values:
    """Shrunken mean of the values of each row's group, Float64 (n_rows,)."""
    means = np.bincount(of, values, n) / (np.bincount(of, minlength=n) + strength)
    return means[of]


def _take_out(rest: Values, user: Codes, item: Codes, rounds: int, strength: float) -> Values:
    """Take the offsets of users and items out of ``rest``, in place: each of what the other leaves, in turn.

    Returns the offsets of the items (n_items,).
    """
    n_user, n_item = np.bincount(user) + strength, np.bincount(item) + strength
    of_user, of_item = np.zeros(len(n_user)), np.zeros(len(n_item))
    for _ in range(rounds if len(rest) else 0):
        of_item = np.bincount(item, rest - of_user[user]) / n_item
        of_user = np.bincount(user, rest - of_item[item]) / n_user
    rest -= of_user[user]
    rest -= of_item[item]
    return of_item


def certainty_weighted(total: Sparse, count: Sparse) -> Sparse:
    """Weigh summed residuals by how certain they are: by the root of the rows of the cell, the user and the entity.

    ``total``, ``count``: users x entities, the same cells. A user with many rows counts for less than their number,
    and so does a frequent entity: neither alone decides the factors.
    """
    of_user = np.asarray(count.sum(axis=1), dtype=np.float64).ravel()
    of_entity = np.asarray(count.sum(axis=0), dtype=np.float64).ravel()
    cells = total.copy()
    cells.data = total.data / np.sqrt(count.data + 1.0)
    left, right = (of_user + ROWS_OF_USER) ** -0.5, (of_entity + ROWS_OF_ENTITY) ** -0.5
    return scipy.sparse.csr_matrix(scipy.sparse.diags(left) @ cells @ scipy.sparse.diags(right))


@dataclass(frozen=True)
class SignalMatrix:
    """Summed signal as users x entities; users and entities (sorted) are those with a cell that is not 0."""

    users: pl.Series
    entities: pl.Series
    cells: Sparse


def preferences(history: pl.LazyFrame, signal: str, entity: str) -> SignalMatrix:
    """Give users x entities with a positive cell where the user likes the entity.

    ``like``: number of likes. Other signals (``SIGNALS``): what is above the usual, weighed by its certainty
    (``certainty_weighted``) and scaled to a mean of 1.
    """
    if signal == "like":
        return signal_matrix(history, (pl.col("relevance") > 0).cast(pl.Float32), entity)
    seen = residuals(history, signal, entity)
    cells = certainty_weighted(*seen.by_entity())
    cells.data = np.maximum(cells.data, 0.0)
    cells.eliminate_zeros()
    if cells.nnz:
        cells.data /= cells.data.mean()
    return _narrowed(seen.users, seen.entities, cells.astype(np.float32))


def opinions(history: pl.LazyFrame, signal: str, entity: str) -> SignalMatrix:
    """Give what users think of entities, as rows of users that an autoencoder learns to predict from each other.

    ``like``: 1 where the user has liked the entity, of users and entities with a like. Other signals (``SIGNALS``):
    certainty-weighted residuals of either sign, of all users and entities.
    """
    if signal == "like":
        seen = signal_matrix(history, (pl.col("relevance") > 0).cast(pl.Float32), entity)
        cells = seen.cells.astype(np.float64)
        cells.data[:] = 1.0
        return SignalMatrix(seen.users, seen.entities, cells)
    rest = residuals(history, signal, entity)
    return SignalMatrix(rest.users, rest.entities, certainty_weighted(*rest.by_entity()))


def signal_matrix(
    history: pl.LazyFrame, signal: pl.Expr, entity: str = "item_id", *, most: int = 5_000_000
) -> SignalMatrix:
    """Read the newest rows, at most ``most``, that have the signal, and sum it by user and entity.

    Peak for n rows: as read 12 n bytes, positions 8 n, the matrix by coordinates 12 n and by rows 8 n. Implicit then
    holds it by rows and by columns, 16 n.
    """
    rows = history.select("user_id", entity, signal.alias("weight"))
    rows = rows.drop_nulls().filter(pl.col("weight") != 0).tail(most)
    read = rows.collect(engine="streaming")
    users, entities = read["user_id"].unique().sort(), read[entity].unique().sort()
    at = (places(read["user_id"], users), places(read[entity], entities))
    cells = scipy.sparse.csr_matrix((read["weight"].to_numpy(), at), shape=(len(users), len(entities)))
    cells.eliminate_zeros()
    return _narrowed(users, entities, cells)


def _narrowed(users: pl.Series, entities: pl.Series, cells: Sparse) -> SignalMatrix:
    """Leave out users and entities without a cell."""
    has_user = np.diff(cells.indptr) > 0
    has_entity = np.bincount(cells.indices, minlength=len(entities)) > 0
    if has_user.all() and has_entity.all():
        return SignalMatrix(users, entities, cells)
    kept = cells[has_user][:, has_entity]
    return SignalMatrix(users.filter(pl.Series(has_user)), entities.filter(pl.Series(has_entity)), kept)
