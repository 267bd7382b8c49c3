from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from competitions import Clock, Competition, RawTables, SubmissionFormat, take_in
from engine import DataError
from tests.competitions.shop import HOUR, Take, collected


def given_pairs(tables: RawTables, n_pairs: int = 3, **changes: object) -> RawTables:
    """The tables with pairs in the hours after the log."""
    end = datetime(2024, 1, 2)
    pairs = pl.LazyFrame(
        {
            "user_id": [1 + i % 3 for i in range(n_pairs)],
            "item_id": [10] * n_pairs,
            "at": [end + timedelta(hours=i) for i in range(n_pairs)],
            "device": ["desk"] * n_pairs,
        },
        schema_overrides={"user_id": pl.UInt32, "item_id": pl.UInt32, "at": pl.Datetime("us")},
    )
    return replace(tables, pairs=pairs, **changes)  # type: ignore[arg-type]


class TestSplit:
    def test_time(self, taken: Take) -> None:
        dataset = taken()
        assert dataset.test_until - dataset.test_start == 4 * HOUR
        assert collected(dataset.log)["row"].to_list() == list(range(20))
        assert collected(dataset.test_pairs)["pair_id"].to_list() == [20, 21, 22, 23]

    def test_row(self, taken: Take) -> None:
        dataset = taken(clock=Clock("row"), horizon=5)
        assert (dataset.test_start, dataset.test_until) == (19, 24)
        assert collected(dataset.test_pairs)["pair_id"].to_list() == [19, 20, 21, 22, 23]

    def test_per_user(self, taken: Take) -> None:
        dataset = taken(clock=Clock("per_user", "at", steps=4), horizon=1)
        assert (dataset.test_start, dataset.test_until) == (3, 4)
        assert collected(dataset.test_pairs).group_by("user_id").len()["len"].to_list() == [2, 2, 2]

    def test_pairs_have_no_outcomes(self, taken: Take) -> None:
        assert taken().test_pairs.collect_schema().names() == [
            "pair_id",
            "user_id",
            "item_id",
            "at",
            "device",
            "is_evening",
        ]

    def test_columns_of_the_log(self, taken: Take) -> None:
        assert taken().log.collect_schema() == {
            "row": pl.UInt32,
            "clock": pl.Int64,
            "user_id": pl.UInt32,
            "item_id": pl.UInt32,
            "at": pl.Datetime("us"),
            "device": pl.Enum(("phone", "desk")),
            "seconds": pl.UInt16,
            "is_evening": pl.Boolean,
            "long": pl.Boolean,
            "relevance": pl.Int8,
        }

    def test_the_competition_selects_the_pairs(self, taken: Take) -> None:
        dataset = taken(select_pairs=lambda targets: targets.filter(pl.col("user_id") != 1))
        assert collected(dataset.test_pairs)["pair_id"].to_list() == [20, 22, 23]

    def test_a_permuted_file_with_its_row_numbers_gives_the_same_data(
        self, taken: Take, tables: RawTables
    ) -> None:
        numbered = tables.interactions.with_row_index("row").collect(engine="streaming")
        shuffled = replace(tables, interactions=numbered.sample(fraction=1, shuffle=True, seed=1).lazy())
        first, second = taken(), taken(shuffled)
        assert collected(first.log).equals(collected(second.log))
        assert collected(first.test_pairs).equals(collected(second.test_pairs))

    def test_solution_is_kept_apart(self, shop: Competition, tables: RawTables, tmp_path: Path) -> None:
        take_in(shop, tables, tmp_path, fingerprint="f")
        solution = pl.read_parquet(tmp_path / "solution.parquet")
        assert solution.rows() == [(20, 1), (21, 1), (22, 1), (23, 1)]
        others = [
            pl.read_parquet_schema(tmp_path / f"{name}.parquet") for name in ("test_pairs", "users", "items")
        ]
        assert not any("relevance" in schema or "long" in schema for schema in others)


class TestGivenPairs:
    def test_they_become_the_test_window(self, taken: Take, tables: RawTables) -> None:
        dataset = taken(given_pairs(tables))
        assert collected(dataset.log).height == 24
        assert collected(dataset.test_pairs)["pair_id"].to_list() == [24, 25, 26]
        assert collected(dataset.test_pairs)["is_evening"].to_list() == [False] * 3
        last = int(collected(dataset.log)["clock"].max())  # type: ignore[arg-type]  # the log has rows
        assert (dataset.test_start, dataset.test_until) == (last + 1, last + 1 + 4 * HOUR)

    @pytest.mark.parametrize(
        ("clock", "horizon", "window"),
        [(Clock("row"), 5, (26, 31)), (Clock("per_user", steps=4), 1, (6, 7))],
    )
    def test_the_gap_lies_before_them(
        self, taken: Take, tables: RawTables, clock: Clock, horizon: int, window: tuple[int, int]
    ) -> None:
        dataset = taken(given_pairs(tables), clock=clock, horizon=horizon, gap=2)
        assert (dataset.test_start, dataset.test_until) == window

    def test_a_solution_in_their_order(self, shop: Competition, tables: RawTables, tmp_path: Path) -> None:
        outcomes = pl.LazyFrame({"seconds": [100, 0, 60]})
        take_in(shop, given_pairs(tables, solution=outcomes), tmp_path, fingerprint="f")
        assert pl.read_parquet(tmp_path / "solution.parquet").rows() == [(24, 1), (25, 0), (26, 1)]

    def test_without_a_solution_there_is_none(
        self, shop: Competition, tables: RawTables, tmp_path: Path
    ) -> None:
        take_in(shop, given_pairs(tables), tmp_path, fingerprint="f")
        assert not (tmp_path / "solution.parquet").exists()

    def test_a_solution_of_another_length(self, taken: Take, tables: RawTables) -> None:
        with pytest.raises(DataError, match="gives 3 pairs, and its solution has 2 rows"):
            taken(given_pairs(tables, solution=pl.LazyFrame({"seconds": [100, 0]})))

    def test_a_solution_with_a_null(self, taken: Take, tables: RawTables) -> None:
        relevance = (
            pl.when(pl.col("long") | (pl.col("seconds") < 5)).then(1).when(pl.col("seconds") != 7).then(0)
        )
        with pytest.raises(DataError, match="leaves the relevance of 1 pairs null"):
            taken(given_pairs(tables, solution=pl.LazyFrame({"seconds": [100, 0, 7]})), relevance=relevance)

    def test_pairs_beyond_the_horizon(self, taken: Take, tables: RawTables) -> None:
        with pytest.raises(
            DataError, match=r"1 of 5 given pairs .* lie outside of the test window, the first: row 4"
        ):
            taken(given_pairs(tables, n_pairs=5))

    def test_duplicate_pairs(self, taken: Take, tables: RawTables) -> None:
        keys = SubmissionFormat({"user": "user_id", "item": "item_id", "score": "score"})
        with pytest.raises(
            DataError, match=r"2 of 4 test pairs .* are duplicates, e.g. user_id=1, item_id=10"
        ):
            taken(given_pairs(tables, n_pairs=4), submission=keys)

    def test_an_ordered_file_may_repeat_pairs(self, taken: Take, tables: RawTables) -> None:
        keys = SubmissionFormat({"user": "user_id", "item": "item_id", "score": "score"}, ordered=True)
        assert collected(taken(given_pairs(tables, n_pairs=4), submission=keys).test_pairs).height == 4

    def test_a_null_key(self, taken: Take, tables: RawTables) -> None:
        pairs = given_pairs(tables)
        broken = replace(pairs, pairs=pairs.pairs.with_columns(item_id=pl.lit(None, pl.UInt32)))  # type: ignore[union-attr]
        with pytest.raises(DataError, match=r"'pairs' .*\n- the key 'item_id' must not be null: 3 of 3 rows"):
            taken(broken)


class TestNothingToScore:
    def test_an_empty_log(self, taken: Take, tables: RawTables) -> None:
        with pytest.raises(DataError, match="'interactions' of competition 'shop' has no rows"):
            taken(replace(tables, interactions=tables.interactions.head(0)))

    def test_a_horizon_that_takes_the_whole_log(self, taken: Take) -> None:
        with pytest.raises(DataError, match="has 0 rows before its test window"):
            taken(horizon=100 * HOUR)

    def test_an_empty_test_window(self, taken: Take) -> None:
        with pytest.raises(DataError, match=r"and 0 pairs to score in it \(4 rows\)"):
            taken(select_pairs=lambda targets: targets.filter(pl.col("seconds") > 600))

    def test_users_too_short_for_the_last_step(self, taken: Take) -> None:
        with pytest.raises(DataError, match="a user reaches the last 1 only with enough rows"):
            taken(clock=Clock("per_user", "at", steps=10), horizon=1)

    def test_a_null_relevance(self, taken: Take) -> None:
        relevance = pl.when(pl.col("seconds") > 0).then(1)
        with pytest.raises(DataError, match="relevance of competition 'shop' is null in 1 of 24 rows"):
            taken(relevance=relevance)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.lists(st.integers(0, 23), min_size=1, max_size=60), st.integers(1, 10))
def test_log_and_test_pairs_share_nothing_and_lose_nothing(
    taken: Take, hours: list[int], horizon: int
) -> None:
    tables = RawTables(
        interactions=pl.LazyFrame(
            {
                "user_id": [1 for _ in hours],
                "item_id": [10 for _ in hours],
                "at": [datetime(2024, 1, 1, hour) for hour in hours],
                "device": ["desk" for _ in hours],
                "seconds": [0 for _ in hours],
            },
            schema_overrides={"at": pl.Datetime("us")},
        ),
        users=pl.LazyFrame({"user_id": [1], "age": [20]}),
        items=pl.LazyFrame({"item_id": [10], "brand": ["acme"], "price": [1.0]}),
    )
    if min(hours) > max(hours) - horizon:
        with pytest.raises(DataError, match="0 rows before its test window"):
            taken(tables, horizon=horizon * HOUR)
        return
    dataset = taken(tables, horizon=horizon * HOUR)
    log, pairs = collected(dataset.log), collected(dataset.test_pairs)
    assert sorted([*log["row"], *pairs["pair_id"]]) == list(range(len(hours)))
    assert int(log["clock"].max()) < dataset.test_start  # type: ignore[arg-type]  # the log has rows
    assert {hours[i] for i in pairs["pair_id"]} == {h for h in hours if h > max(hours) - horizon}
