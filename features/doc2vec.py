"""doc2vec, streamed: users and items in one space, by a softmax over sampled items whose sampling is corrected for.

A user is a document, and the items that they like are its words: PV-DBOW (Le & Mikolov 2014), where the vector of a
document predicts its words. The probability that what a user u likes is the item i is

    p(i | u) = exp(u v_i) / sum_j exp(u v_j)

The sum over all items is estimated from those of a batch: what the others in the batch like, and ``DRAWN`` items more,
drawn by their counts to the power ``POWER`` (Mikolov et al. 2013). An item j that is expected among them Q_j times
counts as exp(u v_j - log Q_j), which makes the estimate unbiased: importance sampling (Bengio & Senecal 2003), the logQ
correction of Yi et al. 2019 ("Sampling-bias-corrected neural modeling for large corpus item recommendations"). The item
that is liked is not sampled but always there, so it counts once and uncorrected, and no sample of it counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from engine import EmbeddingTable, capped_threads, load_tables, save_tables, working_sets
from features import Column, FeatureError, StreamContext, streamed
from features.toolkit import Floats, Values, usual

if TYPE_CHECKING:
    from torch import Tensor

DIM, NOISE, RATE = 32, 0.1, 0.1
BATCH, DRAWN, POWER = 256, 64, 0.75  # likes; items drawn beside theirs; of the counts that they are drawn by
PASSES = 3  # over the likes of a chunk
FORMAT = {"format": 1, "dim": DIM}
_COUNTS = "counts.npy"

Places = npt.NDArray[np.int64]  # rows of a table
Counts = npt.NDArray[np.int64]

_NULL = "null if the user likes nothing or nobody likes the item."


@streamed(
    columns={
        "doc2vec_score": Column(
            pl.Float32, f"Inner product of the doc2vec vectors of user and item; {_NULL}"
        ),
        "doc2vec_user_vector": Column(
            pl.Array(pl.Float32, DIM), "doc2vec vector of the user; null if they like nothing."
        ),
        "doc2vec_item_vector": Column(
            pl.Array(pl.Float32, DIM), "doc2vec vector of the item; null if nobody likes it."
        ),
    },
    needs=usual("user_id", "item_id", "relevance"),
    step=100_000,
)
@dataclass
class Doc2Vec:
    """Vectors of users that predict the items they like, and of the items: once through the log.

    Parameters
    ----------
    rate
        Step of row-wise Adagrad.
    memory_gib
        What the vectors of users, and those of items, may take of memory; beyond that they lie in files.
    """

    rate: float = RATE
    memory_gib: float = 1.0

    def start(self, context: StreamContext) -> None:
        """Begin without a user or an item."""
        self.seed, self.folder = context.seed, context.folder
        self.users, self.items = (
            EmbeddingTable(
                name, DIM, seed=self.seed + at, noise=NOISE, folder=self.folder, memory_gib=self.memory_gib
            )
            for at, name in enumerate(("users", "items"))
        )
        self.counts: Counts = np.zeros(0, dtype=np.int64)  # likes of each item, by its row
        self.n_rows = 0

    def learn(self, rows: pl.DataFrame) -> None:
        """Go over the chunk's rows with a like, a user and an item, in batches that follow the log's order."""
        liked = rows.filter(pl.col("relevance") > 0).select("user_id", "item_id").drop_nulls()
        user, item = self.users.grow(liked["user_id"]), self.items.grow(liked["item_id"])
        of_chunk = np.bincount(item, minlength=len(self.items))
        self.counts = of_chunk + np.pad(self.counts, (0, len(self.items) - len(self.counts)))
        sampling = Sampling.of(of_chunk, self.counts)
        place = f"rows {self.n_rows:,} to {self.n_rows + rows.height:,} of the log"
        sets = working_sets(
            [self.users, self.items], self._batches(user, item, sampling), rate=self.rate, place=place
        )
        with capped_threads(1):  # how products of matrices are rounded depends on the threads that share them
            for (users, items), (u, i) in sets:
                log_expected = sampling.log_expected(i, len(u), len(i) - len(u))
                to_users, to_items = gradients(users.take(u), items.take(i), i, log_expected)
                users.learn(u, to_users)
                items.learn(i, to_items)
        self.n_rows += rows.height

    def _batches(self, user: Places, item: Places, sampling: Sampling) -> Iterator[tuple[Places, Places]]:
        """Rows of a batch's users, and of their items with the drawn ones below; draws go by the place in the log."""
        for number in range(PASSES):
            for first in range(0, len(user), BATCH):
                at = slice(first, first + BATCH)
                bits = np.random.Philox(key=self.seed, counter=[0, first, self.n_rows, number + 1])
                drawn = sampling.drawn(DRAWN, np.random.Generator(bits))
                yield user[at], np.concatenate([item[at], drawn])

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, pl.Series]:
        """Score each pair by itself: a row-wise product, so that one pair gives what all give."""
        (user, has_user), (item, has_item) = (
            found(table, pairs[key]) for table, key in ((self.users, "user_id"), (self.items, "item_id"))
        )
        score = np.where(has_user & has_item, (user * item).sum(axis=1), np.nan)
        return {
            "doc2vec_score": pl.Series(score),
            "doc2vec_user_vector": where_known(user, has_user),
            "doc2vec_item_vector": where_known(item, has_item),
        }

    def save(self, folder: Path) -> None:
        """Write both tables, the counts and how far it is."""
        save_tables(folder, [self.users, self.items], {**FORMAT, "n_rows": self.n_rows})
        np.save(folder / _COUNTS, self.counts, allow_pickle=False)

    def load(self, folder: Path) -> None:
        """Read what ``save`` wrote. Raises FeatureError for the state of another version."""
        tables, notes = load_tables(folder, scratch=self.folder, memory_gib=self.memory_gib)
        if (said := {name: notes.get(name) for name in FORMAT}) != FORMAT:
            raise FeatureError(
                f"The state in {folder} is another version's: {said}.", expected=f"{FORMAT}", todo="remove it"
            )
        self.users, self.items = tables["users"], tables["items"]
        self.counts, self.n_rows = np.load(folder / _COUNTS, allow_pickle=False), notes["n_rows"]


@dataclass(frozen=True)
class Sampling:
    """How items come to be compared with: liked by others in the batch, or drawn.

    Attributes
    ----------
    in_batch
        Share of each item in the likes of the chunk: Float64 (n_items,).
    up_to
        Share of the draws that go to items up to each: Float64 (n_items,), the last 1.
    by_draw
        Share of each item in the draws: Float64 (n_items,).
    """

    in_batch: Values
    up_to: Values
    by_draw: Values

    @classmethod
    def of(cls, of_chunk: Counts, counts: Counts) -> Sampling:
        """Take the likes of the chunk and those so far, the chunk's among them: (n_items,) each."""
        weights = counts**POWER
        by_draw = weights / weights.sum()
        return cls(of_chunk / max(of_chunk.sum(), 1), np.cumsum(by_draw), by_draw)

    def drawn(self, n: int, rng: np.random.Generator) -> Places:
        """Draw rows of items: Int64 (n,)."""
        at: Places = np.searchsorted(self.up_to, rng.random(n) * self.up_to[-1], side="right")
        return at.clip(max=len(self.up_to) - 1)

    def log_expected(self, places: Places, n_likes: int, n_drawn: int) -> Floats:
        """How often each item is expected beside a like, among those of ``n_likes`` - 1 others and the drawn ones.

        Logarithms, Float32 (n,).
        """
        expected = (n_likes - 1) * self.in_batch[places] + n_drawn * self.by_draw[places]
        return np.log(expected).astype(np.float32)


def corrected(users: Tensor, items: Tensor, places: Places, log_expected: Floats) -> Tensor:
    """Logits of the sampled softmax: (n_likes, n_items).

    Parameters
    ----------
    users
        (n_likes, dim).
    items
        (n_items, dim): those that the users like, in their order, and below them others.
    places, log_expected
        (n_items,): rows of the items; logarithm of how often each is expected.
    """
    import torch

    logits = users @ items.T
    own = logits.diagonal().clone()
    logits -= torch.from_numpy(log_expected)
    at = torch.from_numpy(places)
    logits[at[: len(users), None] == at] = -torch.inf
    logits.diagonal().copy_(own)
    return logits


def gradients(
    users: Tensor, items: Tensor, places: Places, log_expected: Floats, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Gradients of the summed loss ``-log p(own item | user)``: as ``users`` and as ``items`` of ``corrected``.

    ``weights``: how much each user's counts, (n_likes,); None = 1.
    """
    import torch

    rest = torch.softmax(corrected(users, items, places, log_expected), dim=1)
    rest.diagonal().sub_(1)
    if weights is not None:
        rest *= weights[:, None]
    return rest @ items, rest.T @ users


def found(table: EmbeddingTable, ids: pl.Series) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Vectors of ids, zeros for those without a row: Float32 (n, DIM); and which have one: (n,)."""
    rows = table.rows(ids)
    vectors = np.zeros((len(rows), DIM), dtype=np.float32)
    vectors[rows >= 0] = table.read(rows[rows >= 0])
    return vectors, rows >= 0


def where_known(vectors: Floats, is_known: npt.NDArray[np.bool_]) -> pl.Series:
    """Give vectors as an array column, null where there is none."""
    column = pl.Series("vector", vectors, dtype=pl.Array(pl.Float32, DIM))
    return column.to_frame().select(pl.when(pl.Series(is_known)).then("vector"))["vector"]
