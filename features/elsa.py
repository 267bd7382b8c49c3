"""ELSA (Vančura, Alves, Kasalický, Kordík 2022): EASE with weights of low rank, for more entities than EASE can hold.

"Scalable Linear Shallow Autoencoder for Collaborative Filtering", RecSys 2022. The weights between items are
B = A A' - I with rows of A of length 1, so the diagonal of B is 0 as EASE's is. For each user's row x the squared
distance between the directions of x B and of x is made smallest, on average:

    2 - 2 cos(x B, x)

With p = x A, S = A'A and x of length 1 it is x B x' = p p' - 1 and x B B x' = p S p' - 2 p p' + 1: neither the loss nor
its gradient needs a row over all items, so a step costs what the batch's cells and the rows of A cost. No rectifier is
put behind B, since signals here have both signs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
import scipy

from engine import capped_threads
from features import Column, Window, fitted
from features.toolkit import (
    Floats,
    Sparse,
    Values,
    codes,
    dots,
    embeddings,
    lengths,
    opinions,
    signal_columns,
    usual,
)

FACTORS = 64
EPOCHS, FEWEST_STEPS, MOST_STEPS = 10, 100, 4_000
BATCH = 128  # users
RATE, MEMORY, MEMORY_OF_SQUARES = 0.03, 0.9, 0.999  # of Adam
SEED = 20_220_918
LEAST = 1e-6  # of the squared length of a prediction, whose direction is not known below


@fitted(
    columns={
        "elsa_score": Column(
            pl.Float32,
            "What the user's other items say of this one, by ELSA; null if user or item is without the signal.",
        ),
        "elsa_cosine": Column(
            pl.Float32,
            "The same over the length of the user's vector; null if that is 0, and as the score.",
        ),
    },
    null_without="user_id",
    needs=lambda signal: usual("user_id", "item_id", *signal_columns(signal)),
    variants={f"item_{signal}": {"signal": signal} for signal in ("like", "rating", "watch")},
)
@dataclass
class Elsa:
    """ELSA on what users like, or on certainty-weighted residuals of one signal."""

    signal: str

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Learn A from the newest rows with the signal, by Adam over batches of users, in one thread."""
        seen = opinions(history, self.signal, "item_id")
        cells = scipy.sparse.csr_matrix(seen.cells, dtype=np.float32)
        with capped_threads(1):  # how a product of matrices is rounded depends on the threads that share it
            items = item_vectors_of(cells)
        self.users = embeddings(seen.users, cells @ items, FACTORS)
        self.items = embeddings(seen.entities, items, FACTORS)
        cells.resize(cells.shape[0] + 1, cells.shape[1] + 1)  # an empty row and column for what is unseen
        self.cells = cells

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Values]:
        """Score each pair by itself: the product of the vectors, less what the pair's own cell says."""
        at_user, at_item = codes(pairs["user_id"], self.users.keys), codes(pairs["item_id"], self.items.keys)
        user, item = self.users.vectors[at_user], self.items.vectors[at_item]
        score = dots(user, item)
        if len(score):  # of no pairs scipy gives no array
            score -= np.asarray(self.cells[at_user, at_item], dtype=np.float64).ravel()
        norms = lengths(user)
        cosine = np.divide(score, norms, out=np.full(len(score), np.nan), where=norms > 1e-12)
        return {"elsa_score": score, "elsa_cosine": cosine}


def item_vectors_of(cells: Sparse) -> Floats:
    """Learn A: Float32 (n_items, FACTORS), rows of length 1.

    ``cells``: users x items. Each user counts the same; one whose cells are all 0 does not. At least 100 steps, and at
    most 4,000: of more users than these see, some are drawn.
    """
    rng = np.random.default_rng(SEED)
    x = unit_rows(cells)
    vectors = unit_length(rng.standard_normal((x.shape[1], FACTORS), dtype=np.float32))
    mean, square = np.zeros_like(vectors), np.zeros_like(vectors)
    per_epoch = -(-x.shape[0] // BATCH)
    n_steps = min(max(EPOCHS * per_epoch, FEWEST_STEPS), MOST_STEPS) if x.nnz else 0
    order = np.zeros(0, dtype=np.int64)
    for step in range(1, n_steps + 1):
        if not len(order):
            order = rng.permutation(x.shape[0])
        batch, order = order[:BATCH], order[BATCH:]
        slope = loss_and_slope(x[batch], vectors)[1]
        slope -= vectors * (slope * vectors).sum(axis=1, keepdims=True)  # along the sphere
        mean += (1 - MEMORY) * (slope - mean)
        square += (1 - MEMORY_OF_SQUARES) * (slope * slope - square)
        root = np.sqrt(square / (1 - MEMORY_OF_SQUARES**step)) + 1e-8
        vectors = unit_length(vectors - RATE / (1 - MEMORY**step) * mean / root)
    return vectors


def loss_and_slope(x: Sparse, vectors: Floats) -> tuple[float, Floats]:
    """Loss of a batch of users (n_users, n_items), rows of length 1, a user; and its gradient by the vectors."""
    gram, p = vectors.T @ vectors, x @ vectors
    turned, square = p @ gram, (p * p).sum(axis=1)
    said = square - 1
    length = np.maximum((turned * p).sum(axis=1) - 2 * square + 1, LEAST)
    loss = float((2 - 2 * said / np.sqrt(length)).mean())
    of_length = (said / length**1.5)[:, None]
    of_p = of_length * (2 * turned - 4 * p) - 4 * p / np.sqrt(length)[:, None]
    slope = (x.T @ of_p + 2 * vectors @ ((of_length * p).T @ p)) / len(p)
    return loss, slope.astype(np.float32)


def unit_rows(cells: Sparse) -> Sparse:
    """Leave out rows of zeros, and bring the others to length 1: Float32."""
    length = np.sqrt(np.asarray(cells.multiply(cells).sum(axis=1), dtype=np.float64)).ravel()
    kept = length > 1e-9
    scale = scipy.sparse.diags((1 / length[kept]).astype(np.float32))
    return scipy.sparse.csr_matrix(scale @ cells[kept], dtype=np.float32)


def unit_length(vectors: Floats) -> Floats:
    """Bring rows that are not 0 to length 1."""
    length = np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    scaled: Floats = np.divide(vectors, length, out=vectors.copy(), where=length > 0)
    return scaled
