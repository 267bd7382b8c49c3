r"""Ratings of books with reviews, titles, descriptions and genres as lists: JSON lines and Parquet, no test pairs.

Readers come, rate books for some weeks and go. ``N`` is a normal variable of variance 1.

- Book b of author a has one to three of ``GENRES``, the first of which is the author's; ``vector`` is the mean of
  its genres' indicators; ``quality = .5 N(a) + .5 N``; ``theme`` is one of ``N_THEMES``. Popularity is log-normal.
  The description has ``N_WORDS`` words: a third of its genres, a third of its theme, others of all.
- Reader u: ``taste = 1.2 N`` a genre and ``.8 N`` a theme, ``mean = 3.6 + .4 N``; activity is log-normal, at least 3
  rows; a row for each book at most. They come at a random day of two years and stay for 10 days on average.
- ``stars = round(mean + taste . vector + theme's taste + quality + .7 N)``, cut to 1 to 5. A tenth of the ratings have
  a review: words that say how many stars there are.

The rows are in the order of time, in milliseconds. Nothing is held back: a competition cuts its test window itself.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from competitions.simulator.world import Doubles, Integers, Sizes, rng_of

GENRES = (
    "fantasy",
    "crime",
    "romance",
    "history",
    "science",
    "poetry",
    "travel",
    "horror",
    "biography",
    "humour",
)
N_THEMES, N_WORDS, WORDS_EACH = 6, 24, 12
START, DAY, N_DAYS = 1_640_995_200_000, 86_400_000, 730  # milliseconds: 2022-01-01
OPINIONS = ("could not finish it", "rather dull", "quite all right", "liked it a lot", "a masterpiece")
FILES = ("ratings.jsonl", "books.parquet")


def write_ratings(folder: Path, n_rows: int, seed: int) -> tuple[tuple[str, ...], Sizes, int]:
    """Write the files; return their names, the log first, the sizes and the number of test pairs: none are given."""
    n_readers, n_books = max(50, n_rows // 50), max(100, n_rows // 60)
    n_authors = max(20, n_books // 6)
    books = _books(n_books, n_authors, seed)
    _ratings(books, n_readers, n_rows, seed).write_ndjson(folder / FILES[0])
    books.select("book", "title", "author", "year", "genres", "description").write_parquet(folder / FILES[1])
    return FILES, Sizes(n_rows, n_readers, n_books, n_authors, 0), 0


def _books(n: int, n_authors: int, seed: int) -> pl.DataFrame:
    """Draw the books, with what no file has: ``vector``, ``theme``, ``quality`` and ``popularity``."""
    rng = rng_of(seed, 0)
    author = rng.permutation(
        np.concatenate([np.arange(n_authors), rng.integers(0, n_authors, n - n_authors)])
    )
    genres = rng.permuted(np.tile(np.arange(len(GENRES)), (n, 1)), axis=1)[:, :3]
    own = rng.integers(0, len(GENRES), n_authors)[author][:, None]
    genres = np.where(genres == own, genres[:, [0]], genres)  # the author's first, and each once
    genres[:, [0]] = own
    n_genres = rng.integers(1, 4, n)
    has = np.arange(3) < n_genres[:, None]
    vector = np.zeros((n, len(GENRES)))
    for place in range(3):
        np.maximum.at(vector, (np.arange(n), genres[:, place]), has[:, place].astype(float))
    theme = rng.integers(0, N_THEMES, n)
    names = np.array(GENRES)[genres]
    listed = pl.DataFrame({"all": names, "n": n_genres}).select(pl.col("all").arr.to_list().list.head("n"))
    return pl.DataFrame(
        {
            "book": pl.Series(rng.permutation(n) + 1).cast(pl.String).str.zfill(6),
            "author": rng.permutation(n_authors)[author] + 1,
            "year": rng.integers(1900, 2022, n),
            "genres": listed.to_series(),
            "description": _descriptions(rng, genres, theme),
            "vector": vector / vector.sum(axis=1, keepdims=True),
            "theme": theme,
            "quality": 0.5 * rng.standard_normal(n_authors)[author] + 0.5 * rng.standard_normal(n),
            "popularity": np.exp(rng.standard_normal(n)),
        }
    ).with_columns(title=pl.col("description").str.split(" ").list.head(3).list.join(" ").str.to_titlecase())


def _descriptions(rng: np.random.Generator, genres: Integers, theme: Integers) -> pl.Series:
    """Give each book ``N_WORDS`` words, of its first genre, of its theme and of all, in turn."""
    n, third = len(genres), N_WORDS // 3
    words = np.array(
        [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u") for c in "lmnrsx"]
    )
    vocabulary = rng.permutation(words)[: (len(GENRES) + N_THEMES) * WORDS_EACH].reshape(-1, WORDS_EACH)
    of_genre = vocabulary[genres[:, [0]], rng.integers(0, WORDS_EACH, (n, third))]
    of_theme = vocabulary[len(GENRES) + theme[:, None], rng.integers(0, WORDS_EACH, (n, third))]
    of_all = vocabulary.ravel()[rng.integers(0, vocabulary.size, (n, N_WORDS - 2 * third))]
    table = pl.DataFrame(np.stack([of_genre, of_theme, of_all], axis=2).reshape(n, -1))
    return table.select(pl.concat_str(pl.all(), separator=" ")).to_series()


def _ratings(books: pl.DataFrame, n_readers: int, n_rows: int, seed: int) -> pl.DataFrame:
    """Draw the rows: who, what, when, how many stars."""
    rng = rng_of(seed, 1)
    reader, book = _drawn(rng, books["popularity"].to_numpy(), n_readers, n_rows)
    genre_taste = 1.2 * rng.standard_normal((n_readers, len(GENRES)))
    theme_taste = 0.8 * rng.standard_normal((n_readers, N_THEMES))
    liking = (genre_taste[reader] * books["vector"].to_numpy()[book]).sum(axis=1)
    liking += theme_taste[reader, books["theme"].to_numpy()[book]] + books["quality"].to_numpy()[book]
    mean = 3.6 + 0.4 * rng.standard_normal(n_readers)
    stars = np.clip(np.round(mean[reader] + liking + 0.7 * rng.standard_normal(n_rows)), 1, 5).astype(
        np.int64
    )
    day = (rng.random(n_readers) * (N_DAYS - 60))[reader] + np.minimum(rng.exponential(10, n_rows), 60)
    has_review = pl.Series(rng.random(n_rows) < 0.1)
    table = pl.DataFrame(
        {
            "reader": pl.Series(reader + 1).cast(pl.String).str.zfill(6),
            "book": books["book"].to_numpy()[book],
            "stars": stars,
            "rated_ms": START + np.floor(day * DAY).astype(np.int64),
            "review": np.array(OPINIONS)[stars - 1],
        }
    ).with_columns(pl.when(has_review).then("review"))
    return table.with_columns(reader="r" + pl.col("reader")).sort("rated_ms", maintain_order=True)


def _drawn(
    rng: np.random.Generator, popularity: Doubles, n_readers: int, n_rows: int
) -> tuple[Integers, Integers]:
    """Draw distinct (reader, book) pairs: three of each reader at least, then by activity and popularity."""
    activity = np.exp(rng.standard_normal(n_readers))
    weight = popularity / popularity.sum()
    pairs = np.zeros(0, dtype=np.int64)
    readers = np.tile(np.arange(n_readers), 4)
    while len(pairs) < n_rows:
        drawn = readers * len(popularity) + rng.choice(len(popularity), len(readers), p=weight)
        both = np.concatenate([pairs, drawn])
        pairs = both[np.sort(np.unique(both, return_index=True)[1])]
        readers = rng.choice(n_readers, n_rows, p=activity / activity.sum())
    pairs = pairs[:n_rows]
    return pairs // len(popularity), pairs % len(popularity)
