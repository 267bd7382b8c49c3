"""Explicit matrix factorisation: how far the user's opinion of the item is from what both have on average."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from features import Column, Window, fitted
from features.toolkit import Sparse, Values, Vectors, codes, residuals, ridge, usual

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
    needs=lambda signal: usual("user_id", "item_id", signal),
    variants={name: {"signal": name} for name in ("rating", "relevance")},
)
@dataclass
class Factors:
    """Matrix factorisation of what offsets leave, by alternating ridge regressions (Koren, Bell, Volinsky 2009)."""

    signal: str

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Alternate between the users' and the items' factors, from small random ones.

        Only the newest ten million rows with a signal count.
        """
        self.seen = residuals(history, self.signal, most=10_000_000, rounds=5)
        n_users, n_items = len(self.seen.users) + 1, len(self.seen.items) + 1
        self.item_factors = np.random.default_rng(SEED).normal(0.0, 0.1, (n_items, FACTORS))
        self.user_factors = np.zeros((n_users, FACTORS))
        target, count = self.seen.by_entity(n_more=1)
        of_items, count_of_items = target.T.tocsr(), count.T.tocsr()
        for _ in range(STEPS if target.nnz else 0):
            self.user_factors = step(target, count, self.item_factors)
            self.item_factors = step(of_items, count_of_items, self.user_factors)

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Values]:
        """Score each pair by itself."""
        user, item = codes(pairs["user_id"], self.seen.users), codes(pairs["item_id"], self.seen.items)
        product = (self.user_factors[user] * self.item_factors[item]).sum(axis=1)
        no_user, no_item = user == len(self.seen.users), item == len(self.seen.items)
        score = np.where(no_item, np.nan, self.seen.item_offset[item] + product)
        return {"mf_score": score, "mf_taste": np.where(no_item | no_user, np.nan, product)}


def step(target: Sparse, count: Sparse, other: Vectors) -> Vectors:
    """Solve for the factors of one side, given those of the other: a key with more rows is pulled to zero more."""
    n_rows = np.asarray(count.sum(axis=1), dtype=np.float64).ravel()
    return ridge(target, count, other, RIDGE + RIDGE_PER_ROW * n_rows)
