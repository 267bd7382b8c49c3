"""What becomes of the tables of a competition: the log, the test window, the solution, attributes and notes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from competitions import LogShare, RawTables, take_in
from tests.competitions.shop import (
    END,
    HOUR,
    PER_USER,
    ROW,
    SHOP,
    Clicks,
    Edit,
    Take,
    Users,
    collected,
    edited,
    given_pairs,
    raises_with,
    shop_tables,
)

FIFTH = LogShare(1, of=5)
SECONDS = pl.col("seconds")


@pytest.mark.parametrize(
    ("tables", "changes", "window", "pair_ids"),
    [
        (shop_tables(), {}, (END - 4 * HOUR, END), range(20, 24)),
        (shop_tables(), ROW, (19, 24), range(19, 24)),
        (shop_tables(), PER_USER, (3, 4), range(18, 24)),
        (shop_tables(), {**ROW, "horizon": FIFTH}, (20, 24), range(20, 24)),
        (shop_tables(), {"horizon": FIFTH}, (END - 13_800_000_000, END), range(20, 24)),
        (
            shop_tables(),
            {"select_pairs": lambda targets: targets.filter(pl.col("user_id") != 1)},
            (END - 4 * HOUR, END),
            (20, 22, 23),
        ),
        (given_pairs(), {}, (END, END + 4 * HOUR), range(24, 27)),
        (given_pairs(), {**ROW, "gap": 2}, (26, 31), range(24, 27)),
        (given_pairs(), {**PER_USER, "gap": 2}, (6, 7), range(24, 27)),
    ],
)
def test_the_test_window(
    taken: Take, tables: RawTables, changes: dict[str, Any], window: tuple[int, int], pair_ids: Any
) -> None:
    dataset = taken(tables, **changes)
    assert (dataset.test_start, dataset.test_until) == window
    assert collected(dataset.test_pairs)["pair_id"].to_list() == list(pair_ids)
    assert sorted(collected(dataset.log)["row"]) == list(range(min(pair_ids)))


def test_columns_of_the_log_and_of_pairs_which_have_no_outcomes(taken: Take) -> None:
    dataset = taken()
    seen = {
        "user_id": pl.UInt32,
        "item_id": pl.UInt32,
        "at": pl.Datetime("us"),
        "device": pl.Enum(("phone", "desk")),
    }
    assert dataset.test_pairs.collect_schema() == {
        "pair_id": pl.UInt32,
        **seen,
        "is_evening": pl.Boolean,
        "timestamp": pl.Datetime("us"),  # what features call the clock's instant
    }
    clock = {"row": pl.UInt32, "clock": pl.Int64}
    derived = {"seconds": pl.UInt16, "is_evening": pl.Boolean, "long": pl.Boolean}
    copied = {"timestamp": pl.Datetime("us"), "relevance": pl.Int8}
    assert dataset.log.collect_schema() == {**clock, **seen, **derived, **copied}


@pytest.mark.parametrize(
    "edit",
    [
        lambda t: collected(t.with_row_index("row")).sample(fraction=1, shuffle=True, seed=1).lazy(),
        lambda t: t.with_columns(SECONDS.cast(pl.String)),
    ],
    ids=["permuted, with its row numbers", "numbers as text"],
)
def test_another_file_of_the_same_rows_gives_the_same_data(taken: Take, edit: Edit) -> None:
    first, second = taken(), taken(edited(interactions=edit))
    assert collected(first.log).equals(collected(second.log))
    assert collected(first.test_pairs).equals(collected(second.test_pairs))


@pytest.mark.parametrize(
    ("tables", "solution"),
    [
        (shop_tables(), [(20, 1), (21, 1), (22, 1), (23, 1)]),
        (given_pairs(solution=pl.LazyFrame({"seconds": [100, 0, 60]})), [(24, 1), (25, 0), (26, 1)]),
        (given_pairs(), None),
    ],
    ids=["cut", "given", "not known"],
)
def test_the_solution_is_kept_apart(
    tables: RawTables, solution: list[tuple[int, int]] | None, tmp_path: Path
) -> None:
    take_in(SHOP, tables, tmp_path, fingerprint="f")
    file = tmp_path / "solution.parquet"
    assert (pl.read_parquet(file).rows() if file.exists() else None) == solution
    for name in ("test_pairs", "users", "items"):
        assert pl.read_parquet_schema(tmp_path / f"{name}.parquet").keys().isdisjoint({"relevance", "long"})


@pytest.mark.parametrize("relevance", [SECONDS / 10, SECONDS // 10, SECONDS.cast(pl.Int64) // 10])
def test_relevance_may_be_whole_numbers_of_any_dtype(taken: Take, relevance: pl.Expr) -> None:
    log = collected(taken(relevance=relevance).log)
    assert log.schema["relevance"] == pl.Int8
    assert log["relevance"].to_list() == list(range(20))


@pytest.mark.parametrize("name", ["cast", "filter", "columns", "__len__", "two words"])
def test_a_column_may_bear_any_name_that_its_alias_says(taken: Take, name: str) -> None:
    clicks = type(
        "Named", (Clicks,), {"another": dy.UInt16(alias=name), "third": dy.UInt16(alias=f"{name}_")}
    )
    solution = pl.LazyFrame({"seconds": [100, 0, 60], name: 1})
    more = {name: pl.lit(1, pl.UInt16), f"{name}_": pl.lit(2, pl.UInt16)}
    tables = edited(
        given_pairs(solution=solution),
        interactions=lambda t: t.with_columns(**more), pairs=lambda t: t.with_columns(**{f"{name}_": 2}),
    )  # fmt: skip
    dataset = taken(tables, interactions=clicks, outcomes=("seconds", name))
    assert collected(dataset.test_pairs)[f"{name}_"].to_list() == [2, 2, 2]
    assert collected(dataset.log)[name].unique().to_list() == [1]


def test_derived_columns_of_given_pairs(taken: Take) -> None:
    pairs = collected(taken(given_pairs(20), horizon=20 * HOUR).test_pairs)
    assert pairs["is_evening"].to_list() == [False] * 18 + [True] * 2


def test_what_is_left_out_and_what_can_be_seen_of_a_pair_is_noted(tmp_path: Path) -> None:
    tables = edited(items=lambda t: t.with_columns(colour=pl.lit("red")))
    take_in(SHOP, tables, tmp_path, fingerprint="f")
    said = (tmp_path / "meta.json").read_text()
    assert "Columns of items that the competition does not declare are left out: colour." in said
    assert "never seen of a pair to score: seconds and what is derived" in said
    assert "Seen of it: user_id, item_id, at, device, is_evening." in said
    assert list(pl.read_parquet_schema(tmp_path / "items.parquet")) == [
        "item_id",
        "brand",
        "price",
        "source_id",
    ]


def test_outcomes_that_are_not_named_are_those_which_relevance_reads_and_what_is_dense(
    tmp_path: Path,
) -> None:
    """Through derived columns; what the dense outcome is a share of is known of a pair, and so is the rest."""
    guessed = replace(SHOP, outcomes=())
    take_in(guessed, shop_tables(), tmp_path, fingerprint="f")
    assert dict(guessed.roles) == dict(SHOP.roles)
    said = (tmp_path / "meta.json").read_text()
    assert "names no outcomes. Taken for them, since relevance reads them or they are dense: seconds." in said
    both = replace(SHOP, outcomes=(), dense="seconds", relevance=pl.col("device") == "desk")
    assert both.guessed_outcomes == ("device", "seconds")
    watched = replace(both, derived={"long": pl.col("seconds") > pl.col("device")}, dense_per="device")
    assert replace(watched, relevance=pl.col("long")).guessed_outcomes == ("seconds",)
    assert replace(both, outcomes="device").guessed_outcomes == ()


def test_texts_of_few_values_are_named_with_what_to_write(tmp_path: Path) -> None:
    """An attribute and a column of the log; not what has many values, is a key or holds nothing."""
    clicks = type("Told", (Clicks,), {"page": dy.String(nullable=True), "query": dy.String()})
    users = type("Known", (Users,), {"town": dy.String(nullable=True), "nothing": dy.String(nullable=True)})
    tables = edited(
        shop_tables(40),
        interactions=lambda t: t.with_columns(
            page=pl.when(pl.col("seconds") > 30).then(pl.lit("home")),
            query=pl.format("q {}", pl.int_range(pl.len())),
        ),
        users=lambda t: t.with_columns(town=pl.lit("Rome"), nothing=pl.lit(None, pl.String)),
    )
    take_in(replace(SHOP, interactions=clicks, users=users), tables, tmp_path, fingerprint="f")
    notes = [n for n in json.loads((tmp_path / "meta.json").read_text())["notes"] if n.startswith("The text")]
    assert [n.split(" has ")[0] for n in notes] == [
        "The text 'page' of interactions",
        "The text 'town' of users",
    ]
    assert "page = dy.Enum(['home'])" in notes[0]


@pytest.mark.parametrize("left_out", [("users",), ("items",), ("users", "items")], ids="+".join)
@pytest.mark.parametrize("tables", [shop_tables(), given_pairs()], ids=["cut", "given"])
def test_without_attributes_the_tables_are_the_keys_of_log_and_pairs(
    taken: Take, tables: RawTables, left_out: tuple[str, ...]
) -> None:
    none: dict[str, Any] = dict.fromkeys(left_out)
    is_given = tables.pairs is not None
    if is_given:
        tables = edited(tables, pairs=lambda t: t.with_columns(user_id=77, item_id=pl.lit(88)))
    dataset = taken(replace(tables, **none), source=None, **none)
    log, pairs = collected(dataset.log), collected(dataset.test_pairs)
    for name, key in {"users": "user_id", "items": "item_id"}.items():
        if name in left_out:
            table = collected(getattr(dataset, name))
            assert table.schema == {key: pl.UInt32}
            assert table[key].to_list() == sorted({*log[key], *pairs[key]})
    assert (77 in pairs["user_id"]) == is_given
    kept = {"users": ["age"], "items": ["brand", "price"]}
    joined = [name for table, names in kept.items() if table not in left_out for name in names]
    assert dataset.history_schema.names() == [*log.columns, *joined]
    assert dataset.pair_schema.names() == [*pairs.columns, *joined]
    assert collected(dataset.with_attributes(dataset.log)).height == log.height


@given(st.lists(st.integers(0, 23), min_size=1, max_size=60), st.integers(1, 10))
def test_log_and_test_pairs_share_nothing_and_lose_nothing(
    taken: Take, hours: list[int], horizon: int
) -> None:
    times = pl.Series([datetime(2024, 1, 1, hour) for hour in hours], dtype=pl.Datetime("us"))
    tables = edited(shop_tables(len(hours)), interactions=lambda t: t.with_columns(at=times, seconds=0))
    if min(hours) > max(hours) - horizon:
        with raises_with("0 rows before its test window"):
            taken(tables, horizon=horizon * HOUR)
        return
    dataset = taken(tables, horizon=horizon * HOUR)
    log, pairs = collected(dataset.log), collected(dataset.test_pairs)
    assert sorted([*log["row"], *pairs["pair_id"]]) == list(range(len(hours)))
    assert int(log["clock"].max()) < dataset.test_start  # type: ignore[arg-type]  # the log has rows
    assert {hours[i] for i in pairs["pair_id"]} == {h for h in hours if h > max(hours) - horizon}
