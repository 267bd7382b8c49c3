"""Explicit matrix factorisation: how far the user's opinion of the item is from what both have on average."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.sparse import csr_matrix

from features import Window, codes, fitted

Values = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int32]

FACTORS = 6
RIDGE, RIDGE_PER_ROW = 5.0, 0.1
STEPS = 6
SEED = 20_240_612
MAX_ROWS = 10_000_000  # the newest ones: about 60 bytes each, and a second for each million of them
_SLICE = 1_000_000


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

    Of more than ``MAX_ROWS`` rows the newest are read: the history comes sorted by its clock.
    """
    known = history.select("user_id", "item_id", signal, "clock", "row").drop_nulls(
        ["user_id", "item_id", signal]
    )
    newest = known.tail(MAX_ROWS).collect(engine="streaming")
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


def places(values: pl.Series, known: pl.Series) -> Codes:
    """Positions of the values in ``known`` as ``features.codes`` gives them, but in 4 bytes each: Int32 (n,)."""
    found = np.empty(len(values), dtype=np.int32)
    for start in range(0, len(values), _SLICE):
        found[start : start + _SLICE] = codes(values.slice(start, _SLICE), known)
    return found


@fitted(
    columns={"mf_score": pl.Float32, "mf_taste": pl.Float32},
    needs=["user_id", "item_id", "{signal}"],
    variants={"rating": {"signal": "rating"}, "relevance": {"signal": "relevance"}},
    meanings={
        "mf_score": "Item offset plus the product of the factors; null for an unseen item.",
        "mf_taste": "Product of the factors of user and item; null if either is unseen.",
    },
)
class Factors:
    """Matrix factorisation of what offsets leave, by alternating ridge regressions (Koren, Bell, Volinsky 2009)."""

    def __init__(self, signal: str) -> None:
        self.signal = signal

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Alternate between the users' and the items' factors, from small random ones.

        At most the newest ``MAX_ROWS`` rows with a signal count.
        """
        seen = opinions(history, self.signal)
        self.seen = seen
        self.item_factors = np.random.default_rng(SEED).normal(0.0, 0.1, (len(seen.items) + 1, FACTORS))
        self.user_factors = np.zeros((len(seen.users) + 1, FACTORS))
        target, count = seen.by_user(seen.rest), seen.by_user(np.ones(len(seen.rest)))
        of_items, count_of_items = target.T.tocsr(), count.T.tocsr()
        for _ in range(STEPS if len(seen.rest) else 0):
            self.user_factors = ridge(target, count, self.item_factors)
            self.item_factors = ridge(of_items, count_of_items, self.user_factors)

    def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Score each pair by itself."""
        user, item = codes(pairs["user_id"], self.seen.users), codes(pairs["item_id"], self.seen.items)
        product = (self.user_factors[user] * self.item_factors[item]).sum(axis=1)
        no_user, no_item = user == len(self.seen.users), item == len(self.seen.items)
        score = np.where(no_item, np.nan, self.seen.item_offset[item] + product)
        columns = {"mf_score": score, "mf_taste": np.where(no_item | no_user, np.nan, product)}
        return pairs.select("pair_id").with_columns(
            pl.Series(name, values).fill_nan(None).cast(pl.Float32) for name, values in columns.items()
        )


def ridge(target: csr_matrix, count: csr_matrix, other: Values) -> Values:
    """Solve one ridge regression for each key: the target on the factors of the other side.

    Parameters
    ----------
    target
        Keys x other side, the summed target of each cell.
    count
        The same cells: how many rows each is made of.
    other
        Factors of the other side (n_others, n_factors).

    Returns
    -------
    Factors (n_keys, n_factors); a key without rows gets zeros.
    """
    n_factors = other.shape[1]
    upper = np.triu_indices(n_factors)
    products = count @ (
        other[:, upper[0]] * other[:, upper[1]]
    )  # of each key, summed: no row by row outer products
    left = np.empty((target.shape[0], n_factors, n_factors))
    left[:, upper[0], upper[1]] = left[:, upper[1], upper[0]] = products
    n_rows = np.asarray(count.sum(axis=1)).ravel()
    left += (RIDGE + RIDGE_PER_ROW * n_rows)[:, None, None] * np.eye(n_factors)
    solved: Values = np.linalg.solve(left, (target @ other)[:, :, None])[:, :, 0]
    return solved
