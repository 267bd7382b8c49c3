"""Entities, streamed: users, items and sources in one space, learned together from several outcomes.

After OmniSearchSage (Agarwal et al. 2024, arXiv 2404.16260): one encoder a kind of entity, one loss a pair of kinds,
all of them trained at once. An entity is the sum of what is known of it:

    user   = its own vector + A (attributes, 1) + the mean of the vectors of its words
    source = its own vector
    item   = its own vector + the vector of its source + B (attributes, contents, 1) + the mean of its words'

so that a new item starts where its source and its content say, and a new user at the mean of those of their kind.
Attributes are numbers, levels and vectors as ``features/toolkit/designs.py`` makes them; A and B are tables with a
row for each of these numbers, learned as vectors are. The words of texts are hashed to one of ``WORDS`` vectors, those
of users and of items apart. For a row of the log with entities a and b, the loss of the pair
of kinds (a, b) is

    -v w log( exp(a b) / sum_j exp(a b_j - log Q_j) )

with the pair's weight v (``PAIRS``), over the others of b's kind in the batch and for items over ``DRAWN`` more, drawn
by their counts to the power ``POWER``; Q_j is how often j is expected among them (logQ correction, Yi et al. 2019: see
``features/doc2vec.py``).
The outcomes are tasks that share what a row is compared with, so that the sum of their losses is one loss, where w
sums what each outcome weighs: it is 1 for a positive relevance, ``REACTION`` for each other reaction whose rows
are more relevant than others so far, and ``DENSE`` for a row in the upper third of its chunk by the dense outcome that
the competition declares, among rows of a like ``dense_per``. A row with a negative relevance says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from engine import EmbeddingTable, capped_threads, load_tables, save_tables, working_sets
from features import Column, FeatureError, LogColumns, StreamContext, streamed
from features.doc2vec import DIM, Places, Sampling, gradients
from features.taste import normal_scores
from features.toolkit import Design, Floats, Sparse, Values, hashed_words, multiplied

if TYPE_CHECKING:
    from torch import Tensor

NOISE, RATE = 0.1, 0.1
BATCH, DRAWN = 256, 64  # rows; items drawn beside theirs
PASSES = 3  # over the rows of a chunk
REACTION, DENSE, UPPER = 1.0, 1.0, 0.43  # weights; the normal score from which on it counts
WORDS = 2**15  # vectors of words, of users and of items each
MOST_DESIGNED = 20_000  # entities of the first chunk that say which levels and scales attributes have
PAIRS = (("user", "item", 1.0), ("user", "source", 0.3), ("item", "source", 0.01))  # of kinds, with weights
FORMAT = {"format": 1, "dim": DIM}

_VECTOR = "Vector of the {} in the space of entities; never null: what is known of it if unseen."
_COLUMNS = {
    "entities_score": Column(pl.Float32, "Inner product of the entities' vectors of user and item; never null."),
    "entities_source_score": Column(
        pl.Float32, "Inner product of the entities' vectors of user and source; never null: zero without a source."
    ),
    **{
        f"entities_{of}_vector": Column(pl.Array(pl.Float32, DIM), _VECTOR.format(of))
        for of in ("user", "item", "source")
    },
}  # fmt: skip


@streamed(columns=_COLUMNS, needs=lambda log: log.all, step=100_000)
@dataclass
class Entities:
    """Vectors of users, items and sources that are near where a row of the log with a good outcome joins them.

    Parameters
    ----------
    pairs
        Pairs of kinds with a loss, and its weight.
    rate
        Step of row-wise Adagrad.
    memory_gib
        What the vectors of each kind may take of memory; beyond that they lie in files.
    """

    log: LogColumns
    pairs: Sequence[tuple[str, str, float]] = PAIRS
    rate: float = RATE
    memory_gib: float = 1.0

    def start(self, context: StreamContext) -> None:
        """Begin without a row."""
        self.seed, self.folder, self.n_rows = context.seed, context.folder, 0
        self.tables = {
            name: EmbeddingTable(
                name, DIM, seed=self.seed + at, noise=NOISE if name in self.keys else 0.0,
                folder=self.folder, memory_gib=self.memory_gib,
            )
            for at, name in enumerate(
                (
                    *self.keys,
                    *(f"attributes of {of}" for of in self.attributes),
                    *(f"words of {of}" for of in self.texts),
                )
            )
        }  # fmt: skip
        # Rows with each reaction, "" being all, and the sum of their relevance.
        self.relevant = {name: [0.0, 0.0] for name in ("", *self.log.reactions)}
        self.designs = dict[str, Design]()
        self.designed = dict[str, pl.DataFrame]()

    @property
    def keys(self) -> dict[str, str]:
        """Column of each kind of entity that the log has."""
        keys = {"user": self.log.user, "item": self.log.item}
        return {**keys, "source": self.log.source} if self.log.source else keys

    @property
    def attributes(self) -> dict[str, tuple[str, ...]]:
        """Columns that describe an entity of each kind, beside its texts."""
        return {
            of: tuple(n for n in names if n not in self.log.shown_texts) for of, names in self._told.items()
        }

    @property
    def texts(self) -> dict[str, tuple[str, ...]]:
        """Texts that describe an entity of each kind that has any."""
        texts = {of: tuple(n for n in names if n in self.log.shown_texts) for of, names in self._told.items()}
        return {of: names for of, names in texts.items() if names}

    @property
    def _told(self) -> dict[str, tuple[str, ...]]:
        return {"user": self.log.of_user, "item": self.log.of_item}

    def learn(self, rows: pl.DataFrame) -> None:
        """Go over the chunk's rows with a good outcome, in batches that follow the log's order."""
        place = f"rows {self.n_rows:,} to {self.n_rows + rows.height:,} of the log"
        good = rows.with_columns(pl.Series("weight", self._weights(rows)))
        good = good.filter(
            pl.col("weight") > 0, *(pl.col(self.keys[of]).is_not_null() for of in ("user", "item"))
        )
        if good.height:
            if not self.designs:
                self._make_designs(good)
            self._train(Chunk.of(self, good), place)
        self.n_rows += rows.height

    def _train(self, chunk: Chunk, place: str) -> None:
        """Let the tables learn from the batches of a chunk."""
        tables, batches = list(self.tables.values()), list(self._batches(chunk))
        read = (chunk.rows(*batch) for batch in batches)
        lent = working_sets(tables, read, rate=self.rate, place=place)
        # How products of matrices are rounded depends on the threads that share them.
        with capped_threads(1):
            for (at, n), (sets, rows) in zip(batches, lent, strict=True):
                vectors = [s.take(of) for s, of in zip(sets, rows, strict=True)]
                found = chunk.gradients(dict(zip(self.tables, vectors, strict=True)), at, n, self.pairs)
                for name, s, of in zip(self.tables, sets, rows, strict=True):
                    s.learn(of, found[name])

    def _weights(self, rows: pl.DataFrame) -> Floats:
        """How much each row counts, by all outcomes: Float32 (n,), 0 for those that say nothing."""
        relevance = rows["relevance"].cast(pl.Float32)
        known = relevance.is_not_null()
        weight = (relevance.fill_null(0) > 0).cast(pl.Float32).to_numpy().copy()
        reacted = {n: (rows[n].fill_null(False) & known).to_numpy() for n in self.log.reactions}
        for name, has in {"": known.to_numpy(), **reacted}.items():
            sums = self.relevant[name]
            sums[0] += float(has.sum())
            sums[1] += float(relevance.fill_null(0).to_numpy()[has].sum(dtype=np.float64))
        n_all, of_all = self.relevant[""]
        for name, has in reacted.items():
            n, of = self.relevant[name]
            if of * n_all > of_all * n:
                weight[has] += np.float32(REACTION)
        if self.log.dense:
            per = numbers(rows[self.log.dense_per]) if self.log.dense_per else None
            weight[normal_scores(numbers(rows[self.log.dense]), per) > UPPER] += np.float32(DENSE)
        weight[(relevance.fill_null(0) < 0).to_numpy()] = 0
        return weight

    def _make_designs(self, rows: pl.DataFrame) -> None:
        """Let the first entities say which numbers describe one of their kind; there is a row of A or B for each."""
        for of, names in self.attributes.items():
            first = rows.unique(self.keys[of], keep="first", maintain_order=True).head(MOST_DESIGNED)
            self.designed[of] = first.select(names)
            self.designs[of] = Design(self.designed[of], names)
            self.tables[f"attributes of {of}"].grow(pl.Series(np.arange(self.designs[of].width + 1)))

    def described(self, of: str, table: pl.DataFrame) -> Floats:
        """Numbers that describe the entities of a table, the last of which is 1: Float32 (n, width + 1)."""
        design = self.designs[of].of(table)
        return np.hstack([design, np.ones((table.height, 1), dtype=np.float32)])

    def _batches(self, chunk: Chunk) -> Iterator[tuple[Places, int]]:
        """Places of a batch's rows in the chunk, then of rows with the drawn items; and how many the former are."""
        n_rows = len(chunk.weight)
        for number in range(PASSES):
            for first in range(0, n_rows, BATCH):
                bits = np.random.Philox(key=self.seed, counter=[0, first, self.n_rows, number + 1])
                drawn = chunk.first_of_item[chunk.sampling["item"].drawn(DRAWN, np.random.Generator(bits))]
                at = np.arange(first, min(first + BATCH, n_rows))
                yield np.concatenate([at, drawn]), len(at)

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Floats]:
        """Encode user, item and source of each pair by itself; scores are row-wise products."""
        user, source = self._encoded("user", pairs), self._own("source", pairs)
        item = self._encoded("item", pairs) + source
        vectors = {
            "entities_user_vector": user,
            "entities_item_vector": item,
            "entities_source_vector": source,
        }
        return {
            "entities_score": (user * item).sum(axis=1),
            "entities_source_score": (user * source).sum(axis=1),
            **vectors,
        }

    def _own(self, of: str, pairs: pl.DataFrame) -> Floats:
        """Own vectors, zeros for the unseen: Float32 (n, DIM)."""
        found = np.zeros((pairs.height, DIM), dtype=np.float32)
        if of in self.keys:
            rows = self.tables[of].rows(pairs[self.keys[of]])
            found[rows >= 0] = self.tables[of].read(rows[rows >= 0])
        return found

    def _encoded(self, of: str, pairs: pl.DataFrame) -> Floats:
        """Own vectors and what attributes say: Float32 (n, DIM)."""
        found = self._own(of, pairs)
        if of in self.designs:
            table = self.tables[f"attributes of {of}"]
            weights = table.read(np.arange(len(table))).T
            for first in range(0, pairs.height, MOST_DESIGNED):
                some = slice(first, first + MOST_DESIGNED)
                found[some] += multiplied(self.described(of, pairs[some]), weights)
        for first in range(0, pairs.height if of in self.texts else 0, MOST_DESIGNED):
            some = slice(first, first + MOST_DESIGNED)
            found[some] += self._of_words(of, pairs[some])
        return found

    def _of_words(self, of: str, pairs: pl.DataFrame) -> Floats:
        """Means of the vectors of each row's words, those of unseen ones being zeros: Float32 (n, DIM)."""
        words, table = self.words(of, pairs), self.tables[f"words of {of}"]
        used, words.indices = np.unique(words.indices, return_inverse=True)
        words.resize(pairs.height, len(used))
        rows = table.rows(pl.Series(used, dtype=pl.Int64))
        vectors = np.zeros((len(used), DIM), dtype=np.float32)
        vectors[rows >= 0] = table.read(rows[rows >= 0])
        means: Floats = words @ vectors
        return means

    def words(self, of: str, table: pl.DataFrame) -> Sparse:
        """Share of each word in the texts of the entities of a table: Float32 (n, WORDS)."""
        return hashed_words(table.select(self.texts[of]), WORDS, as_mean=True).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write the tables, how far it is, what reactions tell, and the entities that attributes were read of."""
        notes = {**FORMAT, "n_rows": self.n_rows, "relevant": self.relevant}
        save_tables(folder, list(self.tables.values()), notes)
        for of, table in self.designed.items():
            table.write_ipc(folder / f"{of}.arrow")

    def load(self, folder: Path) -> None:
        """Read what ``save`` wrote. Raises FeatureError for the state of another version."""
        tables, notes = load_tables(folder, scratch=self.folder, memory_gib=self.memory_gib)
        expected = {**FORMAT, "tables": sorted(self.tables)}
        if (found := {**{n: notes.get(n) for n in FORMAT}, "tables": sorted(tables)}) != expected:
            raise FeatureError(
                f"The state in {folder} is another version's: {found}.",
                expected=f"{expected}",
                todo="remove it",
            )
        self.tables = {name: tables[name] for name in self.tables}
        self.n_rows, self.relevant = notes["n_rows"], notes["relevant"]
        self.designed = {
            of: pl.read_ipc(folder / f"{of}.arrow")
            for of in self.attributes
            if (folder / f"{of}.arrow").exists()
        }
        self.designs = {of: Design(table, self.attributes[of]) for of, table in self.designed.items()}


@dataclass(frozen=True)
class Chunk:
    """Rows of a chunk that are learned from.

    Attributes
    ----------
    at
        Rows of the tables of entities, Int64 (n,) each; -1 for no source.
    has_source
        Whether there is a table of sources.
    words
        Share of each word in the texts of the distinct users and items that have any: (n_distinct, rows of the table).
    described, entity
        Numbers that describe the distinct users and items, (n_distinct, width + 1); which of them each row has, (n,).
    weight
        How much each row counts: Float32 (n,).
    sampling
        How items, and sources, come to be compared with.
    first_of_item
        A place in the chunk of each item that is there, by its row.
    """

    at: Mapping[str, Places]
    has_source: bool
    words: Mapping[str, Sparse]
    described: Mapping[str, Tensor]
    entity: Mapping[str, Places]
    weight: Floats
    sampling: Mapping[str, Sampling]
    first_of_item: Places

    @classmethod
    def of(cls, model: Entities, rows: pl.DataFrame) -> Chunk:
        """Give each new entity a row, and describe those that are there."""
        import torch

        at = {of: model.tables[of].grow(rows[key]) for of, key in model.keys.items()}
        at.setdefault("source", np.full(rows.height, -1))
        described: dict[str, Tensor] = {}
        entity: dict[str, Places] = {}
        words: dict[str, Sparse] = {}
        for of in model.attributes:
            _, first, entity[of] = np.unique(at[of], return_index=True, return_inverse=True)
            described[of] = torch.from_numpy(model.described(of, rows[first]))
            if of in model.texts:
                words[of] = own = model.words(of, rows[first])
                own.indices = model.tables[f"words of {of}"].grow(pl.Series(own.indices, dtype=pl.Int64))
                own.resize(len(first), WORDS)
        sampling = {}
        for of in ("item", "source"):
            counts = np.bincount(at[of][at[of] >= 0], minlength=1)
            sampling[of] = Sampling.of(counts, np.maximum(counts, int(not counts.any())))
        first_of_item = np.zeros(int(at["item"].max()) + 1, dtype=np.int64)
        first_of_item[at["item"][::-1]] = np.arange(rows.height)[::-1]
        weight = rows["weight"].to_numpy()
        return cls(at, "source" in model.keys, words, described, entity, weight, sampling, first_of_item)

    def words_at(self, of: str, at: Places, n: int) -> Sparse:
        """Words of the entities of a batch: of its ``n`` users, or of all items in it."""
        return self.words[of][self.entity[of][at[:n] if of == "user" else at]]

    def rows(self, at: Places, n: int) -> list[Places]:
        """Rows that a batch reads, in the order of the tables: entities, then all attributes, then words."""
        source = self.at["source"][at]
        sources = [source[source >= 0]] if self.has_source else []
        return [
            self.at["user"][at[:n]], self.at["item"][at], *sources,
            *(np.arange(table.shape[1]) for table in self.described.values()),
            *(self.words_at(of, at, n).indices.astype(np.int64) for of in self.words),
        ]  # fmt: skip

    def gradients(
        self, vectors: Mapping[str, Tensor], at: Places, n: int, pairs: Sequence[tuple[str, str, float]]
    ) -> dict[str, Tensor]:
        """Gradients of the summed losses: one of each vector that the batch reads, by its table."""
        import torch

        has_source = torch.from_numpy(self.at["source"][at] >= 0)
        source = torch.zeros(len(at), DIM)
        if "source" in vectors:
            source[has_source] = vectors["source"]
        of_user, of_item = (
            self.described[of][torch.from_numpy(self.entity[of][places])]
            for of, places in (("user", at[:n]), ("item", at))
        )
        x = {
            "user": vectors["user"] + of_user @ vectors["attributes of user"],
            "item": vectors["item"] + source + of_item @ vectors["attributes of item"],
            "source": source,
        }
        owners = {}
        for of in self.words:
            words = self.words_at(of, at, n)
            owner = torch.from_numpy(np.repeat(np.arange(words.shape[0]), np.diff(words.indptr)))
            owners[of] = owner, torch.from_numpy(words.data)[:, None]
            x[of].index_add_(0, owner, vectors[f"words of {of}"] * owners[of][1])
        moved = {of: torch.zeros_like(of_x) for of, of_x in x.items()}
        for a, b, of_pair in pairs:
            left = np.arange(n) if b == "item" else np.flatnonzero(has_source.numpy()[:n])
            right = np.arange(len(at)) if b == "item" else left
            if len(right) > 1:  # with something to compare with
                places = self.at[b][at[right]]
                expected = self.sampling[b].log_expected(places, len(left), len(right) - len(left))
                weight = torch.from_numpy(np.float32(of_pair) * self.weight[at[left]])
                to_a, to_b = gradients(x[a][left], x[b][right], places, expected, weight)
                moved[a][left] += to_a
                moved[b][right] += to_b
        found = {
            "user": moved["user"],
            "item": moved["item"],
            "attributes of user": of_user.T @ moved["user"],
            "attributes of item": of_item.T @ moved["item"],
        }
        if "source" in vectors:
            found["source"] = (moved["source"] + moved["item"])[has_source]
        for of, (owner, share) in owners.items():
            found[f"words of {of}"] = moved[of][owner] * share
        return found


def numbers(column: pl.Series) -> Values:
    """Give a column as Float64 (n,), NaN for null."""
    found: Values = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return found
