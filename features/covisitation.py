"""Co-visitation: how well the item, or its source, goes together with those of the user's recent rows.

Two rows of a user go together if they have the same signal (a like, a dislike, a clip watched) and are at most 20 such
rows apart. Counts of all users make a sparse matrix for each window. What it has of a pair's item and of the items in
the user's list is weighed in several ways and summed up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy

from features import Column, Window, fitted, per_pair
from features.toolkit import (
    WARMTH_COLUMNS,
    Codes,
    Lists,
    Positions,
    Rows,
    Sparse,
    Values,
    chunks,
    codes,
    entries,
    lists_of,
    rank_within,
    rows_of,
    rows_where,
    usual,
    warm_rows,
)

HALF_LIFE = 4.0  # horizons in which a row's weight halves
FADING = 10.0  # rows of the list in which a row's weight halves
WATCHED = 0.8  # share of the clip from which on it is watched
SMOOTHING = 5.0  # pairs that are added to the observed and to the expected number
K1, B = 1.2, 0.75  # of BM25

_SIGNALS = {name: pl.col(name).fill_null(value=False) for name in ("like", "dislike")} | {
    "rating": pl.col("rating").is_not_null()
}
_NONE = "null for a user without such rows and for an entity that goes together with none."
_MEANINGS = {
    "covisit_count": f"Pairs of rows that the entity makes with those of the user's list, summed; {_NONE}",
    "covisit_cosine": f"Highest cosine of the entity with one of the user's list; 0 if none goes with it; {_NONE}",
    "covisit_lift": f"Mean log lift over the rows of the user's list, 0 where it is not seen together; {_NONE}",
    "covisit_bm25": f"Mean BM25 weight over the rows of the user's list, 0 where it is not seen together; {_NONE}",
    "covisit_near": "Mean log lift of pairs weighted by nearness and newness, newer rows of the list "
    f"weighing more; {_NONE}",
}  # fmt: skip
_COLUMNS = {name: Column(pl.Float32, meaning) for name, meaning in _MEANINGS.items()}


@dataclass(frozen=True)
class Bounds:
    """How many of a user's rows count, and what keeps time and memory within bounds on large logs."""

    within: int = 20  # rows of a user with the signal: those farther apart do not count as a pair
    recent: int = 50  # rows of the user with the signal: the list that an entity is compared with
    taste: int = 200  # the user's last rows, watched or not
    rows: int = 8_000_000  # with the signal, the newest: 20 bytes each, twice while they are sorted
    rows_of_user: int = 400  # the newest
    pairs: int = (
        30_000_000  # ordered pairs of rows; there are fewer cells, of 16 bytes, twice that at the peak
    )
    chunk_rows: int = 100_000  # rows whose neighbours are laid out at once: about 1 kB each
    chunk_entries: int = 2_000_000  # of the lists of a chunk of pairs: about 150 bytes each


BOUNDS = Bounds()


@fitted(
    columns=_COLUMNS,
    null_without="user_id",
    needs=lambda entity, signal: usual("user_id", entity, signal),
    variants={
        f"{of}_{signal}": {"entity": f"{of}_id", "signal": signal}
        for of in ("item", "source")
        for signal in _SIGNALS
    },
)
@dataclass
class Covisits:
    """How well the item or source goes together with those of the user's last 50 rows with a signal."""

    entity: str
    signal: str
    bounds: Bounds = BOUNDS

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Count what goes together and list each user's newest rows."""
        rows = signal_rows(history, self.entity, _SIGNALS[self.signal], self.bounds)
        self.together, self.recent = go_together(rows, window, self.bounds), recent_rows(rows, self.bounds)

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Values]:
        """Weigh each pair by itself."""
        return weighed(pairs, self.entity, self.together, self.recent, self.bounds)


@fitted(
    columns={
        **_COLUMNS,
        "covisit_taste": Column(
            pl.Float32,
            "Mean over the user's last 200 rows of log lift times warmth (watched beyond what is usual, likes, less "
            "dislikes); null for a user without rows and for an entity that goes with none.",
        ),
    },
    null_without="user_id",
    needs=lambda entity: usual(*WARMTH_COLUMNS, entity),
    variants={f"{of}_watch": {"entity": f"{of}_id"} for of in ("item", "source")},
)
@dataclass
class WatchedCovisits:
    """How well the item or source goes together with those that the user recently watched or took warmly."""

    entity: str
    bounds: Bounds = BOUNDS

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Count what goes together among the clips of which ``WATCHED`` was watched."""
        warm = warm_rows(history, self.entity, most=self.bounds.rows)
        watched = rows_where(warm.rows, warm.share >= WATCHED)
        self.together = go_together(watched, window, self.bounds)
        self.recent = recent_rows(watched, self.bounds)
        self.taken = lists_of(warm.rows, warm.rows.since < self.bounds.taste, warm.warmth)

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Values]:
        """Weigh each pair by itself."""
        columns = weighed(pairs, self.entity, self.together, self.recent, self.bounds)
        return {**columns, "covisit_taste": taste(pairs, self.entity, self.together, self.taken, self.bounds)}


@per_pair(scope="user", each=["covisit_taste__source_watch", "covisit_lift__source_like"])
def covisit_rank(value: pl.Expr, user_id: pl.Expr) -> pl.Expr:
    """Rank of the value within the user's pairs as a share in (0, 1], ties averaged; null where the value is null."""
    return rank_within(value, user_id)


def signal_rows(history: pl.LazyFrame, entity: str, signal: pl.Expr, bounds: Bounds = BOUNDS) -> Rows:
    """Read the newest rows for which the signal is true."""
    rows = history.filter(signal).select("user_id", entity, "clock", "row").drop_nulls().tail(bounds.rows)
    return rows_of(rows.collect(engine="streaming").sort("user_id", "clock", "row"), entity)


def recent_rows(rows: Rows, bounds: Bounds) -> Lists:
    """List each user's last rows, weighing half as much every ``FADING`` rows back."""
    return lists_of(rows, rows.since < bounds.recent, np.exp2(-rows.since / FADING))


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
        Number of ordered pairs of rows of a user, near enough to each other, one of each entity (n_cells,).
    near
        The same pairs, weighted: by 1 / their distance, and by half for every ``HALF_LIFE`` horizons that either row
        is old (n_cells,).
    of_entity, near_of_entity
        Sums of the rows of the matrix (n_entities + 1,).
    n_partners
        Number of cells of each row (n_entities + 1,).
    """

    entities: pl.Series
    keys: Positions
    count: npt.NDArray[np.float32]
    near: npt.NDArray[np.float32]
    of_entity: Values
    near_of_entity: Values
    n_partners: Positions


def go_together(rows: Rows, window: Window, bounds: Bounds = BOUNDS) -> Together:
    """Count pairs of rows of one user that are at most ``bounds.within`` of the user's rows apart.

    Left out are the older rows of each user, as many as keep the number of pairs within ``bounds.pairs``; see
    ``feasible_rows``. Every pair is counted in both orders, two rows of one entity on the diagonal.
    """
    n_rows = np.bincount(rows.user, minlength=1)
    kept = rows.since < feasible_rows(n_rows, bounds.pairs // (2 * bounds.within), bounds.rows_of_user)
    age = (window.cutoff - rows.clock[kept]) / (HALF_LIFE * window.horizon)
    n = len(rows.entities) + 1
    # The real part counts, the imaginary part weighs: one product of matrices makes both.
    cells = _pairs(rows.user[kept], rows.entity[kept], np.exp2(-age).astype(np.float32), n, bounds)
    n_partners = np.diff(cells.indptr).astype(np.int64)
    count, near = cells.data.real.copy(), cells.data.imag.copy()
    keys = np.repeat(np.arange(n), n_partners)
    of_entity, near_of_entity = (
        np.bincount(keys, of, minlength=n).astype(np.float64) for of in (count, near)
    )
    keys *= n
    keys += cells.indices
    return Together(rows.entities, keys, count, near, of_entity, near_of_entity, n_partners)


def feasible_rows(n_rows: npt.NDArray[np.integer], most: int, most_of_user: int) -> int:
    """How many of each user's rows, ``n_rows`` (n_users,), may be taken so that no more than ``most`` are in all.

    >>> feasible_rows(np.array([1, 3, 9]), 8, 400)
    4
    """
    low, high = 0, most_of_user
    while low < high:
        middle = (low + high + 1) // 2
        if np.minimum(n_rows, middle).sum() <= most:
            low = middle
        else:
            high = middle - 1
    return low


def _pairs(user: Codes, entity: Codes, newness: npt.NDArray[np.float32], n: int, bounds: Bounds) -> Sparse:
    """Lay out the pairs of rows of some entities after the other, and sum them: complex64 (n, n)."""
    order = np.argsort(entity, kind="stable").astype(np.int32)
    n_rows = np.bincount(entity, minlength=n)
    ends = _ends(n_rows)
    stacked = []
    for some in chunks(n_rows, bounds.chunk_rows):
        at = order[ends[some.start] : ends[some.stop]]
        others = _others(at, user, entity, newness, n, bounds.within)
        ones = np.ones(len(at), np.float32)
        gathered = (ones, np.arange(len(at)), _ends(n_rows[some]))
        shape = (some.stop - some.start, len(at))
        stacked.append(scipy.sparse.csr_matrix(gathered, shape=shape) @ others)
    # Symmetric: to transpose it changes nothing but sorts the columns of each row, in linear time.
    return scipy.sparse.vstack(stacked, format="csr").T.tocsr()


def _others(
    at: Codes, user: Codes, entity: Codes, newness: npt.NDArray[np.float32], n: int, within: int
) -> Sparse:
    """Entities of the rows near to those at some places: complex64 (n_places, n)."""
    steps = np.array([step for step in range(-within, within + 1) if step], dtype=np.int32)
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
    return scipy.sparse.csr_matrix((data, entity[other], _ends(n_others)), shape=(len(at), n))


def _ends(counts: npt.NDArray[np.integer]) -> Positions:
    return np.concatenate([[0], np.cumsum(counts)])


@dataclass(frozen=True)
class Meetings:
    """Where a row of the matrix and a user's list have an entity in common, one pair of the two after the other.

    ``pair`` (n_meetings,), ascending, is the position of the pair; ``cell`` that in the matrix; ``entry`` that in the
    lists' data; ``one`` and ``other`` are the entities. Within a pair they are in the order of the others.
    """

    pair: Positions
    cell: Positions
    entry: Positions
    one: Positions
    other: Positions

    def summed(self, values: Values, n_pairs: int) -> Values:
        """Sum values (n_meetings,) by pair."""
        return np.bincount(self.pair, values, minlength=n_pairs).astype(np.float64)


def meetings(together: Together, lists: Lists, one: Positions, user: Positions) -> Meetings:
    """Find the entities of a user's list that go together with one entity, for each pair of them (n_pairs,)."""
    pair, entry = entries(lists.cells, user)
    other, keys = lists.cells.indices[entry], together.keys
    wanted = one[pair] * lists.cells.shape[1] + other
    cell = np.searchsorted(keys, wanted)
    is_there = keys[np.minimum(cell, len(keys) - 1)] == wanted if len(keys) else np.zeros(len(wanted), bool)
    pair = pair[is_there]
    return Meetings(pair, cell[is_there], entry[is_there], one[pair], other[is_there])


def weighed(
    pairs: pl.DataFrame, entity: str, together: Together, recent: Lists, bounds: Bounds
) -> dict[str, Values]:
    """Give the columns of ``Covisits``, each (n_pairs,); NaN where the user or the entity is not known."""
    user, one = codes(pairs["user_id"], recent.users), codes(pairs[entity], together.entities)
    columns = {name: np.zeros(len(user)) for name in _COLUMNS}
    for chunk in chunks(recent.n_entries[user], bounds.chunk_entries):
        for name, values in _weighed(one[chunk], user[chunk], together, recent).items():
            columns[name][chunk] = values
    unknown = (recent.n_rows[user] == 0) | (together.of_entity[one] == 0)
    return {name: np.where(unknown, np.nan, values) for name, values in columns.items()}


def _weighed(one: Positions, user: Positions, together: Together, recent: Lists) -> Mapping[str, Values]:
    met = meetings(together, recent, one, user)
    rows, weight = recent.cells.data[met.entry], recent.weight[met.entry]
    count, near = (values[met.cell].astype(np.float64) for values in (together.count, together.near))
    sums, near_sums, partners = together.of_entity, together.near_of_entity, together.n_partners
    lift = log_lift(count, sums[met.one], sums[met.other], sums.sum())
    near_lift = log_lift(near, near_sums[met.one], near_sums[met.other], near_sums.sum())
    n_entities = len(together.entities)
    rarity = bm25(count, sums[met.one], sums.sum() / max(n_entities, 1), partners[met.other], n_entities)
    n_rows, total = np.maximum(recent.n_rows[user], 1.0), recent.total_weight[user]
    highest = np.zeros(len(one))
    np.maximum.at(highest, met.pair, salton_cosine(count, sums[met.one], sums[met.other]))
    return {
        "covisit_count": met.summed(rows * count, len(one)),
        "covisit_cosine": highest,
        "covisit_lift": met.summed(rows * lift, len(one)) / n_rows,
        "covisit_bm25": met.summed(rows * rarity, len(one)) / n_rows,
        "covisit_near": met.summed(weight * near_lift, len(one)) / np.where(total > 0, total, 1.0),
    }


def taste(pairs: pl.DataFrame, entity: str, together: Together, taken: Lists, bounds: Bounds) -> Values:
    """Give the mean of warmth times log lift over the user's list, (n_pairs,); NaN where either is not known."""
    user, one = codes(pairs["user_id"], taken.users), codes(pairs[entity], together.entities)
    sums = together.of_entity
    summed = np.zeros(len(user))
    for chunk in chunks(taken.n_entries[user], bounds.chunk_entries):
        met = meetings(together, taken, one[chunk], user[chunk])
        count = together.count[met.cell].astype(np.float64)
        lift = log_lift(count, sums[met.one], sums[met.other], sums.sum())
        summed[chunk] = met.summed(taken.weight[met.entry] * lift, chunk.stop - chunk.start)
    unknown = (taken.n_rows[user] == 0) | (sums[one] == 0)
    return np.where(unknown, np.nan, summed / np.maximum(taken.n_rows[user], 1.0))


def salton_cosine(together: Values, of_one: Values, of_other: Values) -> Values:
    """Salton's cosine of two entities, ``n_ij / sqrt(n_i n_j)`` (Deshpande and Karypis 2004, section 4.1).

    >>> float(salton_cosine(np.array([2.0]), np.array([4.0]), np.array([16.0]))[0])
    0.25
    """
    weighed: Values = together / np.sqrt(of_one * of_other)
    return weighed


def log_lift(together: Values, of_one: Values, of_other: Values, total: float) -> Values:
    """Log of the observed over the expected number of pairs, ``n_i n_j / n``, both with ``SMOOTHING`` more.

    Lift is the interest of Brin, Motwani, Ullman and Tsur (1997); its log is the pointwise mutual information of
    Church and Hanks (1990), which without smoothing is highest for what is seen once.

    >>> float(log_lift(np.array([15.0]), np.array([10.0]), np.array([10.0]), 20.0)[0].round(4))
    0.6931
    """
    lift: Values = np.log((together + SMOOTHING) / (of_one * of_other / total + SMOOTHING))
    return lift


def bm25(
    together: Values, of_one: Values, mean_of_one: float, n_partners: Positions, n_entities: int
) -> Values:
    """BM25 of one entity, taken as a document, for the other, taken as a word (Robertson and Zaragoza 2009).

    ``idf_j n_ij (k1 + 1) / (n_ij + k1 (1 - b + b n_i / mean))`` with ``idf_j = ln(1 + (N - m_j + 1/2) / (m_j + 1/2))``,
    m_j (``n_partners``) of N entities going together with j.

    >>> float(bm25(np.array([1.0]), np.array([3.0]), 3.0, np.array([1]), 2)[0].round(4))
    0.6931
    """
    rarity = np.log1p((n_entities - n_partners + 0.5) / (n_partners + 0.5))
    weighed: Values = rarity * together * (K1 + 1) / (together + K1 * (1 - B + B * of_one / mean_of_one))
    return weighed
