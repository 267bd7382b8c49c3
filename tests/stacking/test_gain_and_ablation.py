"""Gains and ablations on a small log in which only the item decides the rating."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from engine import ConfigError, Recipe, Settings
from models import PairFrame, StoredColumns
from stacking import make_plan
from stacking._worth import (
    Shuffling,
    cost_of,
    named_columns,
    plan_ablation,
    plan_gain,
    run_base,
    shuffled_frame,
    units_of,
)
from validation import Window

SIGNAL = "relevance_rate__item_id"
NOISE = ("user_gender", "n_exposures__user_id")


@pytest.fixture(scope="module")
def settings(item_decides: Callable[..., Settings]) -> Settings:
    return item_decides([SIGNAL, *NOISE], n_train_windows=1)


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
    assert {left.unit: left.columns for left in found} == ablation.units
    for left in found:
        for measured in (left.shuffled, left.refitted):
            assert measured is not None
            low, high = measured.change.low, measured.change.high
            assert high < -0.05 if left.unit == "rates" else low <= 0 <= high
    before = set(settings.store.glob("artifacts/*/*"))
    assert ablation.run(base) == found
    assert set(settings.store.glob("artifacts/*/*")) == before
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
            shutil.rmtree(folder)
    assert any(cost.n_made < cost.n_all for cost in ablation.costs())
    assert ablation.run(base) == found


def test_names_mean_columns_features_families_and_patterns(settings: Settings) -> None:
    catalogue = make_plan(settings).catalogue
    assert named_columns(catalogue, SIGNAL) == (SIGNAL,)
    rates = units_of(catalogue, catalogue.columns, "feature")["relevance_rate"]
    assert named_columns(catalogue, "relevance_rate") == rates
    assert set(named_columns(catalogue, "rates")) >= set(rates)
    assert set(named_columns(catalogue, "relevance_rate__*")) == set(rates)
    for name, words in (
        ("ratez", "Did you mean 'rates'"),
        ("last_items__user_id", "has arrays"),
        ("sequences", "has arrays"),
        ("n_rows__everything", "a step on the way"),
        ("clips_watched__user_id_x_source_id", "needs the column 'duration'"),
    ):
        with pytest.raises(ConfigError, match=words):
            named_columns(catalogue, name)


def test_what_was_never_made_has_no_known_time_and_a_dry_run_makes_nothing(
    settings: Settings, ran: Callable[..., str], tmp_path: Path
) -> None:
    plan = make_plan(settings.model_copy(update={"store": tmp_path / "store"}))
    for costs in (plan_ablation(plan, refits=True).costs(), plan_gain(plan, SIGNAL).costs()):
        assert all(cost.n_made == 0 and cost.seconds is None for cost in costs)
        assert all("their time is not known" in str(cost) for cost in costs)
    ran("--set", f"store={tmp_path / 'new'}", "ablate", "--dry-run")
    assert not any((tmp_path / "new" / "artifacts" / kind).exists() for kind in ("fit", "feature"))


@pytest.mark.parametrize("threads", [1, 3])
def test_the_cost_is_no_less_than_any_order_of_the_steps_takes(
    threads: int, settings: Settings, tmp_path: Path
) -> None:
    """Against a brute force that hands step by step to whoever is free, in many orders; and it is not far above."""
    plan = make_plan(settings.model_copy(update={"store": tmp_path, "threads": threads}))
    rng = np.random.default_rng(4)
    for n in (1, 2, 5, 9):
        seconds = rng.gamma(1, 10, n)
        steps = [(Recipe("fit", f"{n} {k}", {}), float(s)) for k, s in enumerate(seconds)]
        cost = cost_of(plan, "fits", steps, steps, after=7)
        assert (cost.n_made, cost.n_all) == (0, 2 * n)
        assert cost.seconds is not None
        for _ in range(50):
            free = [0.0] * threads
            for taken in rng.permutation(seconds):
                free[free.index(min(free))] += taken
            assert cost.seconds >= 2 * max(free) + 7
        assert cost.seconds <= 1.2 * 2 * (seconds.sum() / threads + seconds.max()) + 7 + 10
        unknown = cost_of(plan, "fits", steps, [*steps, (Recipe("fit", "new", {}), None)])
        assert unknown.seconds is None
        assert "their time is not known" in str(unknown)


def test_the_cost_of_refits_is_made_of_the_base_fits(settings: Settings) -> None:
    """Two seeds are two rounds; a fit that is in the store costs nothing; fits on fewer columns cost less."""
    plan = make_plan(settings)
    model = plan_ablation(plan).model
    base = run_base(plan, model)
    ran = [plan.store.seconds(recipe) for d in base for recipe in (d.fit.fit, d.fit.scores)]
    assert None not in ran
    one, two = (plan_gain(plan, SIGNAL, n_seeds=n).costs()[-1] for n in (1, 5))
    assert (one.n_all, two.n_all) == (2 * len(base), 10 * len(base))
    assert two.n_made < two.n_all
    assert two.seconds is not None
    assert 10 < two.seconds < 10 + 10 * 1.2 * (sum(s or 0 for s in ran) + 1.0 * len(base)) + 10
    assert all(
        cost.seconds == 0 for cost in plan_ablation(plan, refits=True).costs() if cost.n_made == cost.n_all
    )


def test_questions_without_an_answer_are_refused(settings: Settings) -> None:
    plan = make_plan(settings)
    with pytest.raises(ConfigError, match="reads only columns that it names"):
        plan_ablation(plan, model="popularity")
    with pytest.raises(ConfigError, match="every column that 'trees' reads"):
        plan_gain(plan, "*")
    with pytest.raises(ConfigError, match="reads no column that 'genres' means"):
        plan_ablation(plan, only="genres")


def test_columns_of_a_set_move_together_and_the_others_stay() -> None:
    numbers = pl.int_range(20, eager=True)
    columns = {"a": numbers, "b": 10 * numbers, "c": numbers * 0 + 7}
    stored = StoredColumns(dict.fromkeys(columns, pl.Int64()), columns.__getitem__, numbers.cast(pl.UInt32))
    frame = PairFrame(pl.DataFrame({"pair_id": numbers}), tuple(columns), "user_id", "item_id", None, stored)
    order = Shuffling(1, seed=3).order(Window(1, 1, 2), 0, len(numbers))
    shuffled, together = (shuffled_frame(frame, names, order) for names in (["a", "c"], ["a", "b"]))
    assert not shuffled.column("a").equals(frame.column("a"))
    assert sorted(shuffled.column("a")) == sorted(frame.column("a"))
    assert shuffled.column("b").equals(frame.column("b"))
    assert (together.column("a") * 10).to_list() == together.column("b").to_list()


def test_shuffles_differ_by_repeat_window_and_seed() -> None:
    window, other, sample = Window(1, 1, 2), Window(2, 2, 3), Shuffling(2, seed=3)
    first = sample.order(window, 0, 50)
    assert first.equals(Shuffling(5, seed=3).order(window, 0, 50))
    others = [
        sample.order(window, 1, 50),
        sample.order(other, 0, 50),
        Shuffling(2, seed=4).order(window, 0, 50),
    ]
    assert not any(first.equals(order) for order in others)


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


def test_cv_and_blends_show_what_was_chosen(settings: Settings, ran: Callable[..., str]) -> None:
    cv, blends = (ran("--set", "folds.n_folds=3", command) for command in ("cv", "blends"))
    for name in ("popularity", "trees", "weights", "fold3", "Chosen: ", "python -m validation report"):
        assert name in cv
    for name in ("mean_rank", "catboost_oof", "95 %"):
        assert name in blends
