"""What is said of damaged and strange files of the VK challenge."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from pathlib import Path

import polars as pl
import pytest

from competitions import open_dataset
from engine import ConfigError, DataError, FoldSettings, Settings
from tests.competitions import vk_files
from tests.competitions.shop import collected, raises_with
from tests.competitions.vk_files import Change, altered
from validation import plan_folds

LOG, USERS, ITEMS, PAIRS = (
    "train_interactions.parquet",
    "users_meta.parquet",
    "items_meta.parquet",
    "test_pairs.csv",
)
VECTOR = pl.col("embeddings")
WANTED = "column 'content' must be readable as Array(Float32, shape=(32,))"
Damage = Callable[[Path], object]


def table(change: Change) -> Damage:
    """Write the file anew with its table changed."""
    return lambda path: altered(path.parent, path.name, change)


def columns(**changed: pl.Expr) -> Damage:
    return table(lambda t: t.with_columns(**changed))


def on_item_7(vector: pl.Expr) -> Damage:
    """Give one clip another vector."""
    return columns(embeddings=pl.when(pl.col("item_id") == 7).then(vector).otherwise(VECTOR))


def beginning_with(value: float) -> pl.Expr:
    return pl.concat_list([pl.lit(value, pl.Float32), VECTOR.list.tail(31)])


def text(content: str) -> Damage:
    return lambda path: path.write_text(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def zeroed_in_the_middle(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[200 : len(content) // 2] = bytes(len(content) // 2 - 200)
    path.write_bytes(content)


def joined_by_another(path: Path) -> None:
    vk_files.log(100).rename({"like": "liked"}).write_parquet(path.with_stem(f"{path.stem}_2"))


class TestStrange:
    """What is odd, but can be used, is told and kept."""

    @pytest.fixture
    def said(self, vk: Settings, capsys: pytest.CaptureFixture[str]) -> str:
        """Alter every file at once, and return the notes of its intake."""
        altered(vk.data, ITEMS, lambda t: t.filter(pl.col("item_id") >= 5))
        altered(vk.data, USERS, lambda t: t.filter(pl.col("user_id") != 3))
        altered(vk.data, LOG, lambda t: t.filter(pl.col("user_id") != 6).with_columns(device=1))
        stranger = pl.DataFrame({"user_id": [900], "item_id": [901]})
        altered(vk.data, PAIRS, lambda t: pl.concat([t, stranger]).with_columns(number=1))
        open_dataset(vk)
        return " ".join(capsys.readouterr().err.split())

    def test_it_is_told(self, said: str) -> None:
        log = vk_files.log().filter(pl.col("user_id") != 6)
        counts = log.select(
            both=(pl.col("like") & pl.col("dislike")).sum(),
            items=(pl.col("item_id") < 5).sum(),
            users=(pl.col("user_id") == 3).sum(),
        )
        both, items, users = counts.row(0)
        for note in (
            f"{both} of {log.height} rows of the log have both a like and a dislike",
            f"{items} rows of the log have an item without attributes (5 of them)",
            f"{users} rows of the log have a user without attributes (1 of them)",
            "21 rows of the test pairs have a user without attributes (2 of them)",
            "21 of 201 test pairs have a user without a row in the log (2 of them)",
            "Columns of interactions that the competition does not declare are left out: device.",
            "Columns of the given pairs that the competition does not declare are left out: number.",
        ):
            assert note in said

    def test_it_is_kept(self, said: str, vk: Settings) -> None:
        dataset = open_dataset(vk)
        joined = collected(dataset.with_attributes(dataset.log))
        assert joined.height == collected(dataset.log).height
        assert joined.filter(pl.col("user_id") == 3)["age"].null_count() > 0
        assert joined.filter(pl.col("item_id") < 5)["content"].is_null().all()
        assert joined.filter(pl.col("item_id") >= 5)["content"].is_not_null().all()
        pairs = collected(dataset.test_pairs)
        assert pairs.height == vk_files.pairs().height + 1
        assert pairs.filter(pl.col("user_id") == 6).height == 20

    def test_a_file_of_pairs_from_windows(self, vk: Settings) -> None:
        before = collected(open_dataset(vk).test_pairs)
        file = vk.data / PAIRS
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
        assert collected(open_dataset(vk).test_pairs).equals(before)

    def test_a_clip_without_a_vector(self, vk: Settings) -> None:
        on_item_7(pl.lit(None))(vk.data / ITEMS)
        assert collected(open_dataset(vk).items)["content"].null_count() == 1


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (PAIRS, table(lambda t: t.rename({"item_id": "item"})), "Table 'pairs' ... Did you mean 'item'"),
        (PAIRS, table(lambda t: t.head(0)), "gives no pairs to score"),
        (PAIRS, table(lambda t: pl.concat([t, t.head(1)])), "2 of 201 test pairs ... are duplicates"),
        (PAIRS, text("user_id,item_id\n1,2\nme,3\n"), "as UInt32: 1 of 2 rows ... row 1: user_id='me'"),
        (PAIRS, text("user_id,item_id\n1,2\n3"), "the key 'item_id' must not be null: 1 of 2 rows do not"),
        (LOG, table(lambda t: t.drop("dislike")), f"({LOG}) has no column 'dislike'. ... ; found "),
        (LOG, table(lambda t: t.head(0)), "Table 'interactions' of competition 'vk2024' has no rows."),
        (
            LOG,
            columns(like=pl.when("like").then(2).otherwise(0)),
            "column 'like' must be readable as Boolean",
        ),
        (
            LOG,
            columns(like=pl.when(pl.int_range(pl.len()) != 3_500).then("like")),
            f"({LOG}) breaks ... 'like' must not be null: 1 of 1000 rows do not, first row 3500",
        ),
        (LOG, joined_by_another, "(train_interactions_2.parquet) has no ... Did you mean 'liked'?"),
        (LOG, zeroed_in_the_middle, f"Table 'interactions' of competition 'vk2024' ({LOG}) cannot be read"),
        (LOG, cut, f"{LOG} cannot be read ... it may have been cut off"),
        (ITEMS, cut, f"{ITEMS} cannot be read ... it may have been cut off"),
        (ITEMS, table(lambda t: t.drop("embeddings")), "'items' ... embeddings ... Expected: a table with"),
        (ITEMS, on_item_7(VECTOR.list.head(31)), f"{WANTED}: 1 ... item_id=7, content=[ ... (31 values)"),
        (ITEMS, columns(embeddings=VECTOR.list.head(16).list.to_array(16)), f"{WANTED}: 200 of 200 rows"),
        (ITEMS, on_item_7(beginning_with(nan)), "every element of ... not be NaN: 1 of 200 ... row 7: "),
        (ITEMS, on_item_7(beginning_with(inf)), "every element of column 'content' must be finite"),
        (USERS, table(lambda t: t.drop("age")), "Table 'users' ... unable to find column \"age\""),
        *((name, Path.unlink, f"has no {name}.") for name in (LOG, USERS, ITEMS, PAIRS)),
    ],
)
def test_a_bad_file(vk: Settings, name: str, damage: Damage, message: str) -> None:
    damage(vk.data / name)
    with raises_with(message):
        open_dataset(vk)


@pytest.mark.parametrize(
    "dtype",
    [
        pl.Int64,
        pl.Float32,
        pl.Decimal(12, 1),
        pl.String,
        pl.Boolean,
        pl.Datetime,
        pl.List(pl.Int64),
        pl.Binary,
        pl.Null,
    ],
)
@pytest.mark.parametrize("column", ["item_id", "timespent", "like"])
def test_a_second_log_file_of_other_dtypes(vk: Settings, column: str, dtype: pl.DataType) -> None:
    """The same rows if every value can be read as what is declared; else the file and the column are named."""
    more, name = vk_files.log(50, seed=9), "train_interactions_2.parquet"
    more.with_columns(other_dtype(column, dtype)).write_parquet(vk.data / name)
    found = log_or_message(vk)
    if isinstance(found, str):
        assert all(word in found for word in (f"({name})", column, "Expected: ", "To do: "))
    else:
        assert found.sort("row").select(more.columns).equals(pl.concat([vk_files.log(), more]))


def log_or_message(settings: Settings) -> pl.DataFrame | str:
    try:
        return open_dataset(settings).log.collect()
    except DataError as error:
        return str(error)


def other_dtype(column: str, dtype: pl.DataType) -> pl.Expr:
    """The same values where there are such, else some of the dtype."""
    value = pl.col(column)
    if dtype == pl.Null:
        return pl.lit(None).alias(column)
    if dtype == pl.List:
        return pl.concat_list(value.cast(pl.Int64))
    return (
        value.cast(pl.Int64).cast(pl.String).cast(dtype)
        if dtype == pl.Binary
        else value.cast(pl.Int64).cast(dtype)
    )


def test_no_folder(vk: Settings) -> None:
    with raises_with(f"has no {LOG}, {USERS}, {ITEMS} ... python -m competitions simulate vk2024"):
        open_dataset(vk.model_copy(update={"data": vk.data / "nowhere"}))


@pytest.mark.parametrize("n_rows", [1, 3])
def test_a_log_that_is_too_short_for_the_folds(vk: Settings, n_rows: int) -> None:
    altered(vk.data, LOG, lambda t: t.head(n_rows))
    with pytest.raises(ConfigError, match=r"but the log starts at 0"):
        plan_folds(open_dataset(vk), FoldSettings())
