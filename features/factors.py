"""Explicit matrix factorisation: how far the user's opinion of the item is from what both have on average."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.sparse import csr_matrix

from features import Column, Window, fitted
from features.toolkit import codes, opinions

Values = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int32]

FACTORS = 6
RIDGE, RIDGE_PER_ROW = 5.0, 0.1
STEPS = 6
SEED = 20_240_612


@fitted(
    columns={
        "mf_score": Column(
            pl.Float32, "Item offset plus the product of the factors; null for an unseen item."
        ),
        "mf_taste": Column(pl.Float32, "Product of the factors of user and item; null if either is unseen."),
    },
    needs=lambda signal: ["user_id", "item_id", signal],
    variants={"rating": {"signal": "rating"}, "relevance": {"signal": "relevance"}},
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

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Values]:
        """Score each pair by itself."""
        user, item = codes(pairs["user_id"], self.seen.users), codes(pairs["item_id"], self.seen.items)
        product = (self.user_factors[user] * self.item_factors[item]).sum(axis=1)
        no_user, no_item = user == len(self.seen.users), item == len(self.seen.items)
        score = np.where(no_item, np.nan, self.seen.item_offset[item] + product)
        return {"mf_score": score, "mf_taste": np.where(no_item | no_user, np.nan, product)}


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
