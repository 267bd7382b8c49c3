"""Selection on a small log in which the item decides the rating, and a planted family knows nothing."""

from __future__ import annotations

import json
import shutil
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from competitions import get_competition, opened, random_tables, take_in
from engine import ConfigError, FeatureSettings, Settings, load_settings
from stacking import Measured, inner_folds, make_plan, plan_selection
from stacking.__main__ import app
from stacking._worth.config_file import patterns_of, toml_text, write_config
from validation import Difference

SIGNAL = ("relevance_rate__item_id", "relevance_rate__user_id")
NOISE = ("user_gender", "user_occupation", "n_exposures__user_id")
CONFIG = f"""
backend = "inline"
store = "store"
[features]
include = {json.dumps([*SIGNAL, *NOISE])}
[folds]
n_folds = 2
n_train_windows = 3
[models.popularity]
[models.trees]
kind = "catboost"
iterations = 15
depth = 3
feature_share = 1.0
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    folder = tmp_path_factory.mktemp("work")
    competition = get_competition("movielens")
    tables = random_tables(competition, n_users=60, n_items=30, n_rows=2400, seed=5)
    rows = tables.interactions.collect(engine="in-memory")
    taste = (pl.col("item_id").hash(1) % 3 * 2 + 1).cast(rows.schema["rating"])  # 1, 3 or 5
    is_noise = pl.Series(np.random.default_rng(0).random(rows.height) < 0.2)
    rows = rows.with_columns(rating=pl.when(is_noise).then(pl.col("rating")).otherwise(taste))
    (folder / "data").mkdir()
    planted = replace(tables, interactions=rows.lazy())
    dataset = take_in(competition, planted, folder / "data", fingerprint="planted")
    (folder / "config.toml").write_text(CONFIG)
    with opened(dataset), pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield load_settings()


def ran(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_inner_folds_lie_in_train_windows_before_every_eval_window(settings: Settings) -> None:
    plan = make_plan(settings)
    evals = {f.eval for f in plan.folds.folds}
    folds = inner_folds(plan)
    assert len(folds) == 2
    for fold in folds:
        assert not {fold.eval, *fold.train} & evals
        assert all(w.until <= fold.eval.cutoff for w in fold.train)
        assert fold.eval.until <= min(e.start for e in evals)
    assert len({len(f.train) for f in folds}) == 1


def test_with_a_gap_a_window_is_predicted_by_those_whose_targets_are_known(settings: Settings) -> None:
    gapped = settings.folds.model_copy(update={"gap": 1})
    (fold,) = inner_folds(make_plan(settings.model_copy(update={"folds": gapped})))
    assert not fold.by_users
    assert [w.until <= fold.eval.cutoff for w in fold.train] == [True]


def test_a_family_that_is_not_sure_does_not_stand_in_the_way_of_one_that_is(settings: Settings) -> None:
    asked = plan_selection(make_plan(settings), budget=10, say=lambda _: None)
    families = {"noisy": asked.columns[:1], "sure": asked.columns[1:2], "useless": asked.columns[2:3]}
    intervals = {"noisy": (0.5, -0.1), "sure": (0.3, 0.1), "useless": (-0.1, -0.2)}

    def changes(chosen: tuple[str, ...], families: object, names: Sequence[str]) -> dict[str, Measured]:
        del families
        return {
            n: Measured(
                Difference(mean if not chosen else -0.1, low if not chosen else -0.2, 1.0, 99), 0, 0, {}
            )
            for n in names
            for mean, low in [intervals[n]]
        }

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asked, "changes", changes)
        assert asked.forward(families) == families["sure"]


def test_a_single_train_window_is_cut_by_users(settings: Settings) -> None:
    one = settings.folds.model_copy(update={"n_train_windows": 1})
    plan = make_plan(settings.model_copy(update={"folds": one}))
    (fold,) = inner_folds(plan)
    assert fold.by_users
    assert fold.train == (fold.eval,) == plan.folds.folds[0].train
    found = plan_selection(plan, budget=10, say=lambda _: None).run()
    assert SIGNAL[0] in found.columns


def test_the_signal_stays_and_the_noise_goes_and_nothing_else_is_touched(settings: Settings) -> None:
    before = Path("config.toml").read_text()
    facts = json.loads(ran("select", "--json"))
    assert SIGNAL[0] in facts["columns"]
    assert not set(NOISE) & set(facts["columns"])
    assert facts["steps"][0]["what"] == ["rates"]
    assert not facts["is_cut_short"]
    assert Path("config.toml").read_text() == before
    written = load_settings(Path("config.selected.toml"))
    plan, chosen = make_plan(settings), make_plan(written)
    assert list(chosen.columns["trees"]) == facts["columns"]
    assert written.models == settings.models
    assert written.folds == settings.folds
    assert chosen.dataset.fingerprint == plan.dataset.fingerprint


def test_a_search_that_was_stopped_gives_the_same(settings: Settings, tmp_path: Path) -> None:
    whole = plan_selection(make_plan(settings), budget=10, say=lambda _: None).run()
    copy = settings.model_copy(update={"store": tmp_path / "store"})
    shutil.copytree(settings.store, copy.store)
    for kind in ("inner", "difference"):
        for folder in sorted((copy.store / "artifacts" / kind).iterdir())[::2]:
            shutil.rmtree(folder)
    assert plan_selection(make_plan(copy), budget=10, say=lambda _: None).run() == whole


def test_a_budget_ends_the_search_with_what_it_has(settings: Settings) -> None:
    selection = plan_selection(make_plan(settings), budget=10, say=lambda _: None)
    selection.deadline = time.monotonic() - 1
    found = selection.run()
    assert found.is_cut_short
    assert [s.what for s in found.steps] == [("rates",)]


def test_the_cost_is_said_and_a_dry_run_does_nothing(settings: Settings, tmp_path: Path) -> None:
    fresh = tmp_path / "store"
    ran("--set", f"store={fresh}", "select", "--dry-run", "--out", str(tmp_path / "new.toml"))
    assert not (fresh / "artifacts" / "inner").exists()
    assert not (tmp_path / "new.toml").exists()
    with pytest.raises(ConfigError, match="was not written by"):
        CliRunner().invoke(app, ["select", "--out", "config.toml"], catch_exceptions=False)
    with pytest.raises(ConfigError, match="is a folder"):
        CliRunner().invoke(app, ["select", "--out", str(tmp_path)], catch_exceptions=False)


def test_patterns_select_exactly_what_was_chosen(settings: Settings) -> None:
    catalogue, every = make_plan(settings).catalogue, FeatureSettings()
    selectable = catalogue.select(every)
    rates = [c for c in selectable if c.startswith("relevance_rate__")]
    chosen = [*rates, "user_gender", "n_exposures__user_id"]
    found = patterns_of(catalogue, every, chosen)
    assert set(catalogue.select(found)) == set(chosen)
    assert "relevance_rate__*" in found.include
    without = every.model_copy(update={"exclude": ("*__user_id",)})
    assert set(catalogue.select(patterns_of(catalogue, without, catalogue.select(without)))) == set(
        catalogue.select(without)
    )


def test_settings_written_as_toml_are_read_as_the_same(tmp_path: Path) -> None:
    values = {
        "competition": 'with "quotes" and \\ and ü',
        "seed": 3,
        "features": {"include": ["a__*", "b"] * 40, "exclude": [], "transductive": False},
        "models": {
            "my.trees (2)": {"kind": "catboost", "learning_rate": 0.1, "a b": {"c.d": 1}},
            "popularity": {},
        },
        "blenders": {"level_two": {"include": ["n_*"]}},
    }
    assert tomllib.loads(toml_text(values)) == values
    settings = Settings.model_validate(values)
    write_config(tmp_path / "c.toml", settings, settings.features, ["a remark"])
    assert load_settings(tmp_path / "c.toml") == settings
