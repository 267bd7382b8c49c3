"""Random tables of any competition: they pass its intake, and are awkward."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl
import pytest

from competitions import Clock, Competition, RawTables, get_competition, random_tables, take_in
from engine import FoldSettings
from tests.competitions.shop import SHOP, Clicks, Take, collected
from validation import plan_folds, window_pairs

DAY = 86_400_000_000


def made(competition: Competition, seed: int = 0) -> RawTables:
    return random_tables(competition, n_users=40, n_items=60, n_rows=600, seed=seed)


def frames(tables: RawTables) -> list[pl.DataFrame]:
    return [collected(table) for table in (tables.interactions, tables.users, tables.items)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "changes",
    [
        {"horizon": DAY},
        {"clock": Clock("row"), "horizon": 60},
        {"clock": Clock("per_user", "at", steps=5), "horizon": 1},
    ],
)
def test_they_pass_the_intake(taken: Take, changes: dict[str, Any], seed: int) -> None:
    dataset = taken(made(replace(SHOP, **changes), seed), **changes)
    n_pairs = collected(dataset.test_pairs).height
    assert collected(dataset.log).height + n_pairs == 604
    assert n_pairs >= 30


@pytest.mark.parametrize("name", ["movielens", "vk2024"])
def test_they_pass_the_intake_of_the_competitions_here(name: str, tmp_path: Path) -> None:
    competition = get_competition(name)
    tables = random_tables(competition, n_users=60, n_items=80, n_rows=2_000, seed=1)
    dataset = take_in(competition, tables, tmp_path, fingerprint="f", partition_rows=300)
    assert all(window_pairs(dataset, window).height for window in plan_folds(dataset, FoldSettings()).windows)


@pytest.mark.parametrize(
    "user_id", [dy.Enum([f"u{i}" for i in range(9)]), dy.Categorical(), dy.String(), dy.Int8()], ids=str
)
def test_ids_may_be_of_any_dtype(user_id: dy.Column, taken: Take) -> None:
    changes: dict[str, Any] = {
        "interactions": type("Clicks", (Clicks,), {"user_id": user_id}), "users": None, "horizon": DAY
    }  # fmt: skip
    dataset = taken(made(replace(SHOP, **changes)), **changes)
    users = collected(dataset.log)["user_id"]
    assert users.dtype == user_id.dtype
    assert 5 <= users.n_unique() <= 40


def test_without_attributes_there_are_no_tables_of_them(taken: Take) -> None:
    bare: dict[str, Any] = {"users": None, "items": None, "source": None, "horizon": DAY}
    tables = made(replace(SHOP, **bare))
    assert (tables.users, tables.items) == (None, None)
    assert taken(tables, **bare).users.collect_schema().names() == ["user_id"]


def test_the_seed_decides() -> None:
    first, again, other = (frames(made(SHOP, seed)) for seed in (1, 1, 2))
    assert [a.equals(b) for a, b in zip(first, again, strict=True)] == [True] * 3
    assert [a.equals(b) for a, b in zip(first, other, strict=True)] == [False] * 3


def test_they_are_awkward() -> None:
    log, users, items = frames(made(SHOP))
    assert (log["user_id"].value_counts()["count"] == 1).sum() >= 4, "users with one row"
    counts = log["item_id"].value_counts(sort=True)["count"]
    assert counts[0] > 5 * counts[counts.len() // 2], "heavy tails"
    assert log["at"].n_unique() <= 40, "ties on the clock"
    assert not log["at"].is_sorted(), "a file that is not in the order of the clock"
    assert 0 < log["device"].null_count() < log.height, "nulls where they may be"
    assert log.null_count().select(pl.exclude("device")).sum_horizontal().item() == 0, "and nowhere else"
    assert items.join(log, on="item_id", how="anti").height >= 6, "cold items"
    assert log.join(items, on="item_id", how="anti").height > 0, "items without attributes"
    assert log.join(users, on="user_id", how="anti").height > 0, "users without attributes"
    first_seen = log.group_by("item_id").agg(pl.col("at").min())
    assert first_seen.filter(pl.col("at") == log["at"].max()).height >= 3, "late items"
