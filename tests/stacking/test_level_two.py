from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from competitions import Dataset, Metric, opened
from engine import ConfigError, Settings
from models import StoredColumns
from stacking import (
    BlendContext,
    ScoreFrame,
    Scores,
    blenders,
    final_scores,
    leave_one_fold_out,
    make_plan,
    run_cv,
)
from validation import evaluate

METRIC = Metric("user_auc")
CONTEXT = BlendContext(METRIC, seed=3)
LevelTwo: Any = type(blenders()["level_two"])
SMALL = LevelTwo(iterations=60, depth=3, learning_rate=0.2, l2_leaf_reg=1.0, feature_share=1.0)


def planted(n_users: int = 80, n_windows: int = 3, n_pairs: int = 10) -> ScoreFrame:
    """Model ``a`` knows the truth of even users, ``b`` that of odd ones; the feature says which user it is."""
    rng = np.random.default_rng(0)
    n = n_users * n_windows * n_pairs
    truth = rng.normal(size=n)
    user = np.tile(np.repeat(np.arange(n_users), n_pairs), n_windows)
    noise = rng.normal(size=(2, n)) * 5
    table = pl.DataFrame(
        {
            "pair_id": np.arange(n, dtype=np.uint32),
            "window": np.repeat(np.arange(n_windows), n_users * n_pairs),
            "user_id": user,
            "relevance": (truth + rng.normal(size=n) * 0.3 > 0).astype(np.int8),
            "a": truth + np.where(user % 2 == 0, 0.1, noise[0]),
            "b": truth + np.where(user % 2 == 1, 0.1, noise[1]),
        }
    )
    odd = pl.Series("is_odd", user % 2, dtype=pl.Float32)
    # Stored in another order than the frame's rows: what lies by position would be found out.
    order = rng.permutation(n)
    back = pl.Series(np.argsort(order), dtype=pl.UInt32)
    stored = StoredColumns({"is_odd": pl.Float32()}, lambda name: odd.gather(order).alias(name), back)
    return ScoreFrame(table, ("a", "b"), "user_id", stored)


def left_out(blender: Any, oof: ScoreFrame) -> Scores:
    windows = sorted(oof.table["window"].unique())
    return np.concatenate([leave_one_fold_out(blender, oof, w, CONTEXT) for w in windows])


def auc(oof: ScoreFrame, scores: Scores) -> float:
    return evaluate(METRIC, oof.table.with_columns(score=pl.Series(scores)), group=oof.group)


def test_a_feature_that_tells_which_model_to_trust_is_used() -> None:
    oof = planted()
    without = ScoreFrame(oof.table, oof.models, oof.user)
    best_single = max(auc(oof, oof.table[m].to_numpy()) for m in oof.models)
    assert auc(oof, left_out(SMALL, oof)) > max(best_single, auc(oof, left_out(SMALL, without))) + 0.03


def test_no_row_sees_its_own_label() -> None:
    """The scores of a window are the same whatever its labels are."""
    oof = planted(20)
    flipped = oof.table.with_columns(
        relevance=pl.when(pl.col("window") == 1).then(1 - pl.col("relevance")).otherwise("relevance")
    )
    other = ScoreFrame(flipped.cast({"relevance": pl.Int8}), oof.models, oof.user, oof.stored)
    assert np.array_equal(
        leave_one_fold_out(SMALL, oof, 1, CONTEXT), leave_one_fold_out(SMALL, other, 1, CONTEXT)
    )
    assert not np.array_equal(
        leave_one_fold_out(SMALL, oof, 0, CONTEXT), leave_one_fold_out(SMALL, other, 0, CONTEXT)
    )


def test_saved_and_loaded_it_predicts_the_same(tmp_path: Path) -> None:
    oof = planted(20)
    fitted = SMALL.fit(oof, CONTEXT)
    fitted.save(tmp_path)
    again = type(fitted).load(tmp_path)
    assert np.array_equal(fitted.predict(oof.without_labels()), again.predict(oof.without_labels()))
    assert again.weights == fitted.weights
    assert sum(fitted.weights.values()) == pytest.approx(1.0)


def test_labels_of_one_class_give_a_constant() -> None:
    oof = planted(6)
    flat = ScoreFrame(oof.table.with_columns(relevance=pl.lit(1, pl.Int8)), oof.models, oof.user, oof.stored)
    fitted = SMALL.fit(flat, CONTEXT)
    assert len(set(fitted.predict(flat.without_labels()))) == 1
    assert fitted.weights == {"a": 0.5, "b": 0.5}


def test_groups_of_one_pair_teach_nothing_and_the_weights_say_so() -> None:
    oof = planted(30, n_pairs=1)
    fitted = SMALL.fit(oof, CONTEXT)
    assert np.isfinite(fitted.predict(oof.without_labels())).all()
    assert fitted.weights == {"a": 0.5, "b": 0.5}


def test_a_feature_with_the_name_of_a_score_column_is_refused() -> None:
    oof = planted(6)
    stored = StoredColumns({"oof__a__share": pl.Float32()}, lambda _: oof.table["a"], oof.table["pair_id"])
    with pytest.raises(ConfigError, match="'oof__a__share' has the name of a column"):
        SMALL.fit(ScoreFrame(oof.table, oof.models, oof.user, stored), CONTEXT)


def test_tables_set_leave_out_and_repeat_blenders() -> None:
    tables: dict[str, dict[str, Any]] = {
        "weights": {"enabled": False},
        "narrow": {"kind": "level_two", "include": ["n_*"], "depth": 2},
    }
    found = blenders(tables)
    assert list(found) == ["mean_rank", "catboost_oof", "level_two", "narrow"]
    assert found["narrow"] == LevelTwo(include=("n_*",), depth=2)
    assert found["level_two"] == LevelTwo()


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"wieghts": {}}, "Did you mean 'weights'"),
        ({"weights": {"budgte": 3}}, "unknown parameter 'budgte'"),
        ({"level_two": {"depth": "6"}}, "depth = '6' is not valid"),
        ({"mean_rank": {"enabled": False}}, "leaves the baseline out"),
        ({"mean_rank": {"kind": "weights"}}, "leaves the baseline out"),
    ],
)
def test_bad_tables_are_refused(tables: dict[str, dict[str, Any]], words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("[", r"\[")):
        blenders(tables)


FEATURES = ("relevance_rate__item_id", "n_likes__user_id", "n_exposures__item_id", "user_gender")


def test_in_a_stack_the_features_are_part_of_what_a_blend_is_made_of(
    take: Callable[..., Dataset], tmp_path: Path
) -> None:
    dataset = take(n_users=24, n_items=24, n_rows=1200, seed=1)
    trees = {"iterations": 6, "include": ["n_likes__*", "user_gender"]}
    settings = Settings.model_validate(
        {
            "store": tmp_path / "store",
            "backend": "inline",
            "models": {"popularity": {"kind": "column", "column": "relevance_rate__item_id"}},
            "features": {"include": FEATURES},
            "folds": {"n_folds": 3, "n_train_windows": 1},
            "blenders": {"level_two": trees},
        }
    )

    def made() -> set[str]:
        return {f.name for f in (settings.store / "artifacts").glob("blend/*")}

    with opened(dataset):
        plan = make_plan(settings)
        bundle = run_cv(plan)
        table = final_scores(plan, bundle)
        before = made()
        narrower = {"level_two": {**trees, "include": ["n_likes__*"]}}
        run_cv(make_plan(settings.model_copy(update={"blenders": narrower})))
        after = made()
        with pytest.raises(ConfigError, match="'n_liks__\\*' matches no feature"):
            make_plan(settings.model_copy(update={"blenders": {"level_two": {"include": ["n_liks__*"]}}}))
    assert "level_two" in bundle.blends
    assert set(bundle.features["feature"]) == {"relevance_rate__item_id", "n_likes__user_id", "user_gender"}
    assert bundle.oof["level_two"].n_unique() > 3
    assert table["level_two"].is_not_null().all()
    assert len(after - before) == 3  # its three left-out folds, and no other blend's
