"""The catalogue and families benchmarks: what they make of two runs, and their tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks import families
from benchmarks._catalogue_table import (
    BEFORE,
    NOW,
    Run,
    Trial,
    as_markdown,
    common_names,
    compared,
    compared_row,
)
from benchmarks._family_run import ALL
from competitions import Metric


def run(quality: float, *, names: tuple[str, ...], with_oracle: bool = True, seed: int = 0) -> Run:
    """Sixty users of ten pairs; scores follow the truth the more closely the better they are."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=600)
    noise = np.random.default_rng(seed + 1).normal(size=(2, 600))
    table = pl.DataFrame(
        {
            "pair_id": np.arange(600, dtype=np.uint32),
            "user_id": np.repeat(np.arange(60), 10),
            "relevance": (truth > 0).astype(np.int8),
            "popularity": noise[0],
            **{name: quality * truth + noise[1] for name in names if name != "popularity"},
        }
    )
    table = table.with_columns(score=pl.col(names[-1]))
    if with_oracle:
        table = table.with_columns(oracle=pl.Series(truth))
    return Run(table, names, names[-1], 10, 1.0, 0.1)


def trial(name: str, *, with_oracle: bool = True, seed: int = 0) -> Trial:
    before = run(0.3, names=("popularity", "trees", "gone"), with_oracle=with_oracle, seed=seed)
    now = run(1.5, names=("popularity", "trees"), with_oracle=with_oracle, seed=seed)
    # The order of a run's pairs does not matter: they are joined by their ids.
    mixed = replace(now, table=now.table.sample(fraction=1.0, shuffle=True, seed=3))
    return Trial(Path(name), "user_id", Metric("user_auc"), {BEFORE: before, NOW: mixed})


def test_names_of_both_runs_are_compared_and_the_chosen_ones() -> None:
    assert common_names([trial("a")]) == ["popularity", "trees", "score"]
    rows = {row["scores"]: row for row in compared(trial("a"))}
    assert list(rows) == ["popularity", "trees", "the chosen one"]
    trees, popularity = rows["trees"], rows["popularity"]
    assert trees["now"] - trees["before"] == pytest.approx(trees["gain"])
    assert 0 < trees["low"] <= trees["gain"] <= trees["high"]
    assert (popularity["gain"], popularity["way_now"]) == (0.0, 0.0)
    assert trees["oracle"] == 1.0
    assert trees["way_now"] - trees["way_before"] == pytest.approx(trees["gain"] / (1.0 - popularity["now"]))


def test_users_of_different_data_sets_are_different_users() -> None:
    alone = compared_row("a", [trial("a")], "trees")
    both = compared_row("together", [trial("a"), trial("b", seed=5)], "trees")
    assert both["users"] == 2 * alone["users"]


def test_without_an_oracle_there_are_no_shares_of_the_way() -> None:
    heading, rule, *lines = as_markdown(compared(trial("a", with_oracle=False)))
    assert heading.count("|") == rule.count("|") == lines[0].count("|")
    assert all(line.endswith("|  |  |  |") for line in lines)


def test_families_make_one_line_each_and_the_whole_the_last() -> None:
    figures = {"columns": 3, "inputs": 2, "read": 1, "seconds": 1.26, "cpu_seconds": 2.0, "peak_gib": 0.512}
    lines = families.as_markdown({"rates": figures, ALL: figures})
    assert lines[2] == "| rates | 3 | 2 | 1 | 1 | 2 | 0.51 |"
    assert lines[3].startswith("| the whole catalogue |")
