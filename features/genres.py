"""How near the item's genres are to those the user liked and disliked before."""

from __future__ import annotations

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
        """Sum the genre vectors of each user's liked and disliked rows."""
        rows = history.select("user_id", "genres", "like", "dislike").collect(engine="in-memory")
        self.users = rows["user_id"].unique().sort()
        places = codes(rows["user_id"], self.users)
        vectors = genre_vectors(rows["genres"])
        self.liked = self._profiles(vectors, places, rows["like"])
        self.disliked = self._profiles(vectors, places, rows["dislike"])

    def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Compare each pair's item with the profile of its user."""
        vectors = genre_vectors(pairs["genres"])
        places = codes(pairs["user_id"], self.users)  # users without history share the empty last row
        liked, disliked = cosine(vectors, self.liked[places]), cosine(vectors, self.disliked[places])
        columns = {
            "genre_cosine_liked": liked,
            "genre_cosine_disliked": disliked,
            "genre_taste": liked - disliked,
        }
        return pairs.select("pair_id").with_columns(
            pl.Series(name, values, dtype=pl.Float64).fill_nan(None).cast(pl.Float32)
            for name, values in columns.items()
        )

    def _profiles(self, vectors: Vectors, places: npt.NDArray[np.intp], which: pl.Series) -> Vectors:
        profiles = np.zeros((len(self.users) + 1, vectors.shape[1]))
        chosen = which.fill_null(value=False).to_numpy()
        np.add.at(profiles, places[chosen], vectors[chosen])
        return profiles


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
