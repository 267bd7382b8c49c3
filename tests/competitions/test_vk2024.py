"""The challenge's files: what becomes of them, and what is said of damaged and strange ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from competitions import open_dataset, oracle, random_tables, solution, take_in
from competitions.vk2024 import VK2024, select_pairs
from engine import ConfigError, DataError, FoldSettings, Settings
from tests.competitions import vk_files
from validation import evaluate_by_group, plan_folds, window_pairs, window_relevance

Change = Callable[[pl.DataFrame], pl.DataFrame]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return vk_files.write(tmp_path / "data")


@pytest.fixture
def vk(folder: Path, tmp_path: Path) -> Settings:
    return Settings(competition="vk2024", data=folder, store=tmp_path / "store", partition_rows=1_000)


def collected(frame: pl.LazyFrame) -> pl.DataFrame:
    return frame.collect(engine="streaming")


def notes(settings: Settings, capsys: pytest.CaptureFixture[str]) -> str:
    open_dataset(settings)
    return " ".join(capsys.readouterr().err.split())


def failure(settings: Settings) -> str:
    with pytest.raises(DataError) as caught:
        open_dataset(settings)
    return str(caught.value)


def altered(folder: Path, name: str, change: Change) -> None:
    """Write a file anew with something changed."""
    path = folder / name
    if path.suffix == ".csv":
        change(pl.read_csv(path)).write_csv(path)
    else:
        change(pl.read_parquet(path)).write_parquet(path)


class TestData:
    def test_the_log_is_the_file_with_its_order_as_clock(self, vk: Settings) -> None:
        log = collected(open_dataset(vk).log)
        assert log.schema == {
            "row": pl.UInt32,
            "clock": pl.Int64,
            "user_id": pl.UInt32,
            "item_id": pl.UInt32,
            "timespent": pl.UInt16,
            "like": pl.Boolean,
            "dislike": pl.Boolean,
            "share": pl.Boolean,
            "bookmarks": pl.Boolean,
            "relevance": pl.Int8,
        }
        assert log["row"].to_list() == log["clock"].to_list() == list(range(vk_files.N_ROWS))
        there = vk_files.log()
        assert log.select(there.columns).equals(there.cast({"timespent": pl.UInt16}))

    def test_the_relevance(self, vk: Settings) -> None:
        log = collected(open_dataset(vk).log)
        both = log.filter(pl.col("like") & pl.col("dislike"))
        assert both.height > 0
        assert both["relevance"].unique().to_list() == [0]
        assert log.filter(pl.col("like") & ~pl.col("dislike"))["relevance"].unique().to_list() == [1]
        assert log.filter(pl.col("dislike") & ~pl.col("like"))["relevance"].unique().to_list() == [-1]

    def test_the_test_window_is_a_sixth_of_the_log(self, vk: Settings) -> None:
        dataset = open_dataset(vk)
        assert (dataset.test_start, dataset.horizon) == (6_000, 1_000)
        folds = plan_folds(dataset, FoldSettings())
        assert [w.cutoff for w in folds.windows] == [2_000, 3_000, 4_000, 5_000, 6_000]

    def test_the_content_is_an_array(self, vk: Settings) -> None:
        items = collected(open_dataset(vk).items)
        assert items.schema["content"] == pl.Array(pl.Float32, 32)
        assert items["content"].to_list() == vk_files.items()["embeddings"].to_list()

    def test_attributes_join_the_log(self, vk: Settings) -> None:
        dataset = open_dataset(vk)
        joined = collected(dataset.with_attributes(dataset.log).select("item_id", "source_id", "content"))
        assert joined.filter(pl.col("source_id") != pl.col("item_id") % 20).is_empty()

    def test_the_pairs_are_those_of_the_file_in_its_order(self, vk: Settings) -> None:
        pairs = collected(open_dataset(vk).test_pairs)
        assert pairs.columns == ["pair_id", "user_id", "item_id"]
        assert pairs.select(vk_files.KEYS).equals(vk_files.pairs())
        assert pairs["pair_id"].to_list() == list(range(6_000, 6_000 + pairs.height))

    @pytest.mark.parametrize("dtype", [pl.Int64, pl.UInt8])
    def test_flags_may_be_numbers(
        self, vk: Settings, tmp_path: Path, dtype: type[pl.DataType], folder: Path
    ) -> None:
        before = collected(open_dataset(vk).log)
        altered(
            folder, "train_interactions.parquet", lambda t: t.with_columns(pl.col(pl.Boolean).cast(dtype))
        )
        assert collected(open_dataset(vk).log).equals(before)

    def test_wide_ids_and_vectors_are_narrowed(self, vk: Settings, folder: Path) -> None:
        before = open_dataset(vk)
        wide = {"item_id": pl.Int64, "embeddings": pl.List(pl.Float64)}
        altered(folder, "items_meta.parquet", lambda t: t.cast(wide))  # type: ignore[arg-type]  # known columns
        after = open_dataset(vk)
        assert after.fingerprint != before.fingerprint
        assert collected(after.items).equals(collected(before.items))

    def test_log_files_come_in_the_order_of_their_numbers(self, vk: Settings, folder: Path) -> None:
        names = [f"train_interactions{end}.parquet" for end in ("", "_2", "_10")]
        for name in reversed(names):
            (folder / name).write_bytes((folder / names[0]).read_bytes())
        assert [path.name for path in VK2024.files(folder)][:3] == names
        assert open_dataset(vk).test_start == 3 * vk_files.N_ROWS

    def test_generated_logs_are_taken_in(self, tmp_path: Path) -> None:
        tables = random_tables(VK2024, n_users=60, n_items=80, n_rows=2_000, seed=1)
        dataset = take_in(VK2024, tables, tmp_path, fingerprint="generated", partition_rows=300)
        windows = plan_folds(dataset, FoldSettings()).windows
        assert all(window_pairs(dataset, window).height for window in windows)
        assert dataset.items.collect_schema()["content"] == pl.Array(pl.Float32, 32)


class TestSelectedPairs:
    @pytest.mark.parametrize("seed", range(3))
    def test_against_a_loop_over_the_users(self, seed: int) -> None:
        targets = vk_files.log(700, seed).with_row_index("row", offset=50).sample(fraction=1, shuffle=True)
        expected = []
        for rows in targets.sort("row").partition_by("user_id"):
            has_reacted = (rows["like"] | rows["dislike"]).any()
            expected += rows["row"].to_list()[:20] if rows.height >= 20 and has_reacted else []
        chosen = collected(select_pairs(targets.lazy()))
        assert chosen.columns == targets.columns
        assert sorted(chosen["row"]) == sorted(expected)
        assert 0 < len(expected) < 600

    def test_users_of_one_class_are_skipped_by_the_metric(self, vk: Settings) -> None:
        dataset = open_dataset(vk)
        window = plan_folds(dataset, FoldSettings()).folds[-1].eval
        pairs = window_pairs(dataset, window).join(window_relevance(dataset, window), on="pair_id")
        by_user = pairs.group_by("user_id").agg(n=pl.len(), classes=pl.col("relevance").n_unique())
        assert by_user["n"].unique().to_list() == [20]
        scored = pairs.with_columns(score=pl.col("relevance"))
        values = evaluate_by_group(dataset.competition.metric, scored, group=["user_id"])
        assert values["value"].drop_nulls().unique().to_list() == [1.0]
        assert values["value"].count() == by_user.filter(pl.col("classes") > 1).height


class TestSolution:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return vk_files.write(tmp_path / "data", with_solution=True)

    def test_it_is_told_by_the_pairs(self, vk: Settings) -> None:
        pairs, labels = collected(open_dataset(vk).test_pairs), solution(vk)
        assert labels["pair_id"].equals(pairs["pair_id"])
        reactions = pl.col("like").cast(pl.Int8) - pl.col("dislike").cast(pl.Int8)
        expected = pairs.join(vk_files.solution(), on=vk_files.KEYS, maintain_order="left").select(reactions)
        assert labels["relevance"].to_list() == expected["like"].to_list()

    def test_the_oracle_is_the_expected_relevance(self, vk: Settings) -> None:
        pairs, best = collected(open_dataset(vk).test_pairs), oracle(vk)
        assert best is not None
        assert best.schema == {"pair_id": pl.UInt32, "score": pl.Float64}
        expected = pairs.join(vk_files.solution(), on=vk_files.KEYS, maintain_order="left")
        assert best["score"].to_list() == (expected["p_like"] - expected["p_dislike"]).to_list()

    def test_without_the_true_probabilities_there_is_no_oracle(self, vk: Settings, folder: Path) -> None:
        altered(folder, "solution.parquet", lambda t: t.drop("p_like"))
        assert oracle(vk) is None
        assert solution(vk).height == vk_files.pairs().height

    def test_a_pair_that_it_lacks(self, vk: Settings, folder: Path) -> None:
        altered(folder, "solution.parquet", lambda t: t.head(-2))
        assert "Table 'solution' of competition 'vk2024' breaks its rules" in failure(vk)

    def test_the_challenge_has_none(self, vk: Settings, folder: Path) -> None:
        (folder / "solution.parquet").unlink()
        assert oracle(vk) is None
        with pytest.raises(DataError, match="outcomes of the test pairs of 'vk2024' are not known"):
            solution(vk)


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

    def test_a_user_without_history_stays(self, vk: Settings, folder: Path) -> None:
        altered(folder, "train_interactions.parquet", lambda t: t.filter(pl.col("user_id") != 3))
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
        assert "first row 7" in message

    def test_vectors_that_are_all_of_another_length(self, vk: Settings, folder: Path) -> None:
        short = pl.col("embeddings").list.head(16).list.to_array(16)
        altered(folder, "items_meta.parquet", lambda t: t.with_columns(embeddings=short))
        assert "must be readable as Array(Float32, shape=(32,)): 200 of 200 rows do not" in failure(vk)

    @pytest.mark.parametrize("value", ["nan", "inf"])
    def test_a_vector_with_nan(self, vk: Settings, folder: Path, value: str) -> None:
        broken = pl.concat_list([pl.lit(float(value), pl.Float32), pl.col("embeddings").list.tail(31)])
        nan = pl.when(pl.col("item_id") == 7).then(broken).otherwise("embeddings")
        altered(folder, "items_meta.parquet", lambda t: t.with_columns(embeddings=nan))
        message = failure(vk)
        assert "'content'" in message
        assert "1 of 200 rows do not, first row 7" in message

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
