"""Bayesian personalised ranking (Rendle et al. 2009): vectors that put what a user is fond of above what he is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from implicit.cpu.bpr import BayesianPersonalizedRanking

from features import Column, Window, fitted
from features.toolkit import Values, codes, cosines, dots, fond_of, reads_of, with_missing

FACTORS = 12
SEED = 20_241_123
LEARNING_RATE, REGULARIZATION = 0.05, 0.02
WORK, MOST_STEPS, FEWEST_STEPS = 6_000_000, 40, 2  # drawn pairs; rounds over the cells


@fitted(
    columns={
        "bpr_score": Column(
            pl.Float32,
            "BPR score of user and item (source); null if either has nothing that the user is fond of.",
        ),
        "bpr_cosine": Column(
            pl.Float32,
            "Cosine of the BPR vectors of user and item (source), without its offset; null as the score.",
            range=(-1, 1),
        ),
    },
    needs=lambda entity, signal: ["user_id", "item_id", entity, *reads_of(signal)],
    variants={
        "item_like": {"entity": "item_id", "signal": "like"},
        "source_watch": {"entity": "source_id", "signal": "watch"},
    },
)
class Bpr:
    """BPR by stochastic gradient steps, in one thread and with a fixed seed, so that it repeats exactly."""

    def __init__(self, entity: str, signal: str) -> None:
        self.entity, self.signal = entity, signal

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Draw about ``WORK`` pairs of something liked and something not; bounds on rows as for ALS."""
        seen = fond_of(history, self.signal, self.entity)
        self.users, self.entities = seen.users, seen.items
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
        # The last number of an item is its offset, that of a user 1.
        self.user_vectors = with_missing(_table(model.user_factors, len(self.users)))
        self.entity_vectors = with_missing(_table(model.item_factors, len(self.entities)))

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Values]:
        """Score each pair by itself."""
        user = self.user_vectors[codes(pairs["user_id"], self.users)]
        entity = self.entity_vectors[codes(pairs[self.entity], self.entities)]
        return {"bpr_score": dots(user, entity), "bpr_cosine": cosines(user[:, :-1], entity[:, :-1])}


def _table(vectors: Any, n: int) -> npt.NDArray[np.float64]:
    return np.asarray(vectors, dtype=np.float64) if n else np.zeros((0, FACTORS + 1))
