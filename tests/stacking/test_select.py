"""Selection on a small log in which the item decides the rating, and a planted family knows nothing."""

from __future__ import annotations

import json
import shutil
import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from engine import ConfigError, FeatureSettings, Settings, load_settings
from stacking import make_plan
from stacking._worth import (
    Measured,
    Selection,
    inner_folds,
    patterns_of,
    plan_selection,
    toml_text,
    write_config,
)
from validation import Difference

SIGNAL = ("relevance_rate__item_id", "relevance_rate__user_id")
NOISE = ("user_gender", "user_occupation", "n_exposures__user_id")


@pytest.fixture(scope="module")
def settings(item_decides: Callable[..., Settings]) -> Settings:
    return item_decides([*SIGNAL, *NOISE], n_train_windows=3)


def selection_of(settings: Settings) -> Selection:
    return plan_selection(make_plan(settings), budget=10, say=lambda _: None)


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
    asked = selection_of(settings)
    families = {"noisy": asked.columns[:1], "sure": asked.columns[1:2], "useless": asked.columns[2:3]}
    first = {"noisy": (0.5, -0.1), "sure": (0.3, 0.1)}

    def changes(chosen: Sequence[str], _: object, names: Sequence[str]) -> dict[str, Measured]:
        found = {} if chosen else first
        return {n: Measured(Difference(*found.get(n, (-0.1, -0.2)), 1.0, 99), 0, 0, {}) for n in names}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asked, "changes", changes)
        assert asked.forward(families) == families["sure"]


def test_a_single_train_window_is_cut_by_users(settings: Settings) -> None:
    one = settings.folds.model_copy(update={"n_train_windows": 1})
    plan = make_plan(settings.model_copy(update={"folds": one}))
    (fold,) = inner_folds(plan)
    assert fold.by_users
    assert fold.train == (fold.eval,) == plan.folds.folds[0].train
    found = selection_of(settings.model_copy(update={"folds": one})).run()
    assert SIGNAL[0] in found.columns


def test_the_signal_stays_and_the_noise_goes_and_nothing_else_is_touched(
    settings: Settings, ran: Callable[..., str]
) -> None:
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
    whole = selection_of(settings).run()
    copy = settings.model_copy(update={"store": tmp_path / "store"})
    shutil.copytree(settings.store, copy.store)
    for kind in ("inner", "difference"):
        for folder in sorted((copy.store / "artifacts" / kind).iterdir())[::2]:
            shutil.rmtree(folder)
    assert selection_of(copy).run() == whole


def test_a_budget_ends_the_search_with_what_it_has(settings: Settings) -> None:
    selection = selection_of(settings)
    selection.deadline = time.monotonic() - 1
    found = selection.run()
    assert found.is_cut_short
    assert [s.what for s in found.steps] == [("rates",)]


def test_the_cost_is_said_and_a_dry_run_does_nothing(
    settings: Settings, ran: Callable[..., str], tmp_path: Path
) -> None:
    fresh = tmp_path / "store"
    ran("--set", f"store={fresh}", "select", "--dry-run", "--out", str(tmp_path / "new.toml"))
    assert not (fresh / "artifacts" / "inner").exists()
    assert not (tmp_path / "new.toml").exists()
    with pytest.raises(ConfigError, match="was not written by"):
        ran("select", "--out", "config.toml")
    with pytest.raises(ConfigError, match="is a folder"):
        ran("select", "--out", tmp_path)


def test_patterns_select_exactly_what_was_chosen(settings: Settings) -> None:
    catalogue, every = make_plan(settings).catalogue, FeatureSettings()
    selectable = catalogue.select(every)
    rates = [c for c in selectable if c.startswith("relevance_rate__")]
    chosen = [*rates, "user_gender", "n_exposures__user_id"]
    found = patterns_of(catalogue, every, chosen)
    assert set(catalogue.select(found)) == set(chosen)
    assert "relevance_rate__*" in found.include
    without = every.model_copy(update={"exclude": ("*__user_id",)})
    rest = catalogue.select(without)
    assert set(catalogue.select(patterns_of(catalogue, without, rest))) == set(rest)


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
