"""Co-visitation of clips that were watched: as in ``covisitation``, and weighted by how warmly the user took them."""

from __future__ import annotations

import numpy as np
import polars as pl

from features import Window, codes, fitted, per_pair
from features.covisitation import COLUMNS, MEANINGS, Lists, as_columns, lists_of, recent_rows, weighed
from features.neighbours import chunks
from features.toolkit import NEEDS, Together, Values, go_together, log_lift, meetings, rows_where, warm_rows

WATCHED = 0.8  # share of the clip from which on it is watched
TASTE_ROWS = 200  # the user's last ones, watched or not
CHUNK_ENTRIES = 2_000_000  # of the lists of a chunk of pairs: about 150 bytes each


@fitted(
    columns=dict.fromkeys((*COLUMNS, "covisit_taste"), pl.Float32),
    needs=[*NEEDS, "{entity}"],
    variants={f"{of}_watch": {"entity": f"{of}_id"} for of in ("item", "source")},
    meanings=MEANINGS
    | {
        "covisit_taste": "Mean over the user's last 200 rows of log lift times warmth (watched beyond what is usual, "
        "likes, less dislikes); null for a user without rows and for an entity that goes with none."
    },
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

    def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Weigh each pair by itself."""
        columns = weighed(pairs, self.entity, self.together, self.recent)
        return as_columns(
            pairs, {**columns, "covisit_taste": taste(pairs, self.entity, self.together, self.taken)}
        )


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
    return value.rank("average").over(user_id) / value.count().over(user_id)
