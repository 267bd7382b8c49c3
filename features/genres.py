"""How near the item's genres are to those the user liked and disliked before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from features import Window, codes, fitted

Vectors = npt.NDArray[np.float64]


@fitted(
    columns={
        "genre_cosine_liked": pl.Float32,
        "genre_cosine_disliked": pl.Float32,
        "genre_taste": pl.Float32,
    },
    needs=["user_id", "genres", "like", "dislike"],
    meanings={
        "genre_cosine_liked": "Cosine of the item's genres with those the user liked; null if either is unknown.",
        "genre_cosine_disliked": "Cosine of the item's genres with those the user disliked; null if either is unknown.",
        "genre_taste": "Cosine with the liked genres minus cosine with the disliked ones; null if any is unknown.",
    },
)
class GenreTaste:
    """Genres of the item against those the user liked and disliked."""

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Count the genres of each user's liked and disliked rows; nothing of the size of the log is held."""
        dtype = history.collect_schema()["genres"]
        self.liked, self.disliked = (
            _profiles(history.filter(which), dtype) for which in (pl.col("like"), pl.col("dislike"))
        )

    def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Compare each pair's item with the profile of its user."""
        vectors = genre_vectors(pairs["genres"])
        liked, disliked = (
            cosine(vectors, profiles.of(pairs["user_id"])) for profiles in (self.liked, self.disliked)
        )
        columns = {
            "genre_cosine_liked": liked,
            "genre_cosine_disliked": disliked,
            "genre_taste": liked - disliked,
        }
        return pairs.select("pair_id").with_columns(
            pl.Series(name, values, dtype=pl.Float64).fill_nan(None).cast(pl.Float32)
            for name, values in columns.items()
        )


@dataclass(frozen=True)
class Profiles:
    """Counts of genres (n_users + 1, n_genres); the last row is empty: users without any share it."""

    users: pl.Series
    counts: Vectors

    def of(self, users: pl.Series) -> Vectors:
        """Profiles of users, one row each."""
        return self.counts[codes(users, self.users)]


def _profiles(rows: pl.LazyFrame, dtype: pl.DataType) -> Profiles:
    exploded = rows.select("user_id", "genres").explode("genres").drop_nulls()
    cells = exploded.group_by("user_id", "genres").len().collect(engine="streaming")
    users = cells["user_id"].unique().sort()
    counts = np.zeros((len(users) + 1, len(dtype.inner.categories)))  # type: ignore[attr-defined]
    counts[codes(cells["user_id"], users), cells["genres"].to_physical().to_numpy()] = cells["len"].to_numpy()
    return Profiles(users, counts)


def genre_vectors(genres: pl.Series) -> Vectors:
    """Give a row of ones and zeros (n_rows, n_genres) for a column of lists of Enum; unknown = all zeros."""
    inner = genres.dtype.inner  # type: ignore[attr-defined]
    n_genres = len(inner.categories)
    exploded = pl.DataFrame({"genres": genres}).with_row_index("at").explode("genres").drop_nulls()
    vectors = np.zeros((len(genres), n_genres))
    vectors[exploded["at"].to_numpy(), exploded["genres"].to_physical().to_numpy()] = 1.0
    return vectors


def cosine(a: Vectors, b: Vectors) -> npt.NDArray[np.float64]:
    """Cosine of the rows of two (n, d) arrays, row by row; NaN where either is all zeros."""
    norms: Vectors = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    cosines: Vectors = np.full(len(a), np.nan)
    np.divide((a * b).sum(axis=1), norms, out=cosines, where=norms > 0)
    return cosines
