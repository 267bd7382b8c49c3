"""Co-visitation: how well the item, or its source, goes together with those of the user's recent rows.

Two rows of a user go together if they have the same signal (a like, a dislike, a clip watched) and at most
``cooccurrence.WITHIN`` such rows lie between them. Counts of all users make a sparse matrix for each window. What it
has of a pair's item and of the items in the user's list is weighed in several ways and summed up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.sparse import csr_matrix

from features import Window, codes, fitted
from features.neighbours import chunks
from features.toolkit import (
    Positions,
    Rows,
    Together,
    Values,
    bm25,
    cosine,
    go_together,
    log_lift,
    meetings,
    signal_rows,
)

RECENT = 50  # rows of the user with the signal: his list
FADING = 10.0  # rows of the list in which a row's weight halves
CHUNK_ENTRIES = 2_000_000  # of the lists of a chunk of pairs: about 150 bytes each

_SIGNALS = {name: pl.col(name).fill_null(value=False) for name in ("like", "dislike")} | {
    "rating": pl.col("rating").is_not_null()
}
COLUMNS = ("covisit_count", "covisit_cosine", "covisit_lift", "covisit_bm25", "covisit_near")
_NONE = "null for a user without such rows and for an entity that goes together with none."
MEANINGS = {
    "covisit_count": f"Pairs of rows that the entity makes with those of the user's list, summed; {_NONE}",
    "covisit_cosine": f"Highest cosine of the entity with one of the user's list; 0 if none goes with it; {_NONE}",
    "covisit_lift": f"Mean log lift over the rows of the user's list, 0 where it is not seen together; {_NONE}",
    "covisit_bm25": f"Mean BM25 weight over the rows of the user's list, 0 where it is not seen together; {_NONE}",
    "covisit_near": "Mean log lift of pairs weighted by nearness and newness, newer rows of the list "
    f"weighing more; {_NONE}",
}  # fmt: skip


@fitted(
    columns=dict.fromkeys(COLUMNS, pl.Float32),
    needs=["user_id", "{entity}", "{signal}"],
    variants={
        f"{of}_{signal}": {"entity": f"{of}_id", "signal": signal}
        for of in ("item", "source")
        for signal in _SIGNALS
    },
    meanings=MEANINGS,
)
class Covisits:
    """How well the item or source goes together with those of the user's last 50 rows with a signal."""

    def __init__(self, entity: str, signal: str) -> None:
        self.entity, self.signal = entity, signal

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Count what goes together and list each user's newest rows; bounds are those of ``cooccurrence``."""
        rows = signal_rows(history, self.entity, _SIGNALS[self.signal])
        self.together, self.recent = go_together(rows, window), recent_rows(rows)

    def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Weigh each pair by itself."""
        return as_columns(pairs, weighed(pairs, self.entity, self.together, self.recent))


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


def recent_rows(rows: Rows) -> Lists:
    """List each user's last ``RECENT`` rows, weighing half as much every ``FADING`` rows back."""
    return lists_of(rows, rows.since < RECENT, np.exp2(-rows.since / FADING))


def weighed(pairs: pl.DataFrame, entity: str, together: Together, recent: Lists) -> dict[str, Values]:
    """Give the columns of ``Covisits``, each (n_pairs,); NaN where the user or the entity is not known."""
    user, one = codes(pairs["user_id"], recent.users), codes(pairs[entity], together.entities)
    columns = {name: np.zeros(len(user)) for name in COLUMNS}
    for part in chunks(recent.n_entries[user], CHUNK_ENTRIES):
        for name, values in _weighed(one[part], user[part], together, recent).items():
            columns[name][part] = values
    unknown = (recent.n_rows[user] == 0) | (together.of_entity[one] == 0)
    return {name: np.where(unknown, np.nan, values) for name, values in columns.items()}


def _weighed(one: Positions, user: Positions, together: Together, recent: Lists) -> Mapping[str, Values]:
    met = meetings(together.keys, one, recent.cells, user)
    first, other = one[met.pair], recent.cells.indices[met.entry]
    rows, weight = recent.cells.data[met.entry], recent.weight[met.entry]
    count, near = (values[met.cell].astype(np.float64) for values in (together.count, together.near))
    sums, near_sums, partners = together.of_entity, together.near_of_entity, together.n_partners
    lift = log_lift(count, sums[first], sums[other], sums.sum())
    near_lift = log_lift(near, near_sums[first], near_sums[other], near_sums.sum())
    n_entities = len(together.entities)
    rarity = bm25(count, sums[first], sums.sum() / max(n_entities, 1), partners[other], n_entities)

    def summed(values: Values) -> Values:
        return np.bincount(met.pair, values, minlength=len(one)).astype(np.float64)

    n_rows, total = np.maximum(recent.n_rows[user], 1.0), recent.total_weight[user]
    highest = np.zeros(len(one))
    np.maximum.at(highest, met.pair, cosine(count, sums[first], sums[other]))
    return {
        "covisit_count": summed(rows * count),
        "covisit_cosine": highest,
        "covisit_lift": summed(rows * lift) / n_rows,
        "covisit_bm25": summed(rows * rarity) / n_rows,
        "covisit_near": summed(weight * near_lift) / np.where(total > 0, total, 1.0),
    }


def as_columns(pairs: pl.DataFrame, values: Mapping[str, Values]) -> pl.DataFrame:
    """Give ``pair_id`` and the values as Float32, NaN as null."""
    columns = (
        pl.Series(name, of, dtype=pl.Float64).fill_nan(None).cast(pl.Float32) for name, of in values.items()
    )
    return pairs.select("pair_id").with_columns(columns)
