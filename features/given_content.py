"""Texts and vectors that the competition declares, by a reduction that is fitted on the history.

All texts of a pair are one text, whose words and pairs of words are hashed (scikit-learn's ``HashingVectorizer``); all
vectors of a pair are one vector, each divided by its spread. A truncated SVD of the different ones of the history
gives ``N_DIMENSIONS`` numbers. Their space is another one in each window, so that not they leave this file, but what
they say in any space: the relevance that they foretell, and how near they are to what the user found relevant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from engine import capped_threads
from features import Column, LogColumns, Window, fitted
from features.toolkit import Sparse, Values, Vectors, as_vectors, codes, cosines, hashed_words

N_DIMENSIONS, N_HASHES = 16, 2**14
SEED = 20_261_129
MOST_ROWS = 100_000  # that are learned from where every row has content of its own
PULL = 20.0  # rows that pull a coefficient half way to nothing, about

Kind = Literal["text", "vector"]


def needed(log: LogColumns, kind: Kind) -> tuple[str, ...]:
    """Name the columns that are reduced, and what they are compared with; where there are none, what is lacking."""
    found = log.shown_texts if kind == "text" else log.shown_vectors
    return (log.user, log.item, "relevance", *found) if found else (f"a {kind} that is seen of a pair",)


@fitted(
    columns={
        "given_relevance": Column(
            pl.Float32, "Relevance that the texts or vectors of the pair foretell; null if unknown."
        ),
        "given_nearness": Column(
            pl.Float32,
            "Cosine of them with the mean of those that the user found relevant; null if either is unknown.",
            range=(-1, 1),
        ),
    },
    needs=needed,
    variants={"text": {"kind": "text"}, "vector": {"kind": "vector"}},
)
@dataclass
class GivenContent:
    """Texts, or vectors, in few numbers; what these say of relevance, and of the user."""

    log: LogColumns
    kind: Kind
    most: int = 1_000_000  # newest rows that are learned from

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Reduce the different texts or vectors of the newest rows, then regress relevance on them."""
        self.names = list(self.log.shown_texts if self.kind == "text" else self.log.shown_vectors)
        key = self._key()
        names = dict.fromkeys((self.log.user, "relevance", "clock", "row", key, *self.names))
        rows = history.select(*names).tail(self.most if key != "row" else MOST_ROWS)
        frame = rows.collect(engine="streaming").sort("clock", "row")
        different = frame[key].unique().sort()
        entity = codes(frame[key], different)
        _, first = np.unique(entity, return_index=True)
        content = frame[first].select(self.names)
        self.spread = np.ones(1)
        if self.kind == "vector" and content.height:
            spread = _side_by_side(content).std(axis=0)
            self.spread = np.where(spread > 0, spread, 1.0)
        table = self._table(content)
        self.axes = _axes(table)
        self.middle = np.zeros(self.axes.shape[1])
        known = self._reduced(table)
        known = known[np.isfinite(known).all(axis=1)]
        self.middle = known.mean(axis=0) if len(known) else self.middle
        reduced = self._reduced(table)
        relevance = frame["relevance"].to_numpy().astype(np.float64)
        self.mean = float(relevance.mean()) if len(relevance) else 0.0
        self.coefficients = _ridge(reduced, entity, relevance - self.mean)
        liked = relevance > 0
        users = frame[self.log.user]
        self.users = users.unique().sort()
        self.profiles = np.zeros((len(self.users) + 1, reduced.shape[1]))
        theirs = np.nan_to_num(reduced[entity[liked]])
        np.add.at(self.profiles, codes(users, self.users)[liked], theirs)

    def _key(self) -> str:
        """Name what the content belongs to: an item, a user, or a row by itself."""
        if set(self.names) <= set(self.log.of_item):
            return self.log.item
        return self.log.user if set(self.names) <= set(self.log.of_user) else "row"

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Values]:
        """Reduce each pair's by itself, and compare with its user's."""
        reduced = self._reduced(self._table(pairs.select(self.names)))
        profile = self.profiles[codes(pairs[self.log.user], self.users)]
        return {
            "given_relevance": self.mean + (reduced * self.coefficients).sum(axis=1),
            "given_nearness": cosines(reduced, profile),
        }

    def _table(self, content: pl.DataFrame) -> Sparse:
        """Give what is reduced, a row each: hashed words, or vectors. A row of zeros is unknown."""
        if self.kind == "text":
            return hashed_words(content, N_HASHES, longest=2)
        import scipy.sparse

        return scipy.sparse.csr_matrix(_side_by_side(content) / self.spread)

    def _reduced(self, table: Sparse) -> Vectors:
        """Give the few numbers of each row, less their mean (n, n_dimensions); NaN where nothing is known."""
        reduced: Vectors = np.asarray(table @ self.axes) - self.middle
        reduced[np.diff(table.indptr) == 0] = np.nan
        return reduced


def _side_by_side(content: pl.DataFrame) -> Vectors:
    return np.hstack([as_vectors(column) for column in content])


def _axes(table: Sparse) -> Vectors:
    """Give the directions (n_columns, n_dimensions) of the largest spread; fewer where there is less to see."""
    from sklearn.decomposition import TruncatedSVD

    n = min(N_DIMENSIONS, table.shape[0] - 1, table.shape[1] - 1)
    if n < 1 or not table.nnz:
        return np.zeros((table.shape[1], 1))
    with capped_threads(1):  # sums of several threads come in any order
        model = TruncatedSVD(n_components=n, n_iter=4, random_state=SEED).fit(table)
    return np.asarray(model.components_.T, dtype=np.float64)


def _ridge(reduced: Vectors, entity: npt.NDArray[np.intp], target: Values) -> Values:
    """Regress the target (n_rows,) on the numbers of each row's content, pulled to zero."""
    known = np.nan_to_num(reduced)
    count = np.bincount(entity, minlength=len(known)).astype(np.float64)
    total = np.bincount(entity, weights=target, minlength=len(known))
    with capped_threads(1):
        gram = (known * count[:, None]).T @ known
        scale = max(float(np.trace(gram)) / max(count.sum(), 1.0), 1e-9) / known.shape[1]
        gram += PULL * scale * np.eye(known.shape[1])
        return np.asarray(np.linalg.solve(gram, known.T @ total), dtype=np.float64)
