"""How near the item's genres are to those the user liked and disliked before."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from features import Column, Window, fitted
from features.toolkit import Embeddings, Values, Vectors, codes, cosines, usual


@fitted(
    columns={
        "genre_cosine_liked": Column(
            pl.Float32, "Cosine of the item's genres with those the user liked; null if either is unknown."
        ),
        "genre_cosine_disliked": Column(
            pl.Float32, "Cosine of the item's genres with those the user disliked; null if either is unknown."
        ),
        "genre_taste": Column(
            pl.Float32,
            "Cosine with the liked genres minus cosine with the disliked ones; null if any is unknown.",
        ),
    },
    null_without="user_id",
    needs=usual("user_id", "genres", "like", "dislike"),
)
class GenreTaste:
    """Genres of the item against those the user liked and disliked."""

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Count the genres of each user's liked and disliked rows; nothing of the size of the log is held."""
        dtype = history.collect_schema()["genres"]
        self.liked, self.disliked = (
            profiles(history.filter(which), dtype) for which in (pl.col("like"), pl.col("dislike"))
        )

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Values]:
        """Compare each pair's item with the profile of its user."""
        vectors = genre_vectors(pairs["genres"])
        liked, disliked = (cosines(vectors, of[pairs["user_id"]]) for of in (self.liked, self.disliked))
        return {
            "genre_cosine_liked": liked,
            "genre_cosine_disliked": disliked,
            "genre_taste": liked - disliked,
        }


def profiles(rows: pl.LazyFrame, dtype: pl.DataType) -> Embeddings:
    """Count the genres of each user's rows: (n_users + 1, n_genres); users without any share the last, zeros."""
    exploded = rows.select("user_id", "genres").explode("genres").drop_nulls()
    cells = exploded.group_by("user_id", "genres").len().collect(engine="streaming")
    users = cells["user_id"].unique().sort()
    counts = np.zeros((len(users) + 1, len(dtype.inner.categories)))  # type: ignore[attr-defined]
    counts[codes(cells["user_id"], users), cells["genres"].to_physical().to_numpy()] = cells["len"].to_numpy()
    return Embeddings(users, counts)


def genre_vectors(genres: pl.Series) -> Vectors:
    """Give a row of ones and zeros (n_rows, n_genres) for a column of lists of Enum; unknown = all zeros."""
    inner = genres.dtype.inner  # type: ignore[attr-defined]
    n_genres = len(inner.categories)
    exploded = pl.DataFrame({"genres": genres}).with_row_index("at").explode("genres").drop_nulls()
    vectors = np.zeros((len(genres), n_genres))
    vectors[exploded["at"].to_numpy(), exploded["genres"].to_physical().to_numpy()] = 1.0
    return vectors
