"""What is said of damaged and strange files of the VK challenge."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from competitions import open_dataset
from engine import ConfigError, DataError, FoldSettings, Settings
from tests.competitions import vk_files
from tests.competitions.vk_files import altered
from validation import plan_folds


def collected(frame: pl.LazyFrame) -> pl.DataFrame:
    return frame.collect(engine="streaming")


def notes(settings: Settings, capsys: pytest.CaptureFixture[str]) -> str:
    open_dataset(settings)
    return " ".join(capsys.readouterr().err.split())


def failure(settings: Settings) -> str:
    with pytest.raises(DataError) as caught:
        open_dataset(settings)
    return str(caught.value)


class TestStrange:
    def test_rows_with_like_and_dislike_are_counted(
        self, vk: Settings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        both = vk_files.log().filter(pl.col("like") & pl.col("dislike")).height
        assert f"{both} of 6000 rows of the log have both a like and a dislike" in notes(vk, capsys)

    def test_ids_beyond_the_metadata(
        self, vk: Settings, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        altered(folder, "items_meta.parquet", lambda t: t.filter(pl.col("item_id") >= 5))
        altered(folder, "users_meta.parquet", lambda t: t.filter(pl.col("user_id") != 3))
        log = vk_files.log()
        n_items, n_users = log.filter(pl.col("item_id") < 5).height, log.filter(pl.col("user_id") == 3).height
        said = notes(vk, capsys)
        assert f"{n_items} rows of the log have an item without attributes (5 of them)" in said
        assert f"{n_users} rows of the log have a user without attributes (1 of them)" in said
        dataset = open_dataset(vk)
        joined = collected(dataset.with_attributes(dataset.log))
        assert joined.filter(pl.col("item_id") < 5)["content"].null_count() == n_items

    def test_a_test_pair_of_an_unknown_user_and_clip(
        self, vk: Settings, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        stranger = pl.DataFrame({"user_id": [900], "item_id": [901]})
        altered(folder, "test_pairs.csv", lambda t: pl.concat([t, stranger]))
        said = notes(vk, capsys)
        assert "1 rows of the test pairs have a user without attributes (1 of them)" in said
        assert "1 rows of the test pairs have an item without attributes (1 of them)" in said
        pairs = collected(open_dataset(vk).test_pairs)
        assert pairs.height == vk_files.pairs().height + 1

    def test_a_user_without_history_stays(
        self, vk: Settings, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        altered(folder, "train_interactions.parquet", lambda t: t.filter(pl.col("user_id") != 3))
        assert "20 of 200 test pairs have a user without a row in the log (1 of them)" in notes(vk, capsys)
        pairs = collected(open_dataset(vk).test_pairs)
        assert pairs.filter(pl.col("user_id") == 3).height == 20

    def test_unknown_columns_are_told(
        self, vk: Settings, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        altered(folder, "train_interactions.parquet", lambda t: t.with_columns(device=1))
        altered(folder, "test_pairs.csv", lambda t: t.with_columns(number=1))
        said = notes(vk, capsys)
        assert "Columns of interactions that the competition does not declare are left out: device." in said
        assert (
            "Columns of the given pairs that the competition does not declare are left out: number." in said
        )

    def test_a_file_of_pairs_from_windows(self, vk: Settings, folder: Path) -> None:
        before = collected(open_dataset(vk).test_pairs)
        text = (folder / "test_pairs.csv").read_text().replace("\n", "\r\n")
        (folder / "test_pairs.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
        assert collected(open_dataset(vk).test_pairs).equals(before)

    def test_a_clip_without_a_vector(self, vk: Settings, folder: Path) -> None:
        vector = pl.when(pl.col("item_id") != 7).then(pl.col("embeddings"))
        altered(folder, "items_meta.parquet", lambda t: t.with_columns(embeddings=vector))
        assert collected(open_dataset(vk).items)["content"].null_count() == 1


class TestDamaged:
    @pytest.mark.parametrize(
        "name", ["train_interactions.parquet", "users_meta.parquet", "items_meta.parquet", "test_pairs.csv"]
    )
    def test_a_missing_file(self, vk: Settings, folder: Path, name: str) -> None:
        (folder / name).unlink()
        assert f"has no {name}." in failure(vk)

    def test_no_folder(self, vk: Settings) -> None:
        nowhere = vk.model_copy(update={"data": vk.data / "nowhere"})
        message = failure(nowhere)
        assert "has no train_interactions.parquet, users_meta.parquet, items_meta.parquet" in message
        assert "python -m competitions simulate vk2024" in message

    @pytest.mark.parametrize("name", ["train_interactions.parquet", "items_meta.parquet"])
    def test_a_truncated_parquet(self, vk: Settings, folder: Path, name: str) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) * 2 // 3])
        assert f"{folder / name} cannot be read" in failure(vk)

    def test_a_parquet_damaged_in_its_middle(self, vk: Settings, folder: Path) -> None:
        path = folder / "train_interactions.parquet"
        content = bytearray(path.read_bytes())
        content[200 : len(content) // 2] = bytes(len(content) // 2 - 200)
        path.write_bytes(content)
        message = failure(vk)
        assert (
            "Table 'interactions' of competition 'vk2024' (train_interactions.parquet) cannot be read"
            in message
        )

    @pytest.mark.parametrize(
        ("name", "column"),
        [
            ("train_interactions.parquet", "dislike"),
            ("users_meta.parquet", "age"),
            ("items_meta.parquet", "embeddings"),
        ],
    )
    def test_a_missing_column(self, vk: Settings, folder: Path, name: str, column: str) -> None:
        altered(folder, name, lambda t: t.drop(column))
        message = failure(vk)
        assert f"{folder / name} has no column {column}." in message
        assert "; found " in message

    def test_a_missing_column_of_the_pairs(self, vk: Settings, folder: Path) -> None:
        altered(folder, "test_pairs.csv", lambda t: t.rename({"item_id": "item"}))
        assert (
            "Table 'pairs' of competition 'vk2024' has no column 'item_id'. Did you mean 'item'"
            in failure(vk)
        )

    def test_duplicate_test_pairs(self, vk: Settings, folder: Path) -> None:
        altered(folder, "test_pairs.csv", lambda t: pl.concat([t, t.head(1)]))
        user, item = vk_files.pairs().row(0)
        assert f"2 of 201 test pairs .* are duplicates, e.g. user_id={user}, item_id={item}".replace(
            ".*", "of competition 'vk2024'"
        ) in failure(vk)

    def test_a_wrong_dtype(self, vk: Settings, folder: Path) -> None:
        altered(folder, "train_interactions.parquet", lambda t: t.with_columns(pl.col("timespent") / 2))
        assert "timespent is Float64 instead of UInt16" in failure(vk)

    def test_a_flag_that_is_neither_0_nor_1(self, vk: Settings, folder: Path) -> None:
        odd = pl.when(pl.col("like")).then(2).otherwise(0)
        altered(folder, "train_interactions.parquet", lambda t: t.with_columns(like=odd))
        assert "column 'like' must be readable as Boolean" in failure(vk)

    def test_a_null_outcome(self, vk: Settings, folder: Path) -> None:
        hole = pl.when(pl.int_range(pl.len()) != 3_500).then(pl.col("like"))
        altered(folder, "train_interactions.parquet", lambda t: t.with_columns(like=hole))
        message = failure(vk)
        assert "(train_interactions.parquet) breaks its rules" in message
        assert "column 'like' must not be null: 1 of 1000 rows do not, first row 3500" in message

    def test_a_vector_of_another_length(self, vk: Settings, folder: Path) -> None:
        short = (
            pl.when(pl.col("item_id") == 7).then(pl.col("embeddings").list.head(31)).otherwise("embeddings")
        )
        altered(folder, "items_meta.parquet", lambda t: t.with_columns(embeddings=short))
        message = failure(vk)
        assert (
            "column 'content' must be readable as Array(Float32, shape=(32,)): 1 of 200 rows do not"
            in message
        )
        assert "first row 7: item_id=7, content=[" in message
        assert "(31 values)" in message

    def test_vectors_that_are_all_of_another_length(self, vk: Settings, folder: Path) -> None:
        short = pl.col("embeddings").list.head(16).list.to_array(16)
        altered(folder, "items_meta.parquet", lambda t: t.with_columns(embeddings=short))
        assert "must be readable as Array(Float32, shape=(32,)): 200 of 200 rows do not" in failure(vk)

    @pytest.mark.parametrize(("value", "words"), [("nan", "must not be NaN"), ("inf", "must be finite")])
    def test_a_vector_with_nan(self, vk: Settings, folder: Path, value: str, words: str) -> None:
        broken = pl.concat_list([pl.lit(float(value), pl.Float32), pl.col("embeddings").list.tail(31)])
        nan = pl.when(pl.col("item_id") == 7).then(broken).otherwise("embeddings")
        altered(folder, "items_meta.parquet", lambda t: t.with_columns(embeddings=nan))
        message = failure(vk)
        assert f"every element of column 'content' {words}" in message
        assert "1 of 200 rows do not, first row 7: item_id=7, content=[" in message
        assert "(32 values)" in message

    def test_a_user_twice(self, vk: Settings, folder: Path) -> None:
        altered(folder, "users_meta.parquet", lambda t: pl.concat([t, t.head(1)]))
        assert "user_id must not repeat: 2 of 31 rows do not" in failure(vk)

    def test_an_empty_log(self, vk: Settings, folder: Path) -> None:
        altered(folder, "train_interactions.parquet", lambda t: t.head(0))
        assert "Table 'interactions' of competition 'vk2024' has no rows." in failure(vk)

    def test_an_empty_file_of_pairs(self, vk: Settings, folder: Path) -> None:
        altered(folder, "test_pairs.csv", lambda t: t.head(0))
        assert "gives no pairs to score" in failure(vk)

    def test_a_text_in_the_pairs(self, vk: Settings, folder: Path) -> None:
        (folder / "test_pairs.csv").write_text("user_id,item_id\n1,2\nme,3\n")
        assert (
            "column 'user_id' must be readable as UInt32: 1 of 2 rows do not, first row 1: user_id='me'"
            in failure(vk)
        )

    @pytest.mark.parametrize("n_rows", [1, 3])
    def test_a_log_that_is_too_short_for_the_folds(self, vk: Settings, folder: Path, n_rows: int) -> None:
        altered(folder, "train_interactions.parquet", lambda t: t.head(n_rows))
        with pytest.raises(ConfigError, match=r"but the log starts at 0"):
            plan_folds(open_dataset(vk), FoldSettings())

    def test_pairs_with_a_line_cut_off(self, vk: Settings, folder: Path) -> None:
        (folder / "test_pairs.csv").write_text("user_id,item_id\n1,2\n3")
        assert "the key 'item_id' must not be null: 1 of 2 rows do not" in failure(vk)

    def test_a_log_file_of_other_columns(self, vk: Settings, folder: Path) -> None:
        more = vk_files.log(100).rename({"like": "liked"})
        more.write_parquet(folder / "train_interactions_2.parquet")
        assert "train_interactions_2.parquet has no column like." in failure(vk)
