"""Bayesian personalised ranking (Rendle et al. 2009): vectors that put what a user likes above what they do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from features import Column, Window, fitted
from features.toolkit import Values, cosines, dots, embeddings, preferences, signal_columns, usual

FACTORS = 12
SEED = 20_241_123
LEARNING_RATE, REGULARIZATION = 0.05, 0.02
WORK, MOST_STEPS, FEWEST_STEPS = 6_000_000, 40, 2  # drawn pairs; rounds over the cells


@fitted(
    columns={
        "bpr_score": Column(
            pl.Float32,
            "BPR score of user and item (source); null if the user likes nothing or nobody likes the item.",
        ),
        "bpr_cosine": Column(
            pl.Float32,
            "Cosine of the BPR vectors of user and item (source), without its offset; null as the score.",
            range=(-1, 1),
        ),
    },
    null_without="user_id",
    needs=lambda entity, signal: usual("user_id", "item_id", entity, *signal_columns(signal)),
    variants={
        "item_like": {"entity": "item_id", "signal": "like"},
        "source_watch": {"entity": "source_id", "signal": "watch"},
    },
)
@dataclass
class Bpr:
    """BPR by stochastic gradient steps, in one thread and with a fixed seed, so that it repeats exactly."""

    entity: str
    signal: str

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Draw about ``WORK`` pairs of something liked and something not; bounds on rows as for ALS."""
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        seen = preferences(history, self.signal, self.entity)
        model = BayesianPersonalizedRanking(
            factors=FACTORS,
            learning_rate=LEARNING_RATE,
            regularization=REGULARIZATION,
            iterations=min(MOST_STEPS, max(FEWEST_STEPS, WORK // max(seen.cells.nnz, 1))),
            num_threads=1,
            random_state=SEED,
        )
        if seen.cells.nnz:
            model.fit(seen.cells, show_progress=False)
        # One number more: the offset of an entity, which is multiplied by the user's 1.
        self.users = embeddings(seen.users, model.user_factors, FACTORS + 1)
        self.entities = embeddings(seen.entities, model.item_factors, FACTORS + 1)

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Values]:
        """Score each pair by itself."""
        user, entity = self.users[pairs["user_id"]], self.entities[pairs[self.entity]]
        return {"bpr_score": dots(user, entity), "bpr_cosine": cosines(user[:, :-1], entity[:, :-1])}
