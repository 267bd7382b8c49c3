"""What comes before a pair, against a plain loop over each user's pairs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from competitions import get_competition, random_tables, take_in
from features import Window, compute_window, load_catalogue, load_registry
from validation import window_pairs

WINDOW = Window(cutoff=100, start=100, until=600)
COUNTS = ["n_shown_of_source", "n_shown_of_source_in_session", "sessions_since_source"]
LIKENESS = ["likeness_to_session_start", "likeness_to_last_shown"]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """Pairs of a random log with few sessions and positions, so with ties, and these columns."""
    competition = replace(get_competition("vk2024_order"), select_pairs=lambda rows: rows)
    tables = random_tables(competition, n_users=15, n_items=40, n_rows=1_000, seed=8)
    rows = tables.interactions.collect().sample(600, with_replacement=True, seed=8)
    assert tables.items is not None
    of_items = tables.items.with_columns(pl.col("source_id") % 5)
    items = of_items.collect()["item_id"].head(40)
    number = pl.int_range(pl.len())
    rows = rows.with_columns(
        (number % 15).cast(pl.UInt32).alias("user_id"),
        items.gather(np.arange(600) // 15 % len(items)).alias("item_id"),
        (pl.col("session") % 4).alias("session"),
        (pl.col("position") % 5).alias("position"),
    )
    tables = replace(tables, interactions=rows.lazy(), items=of_items)
    dataset = take_in(competition, tables, tmp_path_factory.mktemp("order"), fingerprint="order")
    pairs = window_pairs(dataset, WINDOW)
    columns = compute_window(
        load_catalogue(dataset), WINDOW, [*COUNTS, *LIKENESS, "taste_item_vector"], pairs
    )
    return dataset.with_attributes(pairs.lazy()).collect().join(columns, on="pair_id")


def told(rows: list[dict[str, Any]], at: int) -> dict[str, Any]:
    """By a loop over the user's rows in their order."""
    own, before = rows[at], rows[:at]
    of_source = [row for row in before if row["source_id"] == own["source_id"]]
    in_session = [row for row in before if row["session"] == own["session"]]
    first, last = (in_session[0], in_session[-1]) if in_session else (None, None)
    return {
        "n_shown_of_source": len(of_source),
        "n_shown_of_source_in_session": sum(row["session"] == own["session"] for row in of_source),
        "sessions_since_source": float(own["session"] - of_source[-1]["session"]) if of_source else None,
        "likeness_to_session_start": first and product(own, first),
        "likeness_to_last_shown": last and product(own, last),
    }


def product(one: dict[str, Any], other: dict[str, Any]) -> float:
    return float(np.dot(one["taste_item_vector"], other["taste_item_vector"]))


def test_what_comes_before_is_what_a_loop_finds(found: pl.DataFrame) -> None:
    n_like = 0
    for _, pairs in found.group_by("user_id"):
        rows = pairs.sort("session", "position", "item_id").to_dicts()
        for at, row in enumerate(rows):
            wanted = told(rows, at)
            assert {name: row[name] for name in COUNTS} == {name: wanted[name] for name in COUNTS}
            for name in LIKENESS:
                assert (row[name] is None) == (wanted[name] is None)
                assert row[name] is None or row[name] == pytest.approx(wanted[name], abs=1e-5)
                n_like += row[name] is not None
    assert n_like > 300


def test_who_may_not_look_at_other_pairs_gets_none_of_it(found: pl.DataFrame) -> None:
    assert found.filter(pl.col("n_shown_of_source") > 1).height > 10
    declared = load_registry().declarations
    assert {declared[name].options["scope"] for name in (*COUNTS, *LIKENESS)} == {"user"}
