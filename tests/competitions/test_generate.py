from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from competitions import Clock, Competition, RawTables, get_competition, random_tables, take_in
from tests.competitions.shop import collected

MOVIELENS = get_competition("movielens")


def made(competition: Competition, seed: int = 0) -> RawTables:
    return random_tables(competition, n_users=40, n_items=60, n_rows=600, seed=seed)


def frames(tables: RawTables) -> list[pl.DataFrame]:
    return [collected(table) for table in (tables.interactions, tables.users, tables.items)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("clock", "horizon"),
    [(Clock("time", "at"), 86_400_000_000), (Clock("row"), 60), (Clock("per_user", "at", steps=5), 1)],
)
def test_they_pass_the_intake(
    shop: Competition, clock: Clock, horizon: int, seed: int, tmp_path: Path
) -> None:
    competition = replace(shop, clock=clock, horizon=horizon)
    dataset = take_in(competition, made(competition, seed), tmp_path, fingerprint="f")
    n_pairs = collected(dataset.test_pairs).height
    assert collected(dataset.log).height + n_pairs == 604
    assert n_pairs >= 30


def test_they_keep_a_schema_where_pairs_are_unique(tmp_path: Path) -> None:
    dataset = take_in(MOVIELENS, made(MOVIELENS), tmp_path, fingerprint="f")
    assert collected(dataset.log).height > 450


def test_without_attributes_there_are_no_tables_of_them(shop: Competition, tmp_path: Path) -> None:
    bare = replace(shop, users=None, items=None, source=None, horizon=86_400_000_000)
    tables = made(bare)
    assert (tables.users, tables.items) == (None, None)
    assert take_in(bare, tables, tmp_path, fingerprint="f").users.collect_schema().names() == ["user_id"]


def test_the_seed_decides(shop: Competition) -> None:
    again = [a.equals(b) for a, b in zip(frames(made(shop, 1)), frames(made(shop, 1)), strict=True)]
    other = [a.equals(b) for a, b in zip(frames(made(shop, 1)), frames(made(shop, 2)), strict=True)]
    assert again == [True] * 3
    assert other == [False] * 3


class TestAwkward:
    @pytest.fixture
    def log(self, shop: Competition) -> pl.DataFrame:
        return frames(made(shop))[0]

    def test_users_with_one_row(self, log: pl.DataFrame) -> None:
        assert (log["user_id"].value_counts()["count"] == 1).sum() >= 4

    def test_heavy_tails(self, log: pl.DataFrame) -> None:
        counts = log["item_id"].value_counts(sort=True)["count"]
        assert counts[0] > 5 * counts[counts.len() // 2]

    def test_ties_on_the_clock(self, log: pl.DataFrame) -> None:
        assert log["at"].n_unique() <= 40

    def test_the_file_is_not_in_the_order_of_the_clock(self, log: pl.DataFrame) -> None:
        assert not log["at"].is_sorted()

    def test_nulls_where_they_may_be(self, log: pl.DataFrame) -> None:
        assert 0 < log["device"].null_count() < log.height
        assert log.null_count().select(pl.exclude("device")).sum_horizontal().item() == 0

    def test_cold_and_late_items_and_missing_attributes(self, shop: Competition, log: pl.DataFrame) -> None:
        _, users, items = frames(made(shop))
        assert items.join(log, on="item_id", how="anti").height >= 6
        assert log.join(items, on="item_id", how="anti").height > 0
        assert log.join(users, on="user_id", how="anti").height > 0
        end = log["at"].max()
        first_seen = log.group_by("item_id").agg(pl.col("at").min())
        assert first_seen.filter(pl.col("at") == end).height >= 3
