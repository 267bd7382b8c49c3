"""Content: how near the item's vector is to those of what the user liked, disliked, watched, left and took warmly.

Products are taken row by row, never as one product of matrices, whose rounding depends on how many rows there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy

from features import Column, Window, fitted, per_pair
from features.toolkit import (
    WARMTH_COLUMNS,
    Lists,
    Sparse,
    Values,
    Vectors,
    WarmRows,
    as_vectors,
    chunks,
    codes,
    cosines,
    entries,
    item_vectors,
    lengths,
    lists_of,
    rank_within,
    rows_where,
    unit,
    usual,
    warm_rows,
)

WATCHED, LEFT = 0.8, 0.2  # share of the clip from which on it is watched, below which it is left

_LISTS = ("liked", "disliked", "watched", "ignored")
_KNOWN = "null if either is unknown."
_MEANINGS = {
    **{f"content_to_{of}": f"Cosine with the mean of the user's last 50 clips {of}; {_KNOWN}" for of in _LISTS},
    **{f"content_nearest_{of}": f"Highest cosine with one of the last 20 clips {of}; {_KNOWN}" for of in _LISTS},
    "content_taste": "Cosine with the mean of the clips liked minus that of those disliked; null if any is unknown.",
    "content_interest": "Cosine with the mean of the clips watched minus that of those ignored; null if unknown.",
    "content_warmth": "Cosine with the user's last 200 clips summed by warmth (watched beyond what is usual, "
    f"likes, less dislikes); {_KNOWN}",
    "content_source_warmth": f"Cosine of the mean vector of the source with the same sum; {_KNOWN}",
    "content_source_liked": f"Cosine of the mean vector of the source with the mean of the clips liked; {_KNOWN}",
    "content_typical": f"Cosine of the item with the mean vector of its source; {_KNOWN}",
    "content_norm": "Length of the item's content vector; null if unknown.",
}  # fmt: skip


@fitted(
    columns={name: Column(pl.Float32, meaning) for name, meaning in _MEANINGS.items()},
    needs=usual("content", "source_id", *WARMTH_COLUMNS),
)
@dataclass
class Content:
    """The item's content vector against those of the user's newest rows."""

    n_recent: int = 50  # of the user's last rows of a kind: for means
    n_nearest: int = 20  # for the nearest
    n_taken: int = 200  # of the user's last rows: for warmth
    chunk_entries: int = 400_000  # of the lists of a chunk of pairs: about 500 bytes each

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Sum the vectors of each user's lists and of each source.

        Bounds are those of ``warm_rows``. Ignored are clips with no opinion of which less than ``LEFT`` was watched.
        """
        known = item_vectors(history)
        warm = warm_rows(history, "item_id")
        vectors = known.vectors[codes(warm.rows.entities, known.items)]
        self.vectors = np.vstack([vectors, np.zeros((1, vectors.shape[1]))])
        self.units = unit(self.vectors)
        chosen = lists_by_name(warm)
        self.sums = {
            name: newest(warm, of, self.n_recent).cells @ self.vectors for name, of in chosen.items()
        }
        self.nearest = {name: newest(warm, of, self.n_nearest) for name, of in chosen.items()}
        taken = lists_of(warm.rows, warm.rows.since < self.n_taken, warm.warmth)
        self.users, self.warmth = taken.users, weighted(taken) @ self.vectors
        self.sources = known.sources.drop_nulls().unique().sort()
        self.of_source = source_sums(codes(known.sources, self.sources), known.vectors, len(self.sources))

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Values]:
        """Compare each pair's item with its user's sums, and with the clips of their lists one by one."""
        item, user = as_vectors(pairs["content"]), codes(pairs["user_id"], self.users)
        source = self.of_source[codes(pairs["source_id"], self.sources)]
        to = {name: cosines(item, self.sums[name][user]) for name in _LISTS}
        units = unit(item)
        near = {
            name: highest_cosine(units, user, self.nearest[name].cells, self.units, self.chunk_entries)
            for name in _LISTS
        }
        length = lengths(item)
        return (
            {f"content_to_{name}": values for name, values in to.items()}
            | {f"content_nearest_{name}": values for name, values in near.items()}
            | {
                "content_taste": to["liked"] - to["disliked"],
                "content_interest": to["watched"] - to["ignored"],
                "content_warmth": cosines(item, self.warmth[user]),
                "content_source_warmth": cosines(source, self.warmth[user]),
                "content_source_liked": cosines(source, self.sums["liked"][user]),
                "content_typical": cosines(item, source),
                "content_norm": np.where(length > 0, length, np.nan),
            }
        )


def lists_by_name(warm: WarmRows) -> dict[str, npt.NDArray[np.bool_]]:
    """Tell which rows (n_rows,) belong to which list."""
    has_opinion = warm.is_liked | warm.is_disliked
    return {
        "liked": warm.is_liked,
        "disliked": warm.is_disliked,
        "watched": warm.share >= WATCHED,
        "ignored": ~has_opinion & (warm.share < LEFT),
    }


def newest(warm: WarmRows, chosen: npt.NDArray[np.bool_], most: int) -> Lists:
    """List each user's newest chosen rows, at most so many; every row weighs the same."""
    rows = rows_where(warm.rows, chosen)
    return lists_of(rows, rows.since < most, np.ones(len(rows.user)))


def weighted(lists: Lists) -> Sparse:
    """Give the lists as weights: (n_users + 1, n_entities + 1)."""
    cells = lists.cells
    return scipy.sparse.csr_matrix((lists.weight, cells.indices, cells.indptr), shape=cells.shape)


def source_sums(source: npt.NDArray[np.intp], vectors: Vectors, n_sources: int) -> Vectors:
    """Sum the vectors of each source's items (n_sources + 1, n_dimensions); the last row, of unknown ones, is zeros."""
    cells = (np.ones(len(source)), (source, np.arange(len(source))))
    sums: Vectors = scipy.sparse.csr_matrix(cells, shape=(n_sources + 1, len(source))) @ vectors
    sums[n_sources] = 0.0
    return sums


def highest_cosine(
    item: npt.NDArray[np.float32],
    user: npt.NDArray[np.intp],
    lists: Sparse,
    units: npt.NDArray[np.float32],
    chunk_entries: int,
) -> Values:
    """Highest cosine of each pair's item, a unit vector, with one of its user's list; NaN without any (n_pairs,)."""
    known = np.asarray(units.any(axis=1))
    highest = np.full(len(user), -np.inf)
    for chunk in chunks(np.diff(lists.indptr)[user], chunk_entries):
        pair, entry = entries(lists, user[chunk])
        other = lists.indices[entry]
        pair, other = pair[known[other]], other[known[other]]
        products = (item[chunk][pair] * units[other]).sum(axis=1)
        np.maximum.at(highest[chunk], pair, products.astype(np.float64))
    highest[~item.any(axis=1)] = -np.inf
    return np.where(np.isfinite(highest), highest, np.nan)


@per_pair(scope="user", each=["content_warmth", "content_to_liked", "content_source_warmth"])
def content_rank(value: pl.Expr, user_id: pl.Expr) -> pl.Expr:
    """Rank of the value within the user's pairs as a share in (0, 1], ties averaged; null where the value is null."""
    return rank_within(value, user_id)
