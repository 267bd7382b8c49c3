"""Gains and ablations on a small log in which only the item decides the rating."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from engine import ConfigError, Settings, load_settings
from models import PairFrame, StoredColumns
from stacking import make_plan, plan_ablation, plan_gain, run_base
from stacking._worth import Left, Shuffling, named_columns, shuffled_frame, units_of
from validation import Window

SIGNAL = "relevance_rate__item_id"
NOISE = ("user_gender", "n_exposures__user_id")
CONFIG = f"""
backend = "inline"
store = "store"
[features]
include = {json.dumps([SIGNAL, *NOISE])}
[folds]
n_folds = 2
n_train_windows = 1
[models.popularity]
kind = "column"
column = "relevance_rate__item_id"
[models.trees]
kind = "catboost"
iterations = 20
depth = 3
feature_share = 1.0
"""


@pytest.fixture(scope="module")
def settings(item_decides: None) -> Settings:
    Path("config.toml").write_text(CONFIG)
    return load_settings()


def artifacts(settings: Settings) -> set[Path]:
    return set((settings.store / "artifacts").glob("*/*"))


def by_unit(found: list[Left]) -> dict[str, Left]:
    return {left.unit: left for left in found}


def test_a_planted_strong_feature_gains_and_noise_does_not(settings: Settings) -> None:
    plan = make_plan(settings)
    strong = plan_gain(plan, SIGNAL, n_seeds=2).run()
    weak = plan_gain(plan, "user_gender", n_seeds=2).run()
    assert strong.change.low > 0.05
    assert strong.second - strong.first == pytest.approx(sum(strong.by_window.values()) / 2)
    assert weak.change.low <= 0 <= weak.change.high


def test_a_feature_that_the_config_leaves_out_is_added(settings: Settings) -> None:
    without = settings.model_copy(
        update={"features": settings.features.model_copy(update={"include": NOISE})}
    )
    asked = plan_gain(make_plan(without), SIGNAL)
    assert not asked.is_in_model
    assert [set(f.columns) for f in asked.without] == [set(NOISE)] * 2
    assert [set(f.columns) for f in asked.with_it] == [{*NOISE, SIGNAL}] * 2
    assert asked.run().change.low > 0.05


def test_both_ways_find_the_family_that_matters(settings: Settings) -> None:
    plan = make_plan(settings)
    ablation = plan_ablation(plan, refits=True, n_repeats=3)
    base = run_base(plan, ablation.model)
    found = ablation.run(base)
    assert found[0].unit == "rates"
    left = by_unit(found)
    for family, columns in ablation.units.items():
        assert left[family].columns == columns
        for measured in (left[family].shuffled, left[family].refitted):
            assert measured is not None
            assert (measured.change.high < -0.05) == (family == "rates")
            if family != "rates":
                assert measured.change.low <= 0 <= measured.change.high
    before = artifacts(settings)
    assert ablation.run(base) == found
    assert artifacts(settings) == before
    assert all(cost.n_made == cost.n_all for cost in ablation.costs())


def test_what_was_interrupted_goes_on_and_gives_the_same(settings: Settings, tmp_path: Path) -> None:
    """Half of the results are removed, as if a run had been killed before it made them."""
    copy = settings.model_copy(update={"store": tmp_path})
    plan = make_plan(copy)
    ablation = plan_ablation(plan, n_repeats=2, by="column")
    base = run_base(plan, ablation.model)
    found = ablation.run(base)
    for kind in ("permuted", "difference"):
        for folder in sorted((tmp_path / "artifacts" / kind).iterdir())[::2]:
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
    assert any(cost.n_made < cost.n_all for cost in ablation.costs())
    assert ablation.run(base) == found


def test_names_mean_columns_features_families_and_patterns(settings: Settings) -> None:
    catalogue = make_plan(settings).catalogue
    assert named_columns(catalogue, SIGNAL) == (SIGNAL,)
    rates = units_of(catalogue, catalogue.columns, "feature")["relevance_rate"]
    assert named_columns(catalogue, "relevance_rate") == rates
    assert set(named_columns(catalogue, "rates")) >= set(rates)
    assert set(named_columns(catalogue, "relevance_rate__*")) == set(rates)
    with pytest.raises(ConfigError, match="Did you mean 'rates'"):
        named_columns(catalogue, "ratez")
    with pytest.raises(ConfigError, match="has arrays"):
        named_columns(catalogue, "last_items__user_id")
    with pytest.raises(ConfigError, match="has arrays"):
        named_columns(catalogue, "sequences")
    with pytest.raises(ConfigError, match="a step on the way"):
        named_columns(catalogue, "n_rows__everything")
    with pytest.raises(ConfigError, match="needs the column 'duration'"):
        named_columns(catalogue, "clips_watched__user_id_x_source_id")


def test_what_was_never_made_has_no_known_time_and_a_dry_run_makes_nothing(
    settings: Settings, ran: Callable[..., str], tmp_path: Path
) -> None:
    plan = make_plan(settings.model_copy(update={"store": tmp_path / "store"}))
    for costs in (plan_ablation(plan, refits=True).costs(), plan_gain(plan, SIGNAL).costs()):
        assert all(cost.n_made == 0 and cost.seconds is None for cost in costs)
        assert all("their time is not known" in str(cost) for cost in costs)
    ran("--set", f"store={tmp_path / 'new'}", "ablate", "--dry-run")
    assert not any((tmp_path / "new" / "artifacts" / kind).exists() for kind in ("fit", "feature"))


def test_questions_without_an_answer_are_refused(settings: Settings) -> None:
    plan = make_plan(settings)
    with pytest.raises(ConfigError, match="reads only columns that it names"):
        plan_ablation(plan, model="popularity")
    with pytest.raises(ConfigError, match="every column that 'trees' reads"):
        plan_gain(plan, "*")
    with pytest.raises(ConfigError, match="reads no column that 'genres' means"):
        plan_ablation(plan, only="genres")


def frame_of(columns: dict[str, list[float]]) -> PairFrame:
    n = len(next(iter(columns.values())))
    table = pl.DataFrame({"pair_id": range(n), "window": [1] * n, "user_id": [0] * n, "item_id": range(n)})
    stored = StoredColumns(
        dict.fromkeys(columns, pl.Float64()),
        lambda name: pl.Series(name, columns[name]),
        pl.Series(range(n), dtype=pl.UInt32),
    )
    return PairFrame(table, tuple(columns), "user_id", "item_id", None, stored)


def test_columns_of_a_set_move_together_and_the_others_stay() -> None:
    n = 20
    frame = frame_of({"a": [float(i) for i in range(n)], "b": [10.0 * i for i in range(n)], "c": [7.0] * n})
    order = Shuffling(1, seed=3).order(Window(1, 1, 2), 0, n)
    shuffled = shuffled_frame(frame, ["a", "c"], order)
    together = shuffled_frame(frame, ["a", "b"], order)
    assert shuffled.column("a").to_list() != frame.column("a").to_list()
    assert sorted(shuffled.column("a")) == sorted(frame.column("a"))
    assert shuffled.column("b").equals(frame.column("b"))
    assert shuffled.column("c").equals(frame.column("c"))  # a constant is the same in any order
    assert (together.column("a") * 10).to_list() == together.column("b").to_list()


def test_shuffles_differ_by_repeat_window_and_seed() -> None:
    first = Shuffling(2, seed=3).order(Window(1, 1, 2), 0, 50)
    assert first.equals(Shuffling(5, seed=3).order(Window(1, 1, 2), 0, 50))
    for other in (
        Shuffling(2, seed=3).order(Window(1, 1, 2), 1, 50),
        Shuffling(2, seed=3).order(Window(2, 2, 3), 0, 50),
        Shuffling(2, seed=4).order(Window(1, 1, 2), 0, 50),
    ):
        assert not first.equals(other)


def test_the_commands_say_the_cost_first_and_then_the_result(
    settings: Settings, ran: Callable[..., str]
) -> None:
    assert ran("ablate", "--dry-run", "--repeats", "4") == ""
    facts = json.loads(ran("ablate", "--json", "--repeats", "3"))
    assert facts["units"][0]["unit"] == "rates"
    assert facts["units"][0]["shuffled"]["verdict"] == "earns"
    assert "rates" in ran("ablate", "--repeats", "3")
    assert ran("ablate", "--markdown", "--repeats", "3").startswith("| family | columns | shuffled | 95 % |")
    gained = json.loads(ran("gain", SIGNAL, "--seeds", "2", "--json"))
    assert gained["with"] - gained["without"] == pytest.approx(gained["mean"], abs=0.05)
    assert "Surely for the better" in " ".join(ran("gain", SIGNAL, "--seeds", "2").split())
