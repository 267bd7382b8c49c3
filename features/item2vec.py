"""item2vec (Barkan, Koenigstein 2016): items and sources that the same users like one after the other are near.

Word2Vec of gensim over each user's history as a sentence, in one thread and with a fixed seed.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from features import Column, Window, fitted
from features.toolkit import (
    Values,
    Vectors,
    codes,
    cosines,
    embeddings,
    lengths,
    residuals,
    signal_columns,
    usual,
)

FACTORS = 16
SEED = 20_241_124
CONTEXT, NEGATIVES = 5, 5
LIKED = 1.0  # above the usual, in the unit of the signal (log-odds of watching)
MAX_TOKENS = 1_000_000  # the newest ones: about 100 bytes each in sentences
WORK, MOST_EPOCHS = 500_000, 20  # tokens x epochs
MOST_A_SENTENCE = 5_000  # gensim leaves out what is beyond 10,000
N_MEAN, N_NEAREST = 50, 10  # newest tokens of a user that entities are compared with


@fitted(
    columns={
        "w2v_cosine": Column(
            pl.Float32,
            "Cosine of the item's (source's) vector and the mean of the user's last 50; null if unseen.",
            range=(-1, 1),
        ),
        "w2v_nearest": Column(
            pl.Float32,
            "Cosine of the item's (source's) vector and the nearest of the user's last 10; null if unseen.",
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
class Item2Vec:
    """Skip-gram vectors of what users like, or watch for longer than others do."""

    entity: str
    signal: str

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Learn vectors from the newest ``MAX_TOKENS`` tokens, in at most ``WORK`` of them over all epochs."""
        tokens = tokens_of(history, self.signal, self.entity)
        self.users, entities = tokens["user"].unique().sort(), tokens["token"].unique().sort()
        vectors = learned(tokens, entities) if tokens.height else np.zeros((0, FACTORS))
        length = lengths(vectors)[:, None]
        vectors = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
        self.entities = embeddings(entities, vectors, FACTORS)
        self.newest = newest_places(tokens, self.users, entities, N_MEAN)

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Values]:
        """Score each pair by itself: one of the user's tokens after the other, so that other rows cannot matter."""
        entity = self.entities[pairs[self.entity]]
        newest = self.newest[codes(pairs["user_id"], self.users)]
        mean, nearest = np.zeros_like(entity), np.full(len(entity), -np.inf)
        for back in range(N_MEAN):
            token = self.entities.vectors[newest[:, back]]
            is_there = newest[:, back] < len(self.entities.keys)
            mean[is_there] += token[is_there]
            if back < N_NEAREST:
                nearest = np.fmax(nearest, cosines(entity, token))
        nearest[~np.isfinite(nearest)] = np.nan
        return {"w2v_cosine": cosines(entity, mean), "w2v_nearest": nearest}


def tokens_of(history: pl.LazyFrame, signal: str, entity: str) -> pl.DataFrame:
    """What users liked, in order: columns ``user`` and ``token``, the newest ``MAX_TOKENS``.

    ``like``: rows with a like. Other signals : rows ``LIKED`` above what is usual for both.
    """
    if signal == "like":
        rows = history.filter(pl.col("relevance") > 0).select(user="user_id", token=entity).drop_nulls()
        return rows.tail(MAX_TOKENS).collect(engine="streaming")
    seen = residuals(history, signal, entity)
    liked = np.flatnonzero(seen.rest > LIKED)[-MAX_TOKENS:]
    return pl.DataFrame(
        {"user": seen.users.gather(seen.user[liked]), "token": seen.entities.gather(seen.entity[liked])}
    )


def newest_places(
    tokens: pl.DataFrame, users: pl.Series, entities: pl.Series, n: int
) -> npt.NDArray[np.intp]:
    """Places of each user's newest tokens, the newest first: (n_users + 1, n); ``len(entities)`` where there is none.

    The last row is that of unseen users.
    """
    back = pl.int_range(pl.len()).reverse().over("user").alias("back")
    kept = tokens.with_columns(back).filter(pl.col("back") < n)
    newest = np.full((len(users) + 1, n), len(entities), dtype=np.intp)
    newest[codes(kept["user"], users), kept["back"].to_numpy()] = codes(kept["token"], entities)
    return newest


def learned(tokens: pl.DataFrame, entities: pl.Series) -> Vectors:
    """Vectors of the entities, Float64 (n_entities, FACTORS)."""
    from gensim.models.word2vec import Word2Vec

    place = pl.int_range(pl.len()).over("user") // MOST_A_SENTENCE
    words = tokens.with_columns(place.alias("sentence"), pl.col("token").cast(pl.String))
    sentences = words.group_by("user", "sentence", maintain_order=True).agg("token")["token"].to_list()
    model = Word2Vec(
        sentences,
        vector_size=FACTORS,
        window=CONTEXT,
        negative=NEGATIVES,
        sg=1,
        min_count=1,
        workers=1,
        seed=SEED,
        hashfxn=_stable_hash,
        epochs=max(1, min(MOST_EPOCHS, WORK // tokens.height)),
    )
    found: Vectors = model.wv[entities.cast(pl.String).to_list()].astype(np.float64)
    return found


def _stable_hash(word: str) -> int:
    """Python's own hash of a text differs between processes."""
    return zlib.crc32(word.encode())
