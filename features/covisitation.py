"""Co-visitation: how well the item, or its source, goes together with those of the user's recent rows.

Two rows of a user go together if they have the same signal (a like, a dislike, a clip watched) and at most
``cooccurrence.WITHIN`` such rows lie between them. Counts of all users make a sparse matrix for each window. What it
has of a pair's item and of the items in the user's list is weighed in several ways and summed up.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from features import Column, Window, fitted, per_pair
from features.toolkit import (
    NEEDS,
    Lists,
    Positions,
    Rows,
    Together,
    Values,
    bm25,
    chunks,
    codes,
    go_together,
    lists_of,
    log_lift,
    meetings,
    rank_within,
    rows_where,
    salton_cosine,
    signal_rows,
    warm_rows,
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
    columns={name: Column(pl.Float32, meaning) for name, meaning in (MEANINGS).items()},
    needs=lambda entity, signal: ["user_id", entity, signal],
    variants={
        f"{of}_{signal}": {"entity": f"{of}_id", "signal": signal}
        for of in ("item", "source")
        for signal in _SIGNALS
    },
)
class Covisits:
    """How well the item or source goes together with those of the user's last 50 rows with a signal."""

    def __init__(self, entity: str, signal: str) -> None:
        self.entity, self.signal = entity, signal

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Count what goes together and list each user's newest rows; bounds are those of ``cooccurrence``."""
        rows = signal_rows(history, self.entity, _SIGNALS[self.signal])
        self.together, self.recent = go_together(rows, window), recent_rows(rows)

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Values]:
        """Weigh each pair by itself."""
        return weighed(pairs, self.entity, self.together, self.recent)


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
    np.maximum.at(highest, met.pair, salton_cosine(count, sums[first], sums[other]))
    return {
        "covisit_count": summed(rows * count),
        "covisit_cosine": highest,
        "covisit_lift": summed(rows * lift) / n_rows,
        "covisit_bm25": summed(rows * rarity) / n_rows,
        "covisit_near": summed(weight * near_lift) / np.where(total > 0, total, 1.0),
    }


WATCHED = 0.8  # share of the clip from which on it is watched
TASTE_ROWS = 200  # the user's last ones, watched or not
_TASTE = (
    "Mean over the user's last 200 rows of log lift times warmth (watched beyond what is usual, likes, less "
    "dislikes); null for a user without rows and for an entity that goes with none."
)


@fitted(
    columns={
        name: Column(pl.Float32, meaning) for name, meaning in {**MEANINGS, "covisit_taste": _TASTE}.items()
    },
    needs=lambda entity: [*NEEDS, entity],
    variants={f"{of}_watch": {"entity": f"{of}_id"} for of in ("item", "source")},
)
class WatchedCovisits:
    """How well the item or source goes together with those that the user watched, or took warmly, of late."""

    def __init__(self, entity: str) -> None:
        self.entity = entity

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Count what goes together among the clips of which ``WATCHED`` was watched; bounds as in ``cooccurrence``."""
        warm = warm_rows(history, self.entity)
        watched = rows_where(warm.rows, warm.share >= WATCHED)
        self.together, self.recent = go_together(watched, window), recent_rows(watched)
        self.taken = lists_of(warm.rows, warm.rows.since < TASTE_ROWS, warm.warmth)

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Values]:
        """Weigh each pair by itself."""
        columns = weighed(pairs, self.entity, self.together, self.recent)
        return {**columns, "covisit_taste": taste(pairs, self.entity, self.together, self.taken)}


def taste(pairs: pl.DataFrame, entity: str, together: Together, taken: Lists) -> Values:
    """Give the mean of warmth times log lift over the user's list, (n_pairs,); NaN where either is not known."""
    user, one = codes(pairs["user_id"], taken.users), codes(pairs[entity], together.entities)
    total = together.of_entity.sum()
    summed = np.zeros(len(user))
    for part in chunks(taken.n_entries[user], CHUNK_ENTRIES):
        met = meetings(together.keys, one[part], taken.cells, user[part])
        of_one, of_other = (
            together.of_entity[one[part]][met.pair],
            together.of_entity[taken.cells.indices[met.entry]],
        )
        lift = log_lift(together.count[met.cell].astype(np.float64), of_one, of_other, total)
        summed[part] = np.bincount(met.pair, taken.weight[met.entry] * lift, minlength=part.stop - part.start)
    unknown = (taken.n_rows[user] == 0) | (together.of_entity[one] == 0)
    return np.where(unknown, np.nan, summed / np.maximum(taken.n_rows[user], 1.0))


@per_pair(scope="user", each=["covisit_taste__source_watch", "covisit_lift__source_like"])
def covisit_rank(value: pl.Expr, user_id: pl.Expr) -> pl.Expr:
    """Rank of the value within the user's pairs as a share in (0, 1], ties averaged; null where the value is null."""
    return rank_within(value, user_id)
