"""How often items, or sources, go together in what users did: a sparse matrix."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.sparse import csr_matrix, vstack

from features.toolkit.codes import chunks, places
from validation import Window

Values = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int32]

WITHIN = 20  # rows of a user with the signal: those farther apart do not count as a pair
MAX_ROWS = 8_000_000  # with the signal, the newest: 20 bytes each, twice while they are sorted
MAX_OF_USER = 400  # rows, the newest
MAX_PAIRS = (
    30_000_000  # ordered pairs of rows; there are fewer cells, of 16 bytes, and twice that at the peak
)
HALF_LIFE = 4.0  # horizons in which a row's weight halves
CHUNK_ROWS = 100_000  # rows whose neighbours are laid out at once: about 1 kB each


@dataclass(frozen=True)
class Rows:
    """Rows with a signal, sorted by user, clock and row.

    ``user`` and ``entity`` (n_rows,) are positions in ``users`` and ``entities``, which are sorted; ``since`` counts
    the user's later rows; ``clock`` is that of the log.
    """

    users: pl.Series
    entities: pl.Series
    user: Codes
    entity: Codes
    since: npt.NDArray[np.int64]
    clock: npt.NDArray[np.int64]


def signal_rows(history: pl.LazyFrame, entity: str, signal: pl.Expr) -> Rows:
    """Read the rows for which the signal is true: at most the newest ``MAX_ROWS``."""
    kept = history.filter(signal).select("user_id", entity, "clock", "row").drop_nulls().tail(MAX_ROWS)
    return rows_of(kept.collect(engine="streaming").sort("user_id", "clock", "row"), entity)


def rows_of(rows: pl.DataFrame, entity: str) -> Rows:
    """Number the users and entities of rows that are sorted by ``user_id``, ``clock`` and ``row``."""
    users, entities = rows["user_id"].unique(maintain_order=True), rows[entity].unique().sort()
    user = rows["user_id"].rle_id().to_numpy().astype(np.int32)
    clock = rows["clock"].to_numpy()
    return Rows(users, entities, user, places(rows[entity], entities), later_rows(user), clock)


def rows_where(rows: Rows, kept: npt.NDArray[np.bool_]) -> Rows:
    """Keep some of the rows (n_rows,); users and entities keep their positions."""
    user = rows.user[kept]
    return replace(rows, user=user, entity=rows.entity[kept], since=later_rows(user), clock=rows.clock[kept])


def later_rows(user: Codes) -> npt.NDArray[np.int64]:
    """Count the rows of the same user that come after each row, all sorted by user.

    >>> later_rows(np.array([0, 0, 2], dtype=np.int32)).tolist()
    [1, 0, 0]
    """
    ends: npt.NDArray[np.int64] = np.cumsum(np.bincount(user))[user] - 1 - np.arange(len(user))
    return ends


def rows_of_user(n_rows: npt.NDArray[np.integer], most: int) -> int:
    """How many of each user's rows, ``n_rows`` (n_users,), may be taken so that no more than ``most`` are in all.

    At most ``MAX_OF_USER``.

    >>> rows_of_user(np.array([1, 3, 9]), 8)
    3
    """
    low, high = 0, MAX_OF_USER
    while low < high:
        middle = (low + high + 1) // 2
        if np.minimum(n_rows, middle).sum() <= most:
            low = middle
        else:
            high = middle - 1
    return low


@dataclass(frozen=True)
class Together:
    """Symmetric matrix of how often two entities go together; one row and column more than there are entities.

    Attributes
    ----------
    entities
        Sorted; their positions are the rows and columns.
    keys
        ``row * (n_entities + 1) + column`` of the cells that are not 0, ascending (n_cells,).
    count
        Number of ordered pairs of rows of a user, at most ``WITHIN`` rows apart, one of each entity (n_cells,).
    near
        The same pairs, weighted: by 1 / their distance, and by half for every ``HALF_LIFE`` horizons that either row
        is old (n_cells,).
    of_entity, near_of_entity
        Sums of the rows of the matrix (n_entities + 1,).
    n_partners
        Number of cells of each row (n_entities + 1,).
    """

    entities: pl.Series
    keys: npt.NDArray[np.int64]
    count: npt.NDArray[np.float32]
    near: npt.NDArray[np.float32]
    of_entity: Values
    near_of_entity: Values
    n_partners: npt.NDArray[np.int64]


def go_together(rows: Rows, window: Window) -> Together:
    """Count pairs of rows of one user that are at most ``WITHIN`` of his rows apart.

    Left out are the older rows of each user, as many as keep the number of pairs within ``MAX_PAIRS``; see
    ``rows_of_user``. Every pair is counted in both orders, two rows of one entity on the diagonal.
    """
    most = rows_of_user(np.bincount(rows.user, minlength=1), MAX_PAIRS // (2 * WITHIN))
    kept = rows.since < most
    user, entity = rows.user[kept], rows.entity[kept]
    age = (window.cutoff - rows.clock[kept]) / (HALF_LIFE * window.horizon)
    n = len(rows.entities) + 1
    # The real part counts, the imaginary part weighs: one product of matrices makes both.
    cells = _pairs(user, entity, np.exp2(-age).astype(np.float32), n)
    n_partners = np.diff(cells.indptr).astype(np.int64)
    count, near = cells.data.real.copy(), cells.data.imag.copy()
    keys = np.repeat(np.arange(n), n_partners)
    of_entity, near_of_entity = _sums(keys, count, n), _sums(keys, near, n)
    keys *= n
    keys += cells.indices
    return Together(rows.entities, keys, count, near, of_entity, near_of_entity, n_partners)


def _sums(row: npt.NDArray[np.int64], values: npt.NDArray[np.float32], n: int) -> Values:
    return np.bincount(row, values, minlength=n).astype(np.float64)


def _pairs(user: Codes, entity: Codes, newness: npt.NDArray[np.float32], n: int) -> csr_matrix:
    order = np.argsort(entity, kind="stable").astype(np.int32)
    n_rows = np.bincount(entity, minlength=n)
    parts = [_pairs_of(order[part], n_rows[some], user, entity, newness, n) for some, part in _parts(n_rows)]
    # Symmetric: to transpose it changes nothing but sorts the columns of each row, in linear time.
    return vstack(parts, format="csr").T.tocsr()


def _parts(n_rows: npt.NDArray[np.integer]) -> list[tuple[slice, slice]]:
    """Cut entities into runs with few rows: each as a slice of the entities and of the rows in their order."""
    ends = _ends(n_rows)
    return [(some, slice(int(ends[some.start]), int(ends[some.stop]))) for some in chunks(n_rows, CHUNK_ROWS)]


def _pairs_of(
    at: Codes,
    n_rows: npt.NDArray[np.integer],
    user: Codes,
    entity: Codes,
    newness: npt.NDArray[np.float32],
    n: int,
) -> csr_matrix:
    """Rows of the matrix for a run of entities that have ``n_rows`` rows each, at the places ``at`` of all rows."""
    steps = np.array([step for step in range(-WITHIN, WITHIN + 1) if step], dtype=np.int32)
    other = at[:, None] + steps
    is_pair = (other >= 0) & (other < len(user))
    np.clip(other, 0, max(len(user) - 1, 0), out=other)
    is_pair &= user[other] == user[at][:, None]
    n_others = is_pair.sum(axis=1)
    weight = np.broadcast_to((1.0 / np.abs(steps)).astype(np.float32), is_pair.shape)[is_pair]
    other = other[is_pair]
    weight *= newness[other] * np.repeat(newness[at], n_others)
    data = np.ones(len(other), dtype=np.complex64)
    data.imag = weight
    others = csr_matrix((data, entity[other], _ends(n_others)), shape=(len(at), n))
    gathered = csr_matrix(
        (np.ones(len(at), np.float32), np.arange(len(at)), _ends(n_rows)), shape=(len(n_rows), len(at))
    )
    return csr_matrix((len(n_rows), n), dtype=np.complex64) if not len(other) else gathered @ others


def _ends(counts: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)])


@dataclass(frozen=True)
class Lists:
    """A list of entities for each user: sparse (n_users + 1, n_entities + 1), the last of each without any.

    ``cells`` counts the rows of an entity in the list; ``weight`` (n_cells,) is what they weigh; ``n_rows`` and
    ``total_weight`` (n_users + 1,) are sums over the list.
    """

    users: pl.Series
    cells: csr_matrix
    weight: Values
    n_rows: Values
    total_weight: Values

    @property
    def n_entries(self) -> npt.NDArray[np.int64]:
        """Number of entities in each user's list (n_users + 1,)."""
        counts: npt.NDArray[np.int64] = np.diff(self.cells.indptr).astype(np.int64)
        return counts


def lists_of(rows: Rows, kept: npt.NDArray[np.bool_], weight: Values) -> Lists:
    """Make the lists of the rows that are kept (n_rows,), each with its weight (n_rows,)."""
    user, entity, weight = rows.user[kept], rows.entity[kept], weight[kept]
    n_users, shape = len(rows.users) + 1, (len(rows.users) + 1, len(rows.entities) + 1)
    counted, summed = (
        csr_matrix((data, (user, entity)), shape=shape) for data in (np.ones(len(user)), weight)
    )
    n_rows, total = (np.bincount(user, data, minlength=n_users) for data in (None, np.abs(weight)))
    return Lists(rows.users, counted, summed.data, n_rows.astype(np.float64), total.astype(np.float64))
