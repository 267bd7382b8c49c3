"""The real ML-100K, and files in the three layouts it comes in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from competitions import Dataset, get_competition, take_in
from tests.competitions.shop import collected, raises_with

MOVIELENS = get_competition("movielens")

U_DATA = "1\t1\t5\t881250949\n1\t267\t3\t881250950\n2\t1412\t1\t881250000\n2\t1\t4\t881250000\n"
U_USER = "1|24|M|technician|85711\n2|53|F|other|94043\n"
RATINGS_DAT = "1::1::5::881250949\n1::267::3::881250950\n2::1412::1::881250000\n2::1::4::881250000\n"


def u_item() -> bytes:
    """Three films as in the official file: 19 flags, a title that is not ASCII, one without a year, one with (V)."""
    order = "unknown|Action|Adventure|Animation|Children's|Comedy|Crime|Documentary|Drama|Fantasy|Film-Noir|Horror"
    order += "|Musical|Mystery|Romance|Sci-Fi|Thriller|War|Western"

    def line(number: int, title: str, date: str, *genres: str) -> str:
        flags = "|".join("1" if genre in genres else "0" for genre in order.split("|"))
        return f"{number}|{title}|{date}||http://us.imdb.com/M/title-exact?{number}|{flags}"

    lines = [
        line(1, "Misérables, Les (1995)", "01-Jan-1996", "Drama", "Musical"),
        line(267, "unknown", "", "unknown"),
        line(1412, "Land Before Time III (1995) (V)", "01-Jan-1995", "Animation", "Children's"),
    ]
    return ("\n".join(lines) + "\n").encode("latin-1")


def write_100k(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "u.data").write_text(U_DATA)
    (folder / "u.user").write_text(U_USER)
    (folder / "u.item").write_bytes(u_item())
    return folder


def write_1m(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ratings.dat").write_text(RATINGS_DAT)
    (folder / "users.dat").write_text("1::M::25::17::85711\n2::F::56::0::94043\n")
    movies = "1::Misérables, Les (1995)::Drama|Musical\n267::unknown::\n"
    movies += "1412::Land Before Time III (1995) (V)::Animation|Children's\n"
    (folder / "movies.dat").write_bytes(movies.encode("latin-1"))
    return folder


class TestReal:
    def test_counts(self, movielens: Dataset) -> None:
        tables = (movielens.log, movielens.test_pairs, movielens.users, movielens.items)
        assert [collected(table).height for table in tables] == [100_000 - 9_596, 9_596, 943, 1_682]

    def test_every_user_is_in_every_step_and_has_the_last_rows_in_the_test(self, movielens: Dataset) -> None:
        log, pairs = collected(movielens.log), collected(movielens.test_pairs)
        steps = log.group_by("clock").agg(pl.col("user_id").n_unique())
        assert sorted(steps.rows()) == [(step, 943) for step in range(9)]
        assert (movielens.test_start, movielens.test_until) == (9, 10)
        last = log.group_by("user_id").agg(last=pl.col("timestamp").max())
        first = pairs.group_by("user_id").agg(first=pl.col("timestamp").min())
        both = last.join(first, on="user_id", validate="1:1")
        assert both.height == 943
        assert (both["last"] <= both["first"]).all()

    def test_classes(self, movielens: Dataset) -> None:
        log = collected(movielens.log)
        assert log.select(pl.sum_horizontal("like", "ignore", "dislike").eq(1).all()).item()
        expected = pl.col("rating").replace_strict({1: -1, 2: -1, 3: 0, 4: 1, 5: 1}, return_dtype=pl.Int8)
        assert log.select((pl.col("relevance") == expected).all()).item()

    def test_years_and_genres(self, movielens: Dataset) -> None:
        items = collected(movielens.items)
        assert items.filter(pl.col("release_year").is_null())["item_id"].to_list() == [267]
        assert items.filter(pl.col("item_id") == 1412)["release_year"].to_list() == [1995]
        assert (items["release_year"].min(), items["release_year"].max()) == (1922, 1998)
        assert items.filter(pl.col("main_genre") == "unknown")["item_id"].to_list() == [267, 1373]
        story = items.filter(pl.col("item_id") == 1).row(0, named=True)
        assert story["genres"] == ["Animation", "Children's", "Comedy"]
        assert story["main_genre"] == "Animation"
        assert items["genres"].list.len().sum() == 2_893

    def test_order_and_dtypes(self, movielens: Dataset) -> None:
        log = collected(movielens.log)
        assert log.select("clock", "row").equals(log.select("clock", "row").sort("clock", "row"))
        assert [log.schema[name] for name in ("row", "clock", "relevance")] == [pl.UInt32, pl.Int64, pl.Int8]
        assert movielens.pair_schema.names() == [
            *("pair_id", "user_id", "item_id", "timestamp"),
            *("age", "age_group", "gender", "occupation", "release_year", "genres", "main_genre"),
        ]


class TestLayouts:
    @pytest.mark.parametrize("write", [write_100k, write_1m])
    def test_they_have_the_same_columns_and_dtypes(
        self, movielens: Dataset, tmp_path: Path, write: Callable[[Path], Path]
    ) -> None:
        tables = MOVIELENS.read(write(tmp_path))
        # Twenty ratings of one user, so that there is a test window.
        rating = collected(tables.interactions).head(1)
        many = [rating.with_columns(item_id=pl.lit(str(item))) for item in range(1, 21)]
        small = take_in(
            MOVIELENS, replace(tables, interactions=pl.concat(many).lazy()), tmp_path, fingerprint="x"
        )
        assert small.history_schema == movielens.history_schema
        assert small.pair_schema == movielens.pair_schema

    def test_ml_100k(self, tmp_path: Path) -> None:
        items = collected(MOVIELENS.read(write_100k(tmp_path)).items)
        assert items.with_columns(pl.col("item_id", "release_year").cast(pl.Int64)).rows() == [
            (1, 1995, ["Musical", "Drama"], "Musical"),
            (267, None, ["unknown"], "unknown"),
            (1412, 1995, ["Animation", "Children's"], "Animation"),
        ]

    def test_a_folder_named_ml_100k_is_found(self, tmp_path: Path) -> None:
        write_100k(tmp_path / "ml-100k")
        assert [p.name for p in MOVIELENS.files(tmp_path)] == ["u.data", "u.user", "u.item"]

    def test_ml_1m_whose_occupations_are_codes_and_line_ends_may_be_of_windows(self, tmp_path: Path) -> None:
        write_1m(tmp_path)
        (tmp_path / "ratings.dat").write_bytes(RATINGS_DAT.replace("\n", "\r\n").encode())
        tables = MOVIELENS.read(tmp_path)
        users = collected(tables.users)
        assert users["occupation"].to_list() == ["technician", "other"]
        assert users["age"].cast(pl.Int64).to_list() == [25, 56]
        assert collected(tables.interactions).height == 4


class TestBadFiles:
    def test_a_missing_file(self, tmp_path: Path) -> None:
        (write_100k(tmp_path) / "u.item").unlink()
        with raises_with("holds u.data, u.user, but not u.item"):
            MOVIELENS.files(tmp_path)

    @pytest.mark.parametrize("name", ["u.dat", "ml-100k/u.dat", "ratings.csv"])
    def test_misnamed_files_are_not_replaced_by_a_download(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        layouts = "ml-100k (u.data, u.user, u.item) or ml-1m (ratings.dat, users.dat, movies.dat)"
        with raises_with(f"holds {name.split('/')[0]} ... but no known data set ... {layouts}"):
            MOVIELENS.files(tmp_path)

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with raises_with("nothere does not exist"):
            MOVIELENS.files(tmp_path / "nothere")

    def test_two_layouts(self, tmp_path: Path) -> None:
        write_1m(write_100k(tmp_path))
        with raises_with("Two data sets"):
            MOVIELENS.files(tmp_path)

    @pytest.mark.parametrize(
        ("file", "text", "message"),
        [
            ("u.data", U_DATA + "3\t1", "u.data: 1 of 5 lines ... line 5 with 2"),
            ("u.data", U_DATA.replace("\t3\t", "\tgood\t"), "'rating' ... UInt8: 1 of 4 ... : rating='good'"),
            ("u.data", U_DATA.replace("881250950", "now"), "'timestamp' must not be null: 1 of 4 ... row 1"),
            (
                "ratings.dat",
                RATINGS_DAT.replace("2::1412", "::1412"),
                "'user_id' must not be null: 1 ... row 2",
            ),
            ("u.data", U_DATA + "2\t1\t4\t881250001\n", "user_id, item_id must not repeat: 2 of 5 rows"),
            ("u.data", U_DATA.replace("\t5\t", "\t7\t"), "keep the rule 'max' (5): 1 of 4 rows ... rating=7"),
            ("users.dat", "1::M::25::99::85711\n", "'occupation' must be readable as one of ... '99'"),
            (
                "movies.dat",
                "1::A film (1995)::Drama|Slapstick\n",
                "'items' ... cannot be read: ... Slapstick",
            ),
            ("u.data", "", "'interactions' of competition 'movielens' has no rows"),
            ("u.data", U_DATA, "test window [9, 10) and 0 pairs ... only with enough rows"),
        ],
    )
    def test_a_bad_file(self, tmp_path: Path, file: str, text: str, message: str) -> None:
        write = write_1m if file.endswith(".dat") else write_100k
        (write(tmp_path) / file).write_text(text)
        with raises_with(message):
            take_in(MOVIELENS, MOVIELENS.read(tmp_path), tmp_path, fingerprint="x")
