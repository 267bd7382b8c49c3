"""Rows of users in their order, and what is listed of them: a sparse matrix of users x entities."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy

from features.toolkit.positions import Codes, Positions, Sparse, Values, places


@dataclass(frozen=True)
class Rows:
    """Rows of the log, sorted by user, clock and row.

    ``user`` and ``entity`` (n_rows,) are positions in ``users`` and ``entities``, which are sorted; ``since`` counts
    the user's later rows; ``clock`` is that of the log.
    """

    users: pl.Series
    entities: pl.Series
    user: Codes
    entity: Codes
    since: Positions
    clock: Positions


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


def later_rows(user: Codes) -> Positions:
    """Count the rows of the same user that come after each row, all sorted by user.

    >>> later_rows(np.array([0, 0, 2], dtype=np.int32)).tolist()
    [1, 0, 0]
    """
    ends: Positions = np.cumsum(np.bincount(user))[user] - 1 - np.arange(len(user))
    return ends


@dataclass(frozen=True)
class Lists:
    """A list of entities for each user: sparse (n_users + 1, n_entities + 1), the last of each without any.

    ``cells`` counts the rows of an entity in the list; ``weight`` (n_cells,) is what they weigh; ``n_rows`` and
    ``total_weight`` (n_users + 1,) are sums over the list.
    """

    users: pl.Series
    cells: Sparse
    weight: Values
    n_rows: Values
    total_weight: Values

    @property
    def n_entries(self) -> Positions:
        """Number of entities in each user's list (n_users + 1,)."""
        counts: Positions = np.diff(self.cells.indptr).astype(np.int64)
        return counts


def lists_of(rows: Rows, kept: npt.NDArray[np.bool_], weight: Values) -> Lists:
    """Make the lists of the rows that are kept (n_rows,), each with its weight (n_rows,)."""
    user, entity, weight = rows.user[kept], rows.entity[kept], weight[kept]
    n_users, shape = len(rows.users) + 1, (len(rows.users) + 1, len(rows.entities) + 1)
    counted, summed = (
        scipy.sparse.csr_matrix((data, (user, entity)), shape=shape) for data in (np.ones(len(user)), weight)
    )
    n_rows, total = (np.bincount(user, data, minlength=n_users) for data in (None, np.abs(weight)))
    return Lists(rows.users, counted, summed.data, n_rows.astype(np.float64), total.astype(np.float64))


def entries(lists: Sparse, users: Positions) -> tuple[Positions, Positions]:
    """Lay out the lists of users (n_pairs,): the position of the pair, ascending, and that in the lists' data."""
    n_entries = np.diff(lists.indptr)[users].astype(np.int64)
    first = np.cumsum(n_entries) - n_entries
    pair = np.repeat(np.arange(len(users)), n_entries)
    return pair, np.arange(len(pair)) + np.repeat(lists.indptr[users] - first, n_entries)
