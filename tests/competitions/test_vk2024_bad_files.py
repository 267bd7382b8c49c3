"""What is said of damaged and strange files of the VK challenge."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from competitions import open_dataset
from engine import ConfigError, DataError, FoldSettings, Settings
from tests.competitions import vk_files
from tests.competitions.shop import collected
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


def on_item_7(vector: pl.Expr) -> Change:
    """Give one clip another vector."""
    return lambda t: t.with_columns(embeddings=pl.when(pl.col("item_id") == 7).then(vector).otherwise(VECTOR))


def beginning_with(value: float) -> pl.Expr:
    return pl.concat_list([pl.lit(value, pl.Float32), VECTOR.list.tail(31)])


def failure(settings: Settings) -> str:
    with pytest.raises(DataError) as caught:
        open_dataset(settings)
    return str(caught.value)


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
        assert joined.filter(pl.col("item_id") < 5)["content"].is_null().all()
        assert joined.filter(pl.col("item_id") >= 5)["content"].is_not_null().all()
        pairs = collected(dataset.test_pairs)
        assert pairs.height == vk_files.pairs().height + 1
        assert pairs.filter(pl.col("user_id") == 6).height == 20

    def test_a_file_of_pairs_from_windows(self, vk: Settings, folder: Path) -> None:
        before = collected(open_dataset(vk).test_pairs)
        text = (folder / PAIRS).read_text().replace("\n", "\r\n")
        (folder / PAIRS).write_bytes(b"\xef\xbb\xbf" + text.encode())
        assert collected(open_dataset(vk).test_pairs).equals(before)

    def test_a_clip_without_a_vector(self, vk: Settings, folder: Path) -> None:
        altered(folder, ITEMS, on_item_7(pl.lit(None)))
        assert collected(open_dataset(vk).items)["content"].null_count() == 1


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (PAIRS, lambda t: t.rename({"item_id": "item"}), "Table 'pairs' ... 'item_id'. Did you mean 'item'"),
        (
            PAIRS,
            lambda t: pl.concat([t, t.head(1)]),
            "2 of 201 test pairs of competition 'vk2024' are duplicates, e.g. user_id=",
        ),
        (PAIRS, lambda t: t.head(0), "gives no pairs to score"),
        (LOG, lambda t: t.with_columns(pl.col("timespent") / 2), "timespent is Float64 instead of UInt16"),
        (
            LOG,
            lambda t: t.with_columns(like=pl.when(pl.col("like")).then(2).otherwise(0)),
            "column 'like' must be readable as Boolean",
        ),
        (
            LOG,
            lambda t: t.with_columns(like=pl.when(pl.int_range(pl.len()) != 3_500).then(pl.col("like"))),
            "(train_interactions.parquet) breaks ... 'like' must not be null: 1 of 1000 rows do not, first row 3500",
        ),
        (LOG, lambda t: t.head(0), "Table 'interactions' of competition 'vk2024' has no rows."),
        (
            ITEMS,
            on_item_7(VECTOR.list.head(31)),
            f"{WANTED}: 1 of 200 rows do not ... first row 7: item_id=7, content=[ ... (31 values)",
        ),
        (
            ITEMS,
            lambda t: t.with_columns(VECTOR.list.head(16).list.to_array(16)),
            f"{WANTED}: 200 of 200 rows do not",
        ),
        (
            ITEMS,
            on_item_7(beginning_with(float("nan"))),
            "every element of column 'content' must not be NaN: 1 of 200 rows do not ... row 7: ... (32 values)",
        ),
        (
            ITEMS,
            on_item_7(beginning_with(float("inf"))),
            "every element of column 'content' must be finite",
        ),
        (USERS, lambda t: pl.concat([t, t.head(1)]), "user_id must not repeat: 2 of 31 rows do not"),
        (LOG, lambda t: t.drop("dislike"), f"({LOG}) has no column 'dislike'. ... ; found "),
        (USERS, lambda t: t.drop("age"), "Table 'users' ... unable to find column \"age\""),
        (ITEMS, lambda t: t.drop("embeddings"), "Table 'items' ... embeddings ... Expected: a table with"),
    ],
)
def test_a_bad_table(vk: Settings, folder: Path, name: str, change: Change, message: str) -> None:
    altered(folder, name, change)
    said = failure(vk)
    assert [words for words in message.split(" ... ") if words not in said] == []


@pytest.mark.parametrize("name", [LOG, USERS, ITEMS, PAIRS])
def test_a_missing_file(vk: Settings, folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"has no {name}." in failure(vk)


def test_no_folder(vk: Settings) -> None:
    message = failure(vk.model_copy(update={"data": vk.data / "nowhere"}))
    assert "has no train_interactions.parquet, users_meta.parquet, items_meta.parquet" in message
    assert "python -m competitions simulate vk2024" in message


@pytest.mark.parametrize("name", [LOG, ITEMS])
def test_a_truncated_parquet(vk: Settings, folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) * 2 // 3])
    message = failure(vk)
    assert f"{folder / name} cannot be read" in message
    assert "it may have been cut off" in message


def test_a_parquet_damaged_in_its_middle(vk: Settings, folder: Path) -> None:
    content = bytearray((folder / LOG).read_bytes())
    content[200 : len(content) // 2] = bytes(len(content) // 2 - 200)
    (folder / LOG).write_bytes(content)
    assert f"Table 'interactions' of competition 'vk2024' ({LOG}) cannot be read" in failure(vk)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "user_id,item_id\n1,2\nme,3\n",
            "must be readable as UInt32: 1 of 2 rows do not, first row 1: user_id='me'",
        ),
        ("user_id,item_id\n1,2\n3", "the key 'item_id' must not be null: 1 of 2 rows do not"),
    ],
)
def test_pairs_that_are_none(vk: Settings, folder: Path, text: str, message: str) -> None:
    (folder / PAIRS).write_text(text)
    assert message in failure(vk)


@pytest.mark.parametrize("n_rows", [1, 3])
def test_a_log_that_is_too_short_for_the_folds(vk: Settings, folder: Path, n_rows: int) -> None:
    altered(folder, LOG, lambda t: t.head(n_rows))
    with pytest.raises(ConfigError, match=r"but the log starts at 0"):
        plan_folds(open_dataset(vk), FoldSettings())


def test_a_log_file_of_other_columns(vk: Settings, folder: Path) -> None:
    more = vk_files.log(100).rename({"like": "liked"})
    more.write_parquet(folder / "train_interactions_2.parquet")
    assert "(train_interactions_2.parquet) has no column 'like'. Did you mean 'liked'?" in failure(vk)
