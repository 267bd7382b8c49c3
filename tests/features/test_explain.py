"""``python -m features explain``: passes, what they are made of, what they cost last, what is missing and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import polars as pl
import pytest
from rich.console import Console
from typer.testing import CliRunner

from competitions import Dataset, opened
from engine import Settings, Store
from features import (
    Aggregate,
    Catalogue,
    Log,
    Registry,
    Window,
    aggregate,
    bind_catalogue,
    compute_features,
    count,
    horizon,
    raw,
    table,
)
from features import __main__ as command
from features._cards import plan_facts, plan_tables
from tests.features import storing
from validation import Folds


@pytest.fixture(scope="module")
def catalogue(timed: Dataset) -> Catalogue:
    features = storing.registry()

    @aggregate(keys=["item_id", "kind"], lookbacks=[None, horizon(1)], registry=features)
    def n_rows(log: Log) -> Aggregate:
        """Number of rows; 0 if none."""
        return count()

    @aggregate(keys=["item_id"], registry=features)
    def middle(log: Log) -> Aggregate:
        """Median of the stars; null if there are none."""
        return raw(log.stars.median())

    return bind_catalogue(timed, features)


def by_name(facts: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {one["pass"]: one for one in facts["passes"]}


def test_aggregates_of_a_key_share_a_pass_and_coarse_keys_are_made_of_finer_ones(
    catalogue: Catalogue, folds: Folds, store: Store
) -> None:
    names = ["rate__item_id", "n_rows__item_id", "n_rows__item_id__h1", "n_rows__kind", "middle__item_id"]
    facts = plan_facts(catalogue, names, folds.windows, store)
    passes = by_name(facts)
    items = passes["group by item_id"]
    assert items["made of"] == "rows"
    assert set(items["features"]) == set(names) - {"n_rows__kind"}
    assert items["lookbacks"] == ["all", "h1"]
    assert items["by window"] == 1  # the median cannot be merged
    assert passes["group by kind"]["made of"] == "partials by item_id"
    assert passes["group by nothing"]["features"] == ["prior of rate__item_id"]
    assert facts["n_features"] == len(names)
    assert facts["n_passes"] == sum(one["made of"] == "rows" for one in passes.values()) < len(passes)
    assert facts["n_windows"] == len(folds.windows)


def test_bodies_and_levels_follow_with_what_they_read(
    catalogue: Catalogue, folds: Folds, store: Store
) -> None:
    passes = by_name(
        plan_facts(catalogue, ["twice", "age_here", "c__a", "half__item_id"], folds.windows, store)
    )
    assert passes["fitted constant"]["features"] == ["c__a"]
    assert passes["table by_helper"]["made of"] == "history"
    levels = {name: one["features"] for name, one in passes.items() if name.startswith("per pair")}
    assert sorted(levels["per pair, level 1"]) == ["age_here", "gap"]
    assert levels["per pair, level 2"] == ["twice"]
    assert {"rate__user_id", "rate__item_id"} <= {n for one in passes.values() for n in one["features"]}


def test_a_pass_with_a_condition_is_one_of_its_own(catalogue: Catalogue, folds: Folds, store: Store) -> None:
    passes = by_name(plan_facts(catalogue, ["n_good__user_id", "stars__user_id"], folds.windows, store))
    assert passes["group by user_id (where)"]["features"] == ["n_good__user_id"]
    assert passes["group by user_id"]["features"] == ["stars__user_id"]


def test_cost_is_that_of_the_last_run_and_what_is_stored_is_not_missing(
    catalogue: Catalogue, folds: Folds, store: Store, settings: Settings
) -> None:
    names = ["twice", "n_rows__item_id"]
    before = plan_facts(catalogue, names, folds.windows, store)
    assert {one["seconds"] for one in before["passes"]} == {None}
    for window in before["windows"]:
        assert window["missing"] == before["n_features"]
        assert list(window["why"]) == ["never made before"]
        assert window["passes_to_run"] == 2  # by user and by item
    compute_features(catalogue, folds.windows, names, store, settings)
    after = plan_facts(catalogue, names, folds.windows, store)
    assert all((w["missing"], w["passes_to_run"], w["why"]) == (0, 0, {}) for w in after["windows"])
    made = (one for one in after["passes"] if not one["pass"].startswith("group by nothing"))
    assert all(one["seconds"] > 0 for one in made)


def test_an_edit_is_named_as_the_reason(
    timed: Dataset, folds: Folds, store: Store, settings: Settings
) -> None:
    old, new = (bind_catalogue(timed, storing.registry(factor=factor)) for factor in (2, 3))
    compute_features(old, folds.windows, ["twice"], store, settings)
    (window, *_) = plan_facts(new, ["twice"], folds.windows, store)["windows"]
    assert window["missing"] == 2
    assert sorted(name for names in window["why"].values() for name in names) == ["gap", "twice"]
    assert "never made before" not in window["why"]
    assert window["passes_to_run"] == 0


def test_tables_hold_every_pass_and_window(catalogue: Catalogue, folds: Folds, store: Store) -> None:
    facts = plan_facts(catalogue, list(catalogue.columns), folds.windows, store)
    console = Console(width=160, record=True, quiet=False, force_terminal=False)
    with console.capture() as captured:
        for part in plan_tables(facts):
            console.print(part)
    text = captured.get()
    for words in (*by_name(facts), *(w["window"] for w in facts["windows"])):
        assert words in text
    assert f"{facts['n_features']} features -> {facts['n_passes']} passes over the log" in text


def test_the_command_prints_json(timed: Dataset, settings: Settings) -> None:
    options = [
        f"--set=store={str(settings.store)!r}",
        "--set=folds.n_folds=2",
        "--set=folds.n_train_windows=2",
    ]
    with opened(timed):
        result = CliRunner().invoke(
            command.app, [*options, "explain", "n_exposures__*", "--json"], catch_exceptions=False
        )
    facts = json.loads(result.output)
    assert facts["n_features"] > 1
    keys = {"pass", "made of", "lookbacks", "states", "by window", "features", "seconds"}
    assert keys <= set(facts["passes"][0])


COUNTS: dict[str, int] = {}


def note(name: str) -> None:
    COUNTS[name] = 1


def test_files_that_count_as_a_whole_are_shown(timed: Dataset, folds: Folds, store: Store) -> None:
    features = Registry()

    @table(key="item_id", columns={"noted": pl.UInt32}, registry=features)
    def noted(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """How many names were noted."""
        return history.select("item_id").unique().with_columns(noted=pl.lit(len(COUNTS), pl.UInt32))

    catalogue = bind_catalogue(timed, features)
    facts = plan_facts(catalogue, list(catalogue.columns), folds.windows, store)
    here = "tests/features/test_explain.py"
    assert facts["whole files"]["table noted"][here] == f"COUNTS of {here} is filled by functions"
    console = Console(width=160, record=True, quiet=False, force_terminal=False)
    with console.capture() as captured:
        console.print(plan_tables(facts)[-1])
    assert here in captured.get()
