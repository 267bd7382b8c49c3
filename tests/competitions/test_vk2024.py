"""What becomes of the files of the VK challenge."""

from __future__ import annotations

import polars as pl
import polars.selectors as cs
import pytest

from competitions import open_dataset, oracle, solution
from competitions.vk2024 import VK2024, select_pairs
from engine import FoldSettings, Settings
from tests.competitions import vk_files
from tests.competitions.shop import collected, raises_with
from tests.competitions.vk_files import altered
from validation import evaluate_by_group, plan_folds, window_pairs, window_relevance


class TestData:
    def test_the_log_is_the_file_with_its_order_as_clock(self, vk: Settings) -> None:
        log = collected(open_dataset(vk).log)
        assert log.schema == {
            "row": pl.UInt32,
            "clock": pl.Int64,
            **dict.fromkeys(vk_files.KEYS, pl.UInt32),
            "timespent": pl.UInt16,
            **dict.fromkeys(("like", "dislike", "share", "bookmarks"), pl.Boolean),
            "relevance": pl.Int8,
        }
        assert log["row"].to_list() == log["clock"].to_list() == list(range(vk_files.N_ROWS))
        there = vk_files.log()
        assert log.select(there.columns).equals(there.cast({"timespent": pl.UInt16}))

    def test_ages_and_durations_have_groups(self, vk: Settings) -> None:
        dataset = open_dataset(vk)
        users, items = collected(dataset.users), collected(dataset.items)
        for table, number, group in ((users, "age", "age_group"), (items, "duration", "duration_bucket")):
            for n, name in table.select(number, pl.col(group).cast(pl.String)).drop_nulls().iter_rows():
                low, _, high = name.replace("under ", "0-").replace("+", "-999").partition("-")
                is_below = name.startswith("under")
                assert int(low) <= n <= int(high) - is_below
        assert users["age_group"].n_unique() > 3
        assert items["duration_bucket"].n_unique() > 6

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
        assert [w.cutoff for w in folds.windows] == [1_000, 2_000, 3_000, 4_000, 5_000, 6_000]

    def test_the_content_is_an_array_and_attributes_join_the_log(self, vk: Settings) -> None:
        dataset = open_dataset(vk)
        items = collected(dataset.items)
        assert items.schema["content"] == pl.Array(pl.Float32, 32)
        assert items["content"].to_list() == vk_files.items()["embeddings"].to_list()
        joined = collected(dataset.with_attributes(dataset.log).select("item_id", "source_id", "content"))
        assert joined.filter(pl.col("source_id") != pl.col("item_id") % 20).is_empty()

    def test_the_pairs_are_those_of_the_file_in_its_order(self, vk: Settings) -> None:
        pairs = collected(open_dataset(vk).test_pairs)
        assert pairs.columns == ["pair_id", "user_id", "item_id"]
        assert pairs.select(vk_files.KEYS).equals(vk_files.pairs())
        assert pairs["pair_id"].to_list() == list(range(6_000, 6_000 + pairs.height))

    @pytest.mark.parametrize("dtype", [pl.Int64, pl.UInt8])
    def test_flags_may_be_numbers_and_ids_and_vectors_wide(
        self, vk: Settings, dtype: type[pl.DataType]
    ) -> None:
        before = open_dataset(vk)
        wide = {"item_id": pl.Int64, "embeddings": pl.List(pl.Float64)}
        altered(vk.data, "items_meta.parquet", lambda t: t.cast(wide))  # type: ignore[arg-type]  # known columns
        altered(vk.data, "train_interactions.parquet", lambda t: t.cast({cs.boolean(): dtype}))
        after = open_dataset(vk)
        assert after.fingerprint != before.fingerprint
        assert collected(after.items).equals(collected(before.items))
        assert collected(after.log).equals(collected(before.log))

    def test_log_files_come_in_the_order_of_their_numbers(self, vk: Settings) -> None:
        names = [f"train_interactions{end}.parquet" for end in ("", "_2", "_10")]
        for name in reversed(names):
            (vk.data / name).write_bytes((vk.data / names[0]).read_bytes())
        assert [path.name for path in VK2024.files(vk.data)][:3] == names
        assert open_dataset(vk).test_start == 3 * vk_files.N_ROWS


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
    def test_it_is_told_by_the_pairs_and_the_oracle_is_the_expected_relevance(self, solved: Settings) -> None:
        pairs, labels, best = collected(open_dataset(solved).test_pairs), solution(solved), oracle(solved)
        expected = pairs.join(vk_files.solution(), on=vk_files.KEYS, maintain_order="left")
        assert labels["pair_id"].equals(pairs["pair_id"])
        reactions = pl.col("like").cast(pl.Int8) - pl.col("dislike").cast(pl.Int8)
        assert labels["relevance"].to_list() == expected.select(reactions)["like"].to_list()
        assert best is not None
        assert best.schema == {"pair_id": pl.UInt32, "score": pl.Float64}
        assert best["pair_id"].equals(pairs["pair_id"])
        assert best["score"].to_list() == (expected["p_like"] - expected["p_dislike"]).to_list()

    def test_without_the_true_probabilities_there_is_no_oracle(self, solved: Settings) -> None:
        altered(solved.data, "solution.parquet", lambda t: t.drop("p_like"))
        assert oracle(solved) is None
        assert solution(solved).height == vk_files.pairs().height

    def test_a_pair_that_it_lacks(self, solved: Settings) -> None:
        altered(solved.data, "solution.parquet", lambda t: t.head(-2))
        with raises_with("Table 'solution' of competition 'vk2024' breaks its rules"):
            open_dataset(solved)

    def test_the_challenge_has_none(self, vk: Settings) -> None:
        assert oracle(vk) is None
        with raises_with("outcomes of the test pairs of 'vk2024' are not known"):
            solution(vk)
