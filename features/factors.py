"""Explicit matrix factorisation: how far the user's opinion of the item is from what both have on average."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from features import Window, codes, fitted

Values = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

FACTORS = 6
RIDGE, RIDGE_PER_ROW = 5.0, 0.1
STEPS = 6
SEED = 20_240_612
CHUNK_CELLS = 20_000_000  # of the stacked outer products: about 160 MB


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


def opinions(history: pl.LazyFrame, signal: str, strength: float = 5.0) -> Opinions:
    """Read (user, item, signal) and take the offsets out, each shrunk by ``strength`` rows towards zero."""
    rows = (
        history.sort("clock", "row")
        .select("user_id", "item_id", signal)
        .drop_nulls()
        .collect(engine="in-memory")
    )
    users, items = rows["user_id"].unique().sort(), rows["item_id"].unique().sort()
    user, item = codes(rows["user_id"], users), codes(rows["item_id"], items)
    value = rows[signal].cast(pl.Float64).to_numpy()
    centred = value - (value.mean() if len(value) else 0.0)
    n_user = np.bincount(user, minlength=len(users) + 1) + strength
    n_item = np.bincount(item, minlength=len(items) + 1) + strength
    user_offset = np.zeros(len(users) + 1)
    item_offset = np.zeros(len(items) + 1)
    for _ in range(5):
        item_offset = np.bincount(item, centred - user_offset[user], len(items) + 1) / n_item
        user_offset = np.bincount(user, centred - item_offset[item], len(users) + 1) / n_user
    rest = centred - user_offset[user] - item_offset[item]
    return Opinions(users, items, user, item, rest, item_offset)


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
        """Alternate between the users' and the items' factors, from small random ones."""
        seen = opinions(history, self.signal)
        self.seen = seen
        self.item_factors = np.random.default_rng(SEED).normal(0.0, 0.1, (len(seen.items) + 1, FACTORS))
        self.user_factors = np.zeros((len(seen.users) + 1, FACTORS))
        for _ in range(STEPS if len(seen.rest) else 0):
            self.user_factors = ridge(seen.user, seen.item, self.item_factors, seen.rest, len(seen.users) + 1)
            self.item_factors = ridge(seen.item, seen.user, self.user_factors, seen.rest, len(seen.items) + 1)

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


def ridge(rows: Codes, columns: Codes, other: Values, target: Values, n: int) -> Values:
    """Solve one ridge regression for each of ``n`` keys: ``target`` on the factors of the other side.

    ``rows`` and ``columns`` (n_rows,) are positions of the key and of the other side; a key without rows gets zeros.
    """
    order = np.argsort(rows, kind="stable")
    present, starts, counts = np.unique(rows[order], return_index=True, return_counts=True)
    n_factors = other.shape[1]
    solved = np.zeros((n, n_factors))
    for keys in chunks(counts, CHUNK_CELLS // n_factors**2):
        taken = order[starts[keys][0] : starts[keys][-1] + counts[keys][-1]]
        offsets = starts[keys] - starts[keys][0]
        factors = other[columns[taken]]
        products = (factors[:, :, None] * factors[:, None, :]).reshape(len(taken), -1)
        left = np.add.reduceat(products, offsets, axis=0).reshape(-1, n_factors, n_factors)
        right = np.add.reduceat(factors * target[taken][:, None], offsets, axis=0)
        left += (RIDGE + RIDGE_PER_ROW * counts[keys])[:, None, None] * np.eye(n_factors)
        solved[present[keys]] = np.linalg.solve(left, right[:, :, None])[:, :, 0]
    return solved


def chunks(counts: Codes, most: int) -> Iterator[slice]:
    """Cut keys with so many rows each into runs of at most ``most`` rows, but at least one key.

    >>> [(s.start, s.stop) for s in chunks(np.array([2, 2, 9, 1]), 4)]
    [(0, 2), (2, 3), (3, 4)]
    """
    first, total = 0, 0
    for position, count in enumerate(counts.tolist()):
        if total and total + count > most:
            yield slice(first, position)
            first, total = position, 0
        total += count
    if total:
        yield slice(first, len(counts))
