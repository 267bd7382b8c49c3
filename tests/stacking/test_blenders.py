"""What every registered blender keeps, a user's own included. A new kind is tested without an edit here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from engine import ConfigError
from models import fitted_class
from stacking import FittedBlend, ScoreFrame, blender, blenders, leave_one_fold_out
from tests.stacking.small_stack import CONTEXT, auc, planted, two_kinds_of_users

VARIANTS = {"of_scores": {"kind": "weights", "of": "scores"}}
BLENDERS = blenders(VARIANTS)


@pytest.fixture(scope="module", params=list(BLENDERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def oof() -> ScoreFrame:
    return two_kinds_of_users()


@pytest.fixture(scope="module")
def fitted(name: str, oof: ScoreFrame) -> FittedBlend:
    return BLENDERS[name].fit(oof, CONTEXT)


def check_saved(name: str, fitted: FittedBlend, oof: ScoreFrame, folder: Path) -> None:
    """Finite scores and shares of all models, which saving and loading leave as they are."""
    fitted.save(folder)
    loaded = fitted_class(BLENDERS[name]).load(folder)
    scores = fitted.predict(oof.without_labels())
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(loaded.predict(oof.without_labels()), scores)
    assert dict(loaded.weights) == dict(fitted.weights)
    assert list(fitted.weights) == list(oof.models)
    assert sum(fitted.weights.values()) == pytest.approx(1.0)
    assert min(fitted.weights.values()) >= 0


def test_survives_save_and_load(name: str, fitted: FittedBlend, oof: ScoreFrame, tmp_path: Path) -> None:
    check_saved(name, fitted, oof, tmp_path)


def test_the_same_seed_gives_the_same_blend(name: str, fitted: FittedBlend, oof: ScoreFrame) -> None:
    again = BLENDERS[name].fit(oof, CONTEXT)
    np.testing.assert_array_equal(again.predict(oof), fitted.predict(oof))


def test_a_pairs_score_depends_on_its_own_group_only(fitted: FittedBlend, oof: ScoreFrame) -> None:
    is_group = (pl.col("user_id") == 3) & (pl.col("window") == 1)
    bulk = fitted.predict(oof.without_labels())[oof.table.select(is_group.arg_true()).to_series()]
    assert fitted.predict(oof.take(is_group).without_labels()).tolist() == bulk.tolist()


SCANT: Mapping[str, Callable[[ScoreFrame], ScoreFrame]] = {
    "one class": lambda oof: replace(oof, table=oof.table.with_columns(pl.col("relevance") * 0)),
    "equal scores": lambda oof: replace(oof, table=oof.table.with_columns(pl.col(oof.models) * 0 + 0.1)),
    "groups of one pair": lambda oof: oof.take(pl.col("pair_id") % 8 == 0),
}


@pytest.mark.parametrize("scant", SCANT)
def test_where_nothing_can_be_learnt_all_models_weigh_the_same(
    name: str, oof: ScoreFrame, scant: str, tmp_path: Path
) -> None:
    little = SCANT[scant](oof)
    fitted = BLENDERS[name].fit(little, CONTEXT)
    check_saved(name, fitted, little, tmp_path)
    assert fitted.weights == {"a": 0.5, "b": 0.5}


@pytest.mark.parametrize("learner", [name for name in BLENDERS if name != "mean_rank"])
def test_learns_which_model_to_trust(learner: str) -> None:
    oof = planted(good=0.05, bad=50.0)
    scores = leave_one_fold_out(BLENDERS[learner], oof, 2, CONTEXT)
    left_out = oof.take(pl.col("window") == 2)
    assert auc(left_out, scores) > auc(left_out, left_out.table["good"].to_numpy()) - 0.01
    assert BLENDERS[learner].fit(oof, CONTEXT).weights["good"] > 0.8


class Leak:
    """A blender that is perfect on what it has seen, scores others by 0.5, and tells what it has seen."""

    windows: Sequence[int] = ()

    def fit(self, oof: ScoreFrame, context: object) -> Any:
        self.windows = oof.table["window"].unique().sort().to_list()
        labels = dict(oof.table.select("pair_id", "relevance").iter_rows())

        def predict(frame: ScoreFrame) -> list[float]:
            assert "relevance" not in frame.table.columns
            return [labels.get(pair, 0.5) for pair in frame.table["pair_id"]]

        return SimpleNamespace(predict=predict)


@pytest.mark.parametrize("window", [0, 1, 2])
def test_a_blender_is_fitted_on_all_folds_but_the_left_out_one(window: int) -> None:
    leak, oof = Leak(), planted(2, 4, a=1.0)
    assert list(leave_one_fold_out(leak, oof, window, CONTEXT)) == [0.5] * 8
    assert leak.windows == [w for w in range(3) if w != window]


def test_two_blenders_of_one_name_are_refused_with_both_files() -> None:
    with pytest.raises(ConfigError, match=r"MeanRank in mean_rank\.py and Leak in test_blenders\.py"):
        blender("mean_rank")(Leak)


def test_tables_set_leave_out_and_repeat_blenders() -> None:
    narrow = {"kind": "level_two", "include": ["n_*"], "depth": 2}
    found: Mapping[str, Any] = blenders({"weights": {"enabled": False}, "narrow": narrow})
    assert list(found) == ["mean_rank", "catboost_oof", "level_two", "narrow"]
    assert found["level_two"] == blenders()["level_two"]
    assert found["narrow"] == replace(found["level_two"], include=("n_*",), depth=2)


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"wieghts": {}}, "Did you mean 'weights'"),
        ({"relevance": {"kind": "weights"}}, "'relevance' cannot be the name of a blender"),
        ({"weights": {"budgte": 3}}, "unknown parameter 'budgte'"),
        ({"level_two": {"depth": "6"}}, "depth = '6' is not valid"),
        ({"mean_rank": {"enabled": False}}, "leaves the baseline out"),
        ({"mean_rank": {"kind": "weights"}}, "leaves the baseline out"),
    ],
)
def test_bad_tables_are_refused(tables: dict[str, dict[str, Any]], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        blenders(tables)


def test_looking_at_blenders_imports_no_library_that_fits_them() -> None:
    script = "import sys; from stacking import blenders; blenders(); print({'catboost', 'torch'} & sys.modules.keys())"
    command, root = [sys.executable, "-c", script], Path(__file__).resolve().parents[2]
    assert subprocess.check_output(command, cwd=root, text=True) == "set()\n"
