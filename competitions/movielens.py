"""MovieLens, will the user like the film: ML-100K by itself, or a folder in the official ml-100k or ml-1m layout."""

from __future__ import annotations

import zipfile
from pathlib import Path

import dataframely as dy
import polars as pl

from competitions import (
    Clock,
    Competition,
    Metric,
    RawTables,
    SubmissionFormat,
    fetch_wheel,
    find_layout,
    in_groups,
    layouts_in_words,
    split_lines,
)

WHEEL = "recbole-1.2.1-py3-none-any.whl"
WHEEL_SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
LAYOUTS = {
    "ml-100k": ("u.data", "u.user", "u.item"),
    "ml-1m": ("ratings.dat", "users.dat", "movies.dat"),
}
# fmt: off
# Rarest first (as counted in ML-100K): of a film's genres the rarest says most, so it is the main one.
GENRES = (
    "Fantasy", "Film-Noir", "Western", "Animation", "Documentary", "Musical", "Mystery", "War", "Horror",
    "Sci-Fi", "Crime", "Children's", "Adventure", "Romance", "Action", "Thriller", "Comedy", "Drama",
    "unknown",
)
# By their code in users.dat; those that ml-100k has too bear its words.
OCCUPATIONS_1M = (
    "other", "educator", "artist", "clerical", "college student", "customer service", "healthcare",
    "executive", "farmer", "homemaker", "school student", "lawyer", "programmer", "retired", "salesman",
    "scientist", "self-employed", "technician", "tradesman", "unemployed", "writer",
)
OCCUPATIONS_100K = (
    "administrator", "artist", "doctor", "educator", "engineer", "entertainment", "executive", "healthcare",
    "homemaker", "lawyer", "librarian", "marketing", "none", "other", "programmer", "retired", "salesman",
    "scientist", "student", "technician", "writer",
)
# fmt: on
AGE_GROUPS = {"under 18": 0, "18-24": 18, "25-34": 25, "35-44": 35, "45-49": 45, "50-55": 50, "56+": 56}
FLAGS = ("unknown", *sorted(genre for genre in GENRES if genre != "unknown"))  # in the order of u.item
OCCUPATIONS = tuple(sorted({*OCCUPATIONS_1M, *OCCUPATIONS_100K}))
Genre = pl.Enum(GENRES)


class Ratings(dy.Schema):
    """One rating of a film by a user; nobody rates a film twice."""

    user_id = dy.UInt32(primary_key=True)
    item_id = dy.UInt32(primary_key=True)
    rating = dy.UInt8(min=1, max=5, description="stars")
    timestamp = dy.Datetime(time_unit="us", description="when the rating was given, UTC")


class Users(dy.Schema):
    """One user. In ml-1m ``age`` is the lower end of an age group (1, 18, 25, 35, 45, 50, 56)."""

    user_id = dy.UInt32(primary_key=True)
    age = dy.UInt8(min=1, max=120, description="years")
    age_group = dy.Enum(tuple(AGE_GROUPS), nullable=True, description="the groups of ml-1m")
    gender = dy.Enum(("F", "M"))
    occupation = dy.Enum(OCCUPATIONS)


class Items(dy.Schema):
    """One film. ``release_year`` is null where the title does not tell it."""

    item_id = dy.UInt32(primary_key=True)
    release_year = dy.UInt16(min=1880, max=2100, nullable=True)
    genres = dy.List(dy.Enum(GENRES), min_length=1, description="rarest first")
    main_genre = dy.Enum(GENRES, description="the rarest of its genres")


def files(folder: Path) -> tuple[Path, ...]:
    """Return the files that ``read`` reads: an official layout if the folder holds one, otherwise the wheel.

    The layout may lie in the folder itself or in its subfolder ``ml-100k`` or ``ml-1m``. Raises DataError if a layout
    is there in part, or two of them; and if there is none, but something else (see ``fetch_wheel``).
    """
    found = find_layout(folder, LAYOUTS)
    expected = layouts_in_words(LAYOUTS)
    return found or (fetch_wheel("recbole==1.2.1", WHEEL, WHEEL_SHA256, folder, instead_of=expected),)


def read(folder: Path) -> RawTables:
    """Read the files; every layout gives the same columns and dtypes."""
    paths = files(folder)
    if paths[0].name == WHEEL:
        return _from_wheel(paths[0])
    return (_from_ml_100k if paths[0].name == "u.data" else _from_ml_1m)(*paths)


def _from_wheel(wheel: Path) -> RawTables:
    """Read RecBole's copy of ML-100K: tab-separated with a header, genres in one field, the year out of the title."""
    with zipfile.ZipFile(wheel) as archive:
        text = {
            end: archive.read(f"recbole/dataset_example/ml-100k/ml-100k.{end}")
            .decode("utf-8")
            .split("\n", 1)[1]
            for end in ("inter", "user", "item")
        }
    ratings = split_lines(
        text["inter"], "\t", ("user_id", "item_id", "rating", "timestamp"), where="ml-100k.inter"
    )
    users = split_lines(
        text["user"], "\t", ("user_id", "age", "gender", "occupation", "zip_code"), where="ml-100k.user"
    )
    items = split_lines(text["item"], "\t", ("item_id", "title", "year", "genres"), where="ml-100k.item")
    # Two films have words ("unkonwn", "V") for a year; the second has its year left in the title.
    year = pl.when(pl.col("year").str.contains(r"^\d{4}$")).then("year").otherwise(_year_in_title())
    return _tables(ratings, users, items.with_columns(year=year, genres=pl.col("genres").str.split(" ")))


def _from_ml_100k(data: Path, user: Path, item: Path) -> RawTables:
    """Read u.data (tabs), u.user (bars) and u.item (bars, latin-1, one flag a genre)."""
    ratings = split_lines(_text(data), "\t", ("user_id", "item_id", "rating", "timestamp"), where=str(data))
    users = split_lines(
        _text(user), "|", ("user_id", "age", "gender", "occupation", "zip_code"), where=str(user)
    )
    fields = ("item_id", "title", "release_date", "video_release_date", "url", *FLAGS)
    items = split_lines(_text(item), "|", fields, where=str(item))
    genres = pl.concat_list(
        pl.when(pl.col(flag) == "1").then(pl.lit(flag)) for flag in FLAGS
    ).list.drop_nulls()
    return _tables(ratings, users, items.with_columns(year=_year_in_title(), genres=genres))


def _from_ml_1m(ratings_file: Path, users_file: Path, movies_file: Path) -> RawTables:
    """Read ratings.dat, users.dat and movies.dat (``::``, latin-1); occupations are codes there."""
    ratings = split_lines(
        _text(ratings_file), "::", ("user_id", "item_id", "rating", "timestamp"), where=str(ratings_file)
    )
    users = split_lines(
        _text(users_file), "::", ("user_id", "gender", "age", "occupation", "zip_code"), where=str(users_file)
    )
    items = split_lines(_text(movies_file), "::", ("item_id", "title", "genres"), where=str(movies_file))
    codes = {str(code): word for code, word in enumerate(OCCUPATIONS_1M)}
    return _tables(
        ratings,
        users.with_columns(pl.col("occupation").replace(codes)),
        items.with_columns(year=_year_in_title(), genres=pl.col("genres").str.split("|")),
    )


def _text(path: Path) -> str:
    return path.read_text(encoding="latin-1")


def _year_in_title() -> pl.Expr:
    """Return the last "(1995)" of the title as text, null if there is none."""
    return pl.col("title").str.extract_all(r"\((\d{4})\)").list.last().str.strip_chars("()")


def _tables(ratings: pl.DataFrame, users: pl.DataFrame, items: pl.DataFrame) -> RawTables:
    # What is no number becomes null, which the schema refuses.
    seconds = pl.col("timestamp").cast(pl.Int64, strict=False)
    unknown_genre = pl.lit(["unknown"], dtype=pl.List(pl.String))
    genres = pl.when(pl.col("genres").list.len() > 0).then("genres").otherwise(unknown_genre)
    # The Enum sorts by its categories, rarest first.
    items_by_rarity = items.lazy().with_columns(genres=genres.cast(pl.List(Genre)).list.sort())
    return RawTables(
        interactions=ratings.lazy().with_columns(
            timestamp=pl.from_epoch(seconds, "s").cast(pl.Datetime("us"))
        ),
        users=users.lazy().drop("zip_code").with_columns(age_group=in_groups("age", AGE_GROUPS)),
        items=items_by_rarity.select(
            "item_id",
            pl.col("year").alias("release_year"),
            "genres",
            pl.col("genres").list.first().alias("main_genre"),
        ),
    )


MOVIELENS = Competition(
    name="movielens",
    title="MovieLens: rank each user's films, liked before indifferent before disliked",
    licence=(
        "MovieLens data by GroupLens, University of Minnesota: free for research, not for commercial use without "
        "permission, not to be redistributed without it; no endorsement is implied. Cite F. M. Harper, J. A. Konstan: "
        "The MovieLens Datasets: History and Context, ACM TiiS 5(4), 2015. ML-100K comes as an example inside the "
        "package RecBole 1.2.1 (MIT). See https://grouplens.org/datasets/movielens/."
    ),
    files=files,
    read=read,
    interactions=Ratings,
    users=Users,
    items=Items,
    outcomes=("rating",),
    derived={
        "like": pl.col("rating") >= 4,
        "ignore": pl.col("rating") == 3,
        "dislike": pl.col("rating") <= 2,
    },
    relevance=pl.col("like").cast(pl.Int8) - pl.col("dislike").cast(pl.Int8),
    # Users come, rate for an hour and never come back: on a calendar clock most users of a window have no history.
    clock=Clock("per_user", column="timestamp", steps=10),
    horizon=1,
    metric=Metric("user_auc", policy={"one_class": "skip"}),
    submission=SubmissionFormat({"user_id": "user_id", "item_id": "item_id", "predict": "score"}),
    # The genre, not the year: a source stands for a taste, and 19 genres gather more rows of each user than 70 years.
    source="main_genre",
    # `taste` says the same as the last on a log of this size; what the others add beside it is not measured yet.
    leave_out=(
        "channel_*",
        "doc2vec_*",
        "ease_*__wide_*",
        "elsa_*",
        "entities_*",
        "given*",
        "multvae_*",
        "streamed_taste_*",
    ),
)
