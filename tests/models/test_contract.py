"""What every registered model keeps, a user's own included. A new kind is tested without an edit here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from engine import DataError
from models import (
    FitContext,
    FittedRanker,
    PairFrame,
    Ranker,
    also_needed_columns,
    also_read_columns,
    build_models,
    fitted_class,
    model_kinds,
    needed_columns,
    selected_columns,
)
from tests.models.small_log import Shelf, SmallLog, finite_scores, user_auc, with_arrays, with_columns

CONTEXT = FitContext(seed=3)
NATIVE_FILES = {".json", ".npz", ".cbm", ".safetensors", ".parquet", ".arrow"}

# Popularity sees only the few items that all like or dislike.
WORST_AUC = {"column": 0.65}
# Settings that make a kind quick enough for a log of a thousand rows.
QUICK: Mapping[str, dict[str, Any]] = {
    "column": {"column": "relevance_rate__item_id"},
    "catboost": {"iterations": 60, "learning_rate": 0.2},
    "channel_net": {"epochs": 12, "batch_rows": 64, "learning_rate": 0.01, "user_dim": 16, "source_dim": 12},
    "sequence_net": {"epochs": 12, "batch_rows": 64, "learning_rate": 0.01, "table_learning_rate": 0.05, "seeds": 1},
    "two_towers": {"epochs": 6, "batch_rows": 64, "learning_rate": 0.01, "table_learning_rate": 0.05,
                   "user_features": ["user_kind"], "item_features": ["item_kind", "is_new"]},
    "interact_rank": {"epochs": 6, "batch_rows": 64, "learning_rate": 0.01, "table_learning_rate": 0.05,
                      "user_features": ["user_kind"], "item_features": ["item_kind"], "counters": ["als*"],
                      "start": ""},
}  # fmt: skip
VARIANTS: Mapping[str, dict[str, Any]] = {
    "als": {"kind": "column", "column": "als_score__like"},
    "several": {"kind": "column", "column": ["als_score__like", "relevance_rate__item_id"]},
    "uneven": {"kind": "catboost", "even_groups": False, "start": ""},
    "yetirank": {"kind": "catboost", "loss": "YetiRank"},
    "rmse": {"kind": "catboost", "loss": "RMSE", "refit": True},
    "multiclass": {"kind": "catboost", "loss": "MultiClass"},
    "net_bce": {"kind": "channel_net", "loss": "bce", "refit": True},
    "net_mse": {"kind": "channel_net", "loss": "mse", "holdout": 0.0},
    "net_of_seeds": {"kind": "channel_net", "seeds": 2, "later_tables": "start anew"},
    "hstu": {"kind": "sequence_net", "block": "hstu", "blocks": 2, "refit": True, "transitions": ""},
    "bare_interact_rank": {"kind": "interact_rank", "keyed": False, "counters": [], "context": False,
                           "cross_layers": 0, "softmax_weight": 0.0, "loss": "pairwise", "start": ""},
    "times_and_contents": {"kind": "sequence_net", "time_bias": True, "content": True},
    "transitions": {"kind": "sequence_net", "transitions": "item_content", "seeds": 2},
    "stays": {"kind": "sequence_net", "later_tables": "stay", "length": 50},
    "by_adam": {"kind": "sequence_net", "table_rule": "adam", "start": "", "loss": "mse", "seeds": 3},
}  # fmt: skip
NETS = ("channel_net", "sequence_net", "two_towers", "interact_rank")
LEARNERS = ["catboost", *NETS, *[n for n in VARIANTS if n not in ("als", "several")]]
MODELS = {**{kind: {"kind": kind} for kind in model_kinds()}, **VARIANTS}


def ranker_of(name: str) -> Ranker:
    table = MODELS[name]
    return build_models({name: {**QUICK.get(table["kind"], {}), **table}})[name]


def read_columns(ranker: Ranker, frame: PairFrame) -> tuple[str, ...]:
    """Features that a model reads of the frame."""
    keys = [key for key in (frame.user, frame.item, frame.source) if key]
    arrays = [name for name in frame.features if frame.schema[name].is_nested()]
    also = [name for name in arrays if name.partition("__")[0] in also_read_columns(ranker)]
    also += [name for name in also_needed_columns(ranker) if name not in also]
    plain = [name for name in frame.features if name not in arrays]
    return needed_columns(ranker) or (*selected_columns(ranker, plain, keys), *also)


@pytest.fixture(scope="module")
def small_log(small_log: SmallLog) -> SmallLog:
    """The log with arrays beside its features: some models read them, and the others must not mind."""
    return with_arrays(small_log)


@pytest.fixture(scope="module", params=list(MODELS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def fitted(name: str, small_log: SmallLog) -> FittedRanker:
    return ranker_of(name).fit(small_log.train, CONTEXT)


def test_learns_the_obvious_and_predicts_an_empty_frame(
    name: str, fitted: FittedRanker, small_log: SmallLog
) -> None:
    scores = finite_scores(fitted, small_log.eval)
    assert user_auc(small_log.eval, scores) > WORST_AUC.get(name, 0.85)
    finite_scores(fitted, small_log.eval.take(pl.lit(False)))


def test_repeats_exactly_in_any_row_order_and_leaves_the_frame_alone(
    name: str, fitted: FittedRanker, small_log: SmallLog
) -> None:
    before = small_log.train.table.clone()
    shuffled = replace(small_log.train, table=before.sample(fraction=1.0, shuffle=True, seed=1))
    again = ranker_of(name).fit(shuffled, CONTEXT)
    assert_frame_equal(small_log.train.table, before)
    np.testing.assert_array_equal(again.predict(small_log.eval), fitted.predict(small_log.eval))
    assert again.report == fitted.report


def test_stored_columns_are_worth_the_same_as_columns_in_memory(
    name: str, fitted: FittedRanker, small_log: SmallLog
) -> None:
    train, test, ranker = Shelf(small_log.train), Shelf(small_log.eval), ranker_of(name)
    again = ranker.fit(train.frame(small_log.train), CONTEXT)
    scores = again.predict(test.frame(small_log.eval))
    assert again.report == fitted.report
    np.testing.assert_array_equal(scores, fitted.predict(small_log.eval))
    n_nets = getattr(ranker, "seeds", 1)
    over = getattr(ranker, "transitions", "")  # vectors whose values fits keep
    of_fits = {"taste_item_vector" if over == "auto" else over}
    read = [name for name in read_columns(ranker, small_log.eval) if name not in of_fits]
    assert test.n_reads == dict.fromkeys(read, n_nets)
    # A fit looks twice, and reads twice at most for each of the two parts that a hold-out makes and for a refit.
    assert max(train.n_reads.values(), default=0) <= n_nets * (8 if getattr(ranker, "refit", False) else 6)


def global_state() -> list[Any]:
    """What numpy and torch draw next, and torch's switches."""
    numbers = np.random.get_state()[1].tolist()  # type: ignore[index] # noqa: NPY002
    switches = [torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()]
    return [numbers, torch.get_rng_state().tolist(), *switches]


def test_leaves_no_trace_in_global_state(name: str, small_log: SmallLog, tmp_path: Path) -> None:
    before, ranker = global_state(), ranker_of(name)
    ranker.fit(small_log.train, replace(CONTEXT, iterations=1)).save(tmp_path)
    assert global_state() == before
    fitted_class(ranker).load(tmp_path)
    assert global_state() == before


def test_survives_save_and_load(name: str, fitted: FittedRanker, small_log: SmallLog, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    loaded = fitted_class(ranker_of(name)).load(tmp_path)
    np.testing.assert_array_equal(loaded.predict(small_log.eval), fitted.predict(small_log.eval))
    assert loaded.report == fitted.report
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert {path.suffix for path in files} <= NATIVE_FILES
    assert not [path for path in files if path.read_bytes()[:1] == b"\x80"], "a pickle"


def test_alone_equals_bulk_in_any_order(fitted: FittedRanker, small_log: SmallLog) -> None:
    bulk = fitted.predict(small_log.eval)
    ids = small_log.eval.table["pair_id"][:25]
    alone = [fitted.predict(small_log.eval.take(pl.col("pair_id") == i))[0] for i in ids]
    np.testing.assert_allclose(alone, bulk[:25], rtol=0, atol=1e-6)
    order = np.random.default_rng(0).permutation(len(bulk))
    shuffled = replace(small_log.eval, table=small_log.eval.table[order])
    np.testing.assert_allclose(fitted.predict(shuffled), bulk[order], rtol=0, atol=1e-6)


def test_scores_unseen_users_items_sources_and_categories(fitted: FittedRanker, small_log: SmallLog) -> None:
    wider = pl.Enum(["odd", "prime", "even"])
    table = small_log.eval.table.with_columns(
        pl.col("user_id", "item_id") + 1000,
        source=pl.lit(None, dtype=pl.UInt16),
        item_kind=pl.lit("prime", dtype=wider),
    ).drop("relevance")
    finite_scores(fitted, replace(small_log.eval, table=table))


def test_copes_with_nulls_in_every_column(name: str, small_log: SmallLog) -> None:
    train, test = with_nulls(small_log.train), with_nulls(small_log.eval)
    fitted = ranker_of(name).fit(train, CONTEXT)
    finite_scores(fitted, test)
    nothing = with_columns(test, **{c: pl.lit(None, dtype=test.schema[c]) for c in test.features})
    finite_scores(fitted, nothing)


def with_nulls(frame: PairFrame) -> PairFrame:
    """Every fifth value of each feature and of the source unknown; a NaN, an infinity, and columns of nulls only."""
    thin = [
        pl.when((pl.col("pair_id") + i) % 5 != 0).then(pl.col(name)).alias(name)
        for i, name in enumerate([*frame.features, "source"])
    ]
    table = frame.table.with_columns(thin).with_columns(
        empty=pl.lit(None, dtype=pl.Float32),
        empty_kind=pl.lit(None, dtype=pl.Enum(["a", "b"])),
        is_empty=pl.lit(None, dtype=pl.Boolean),
        wild=pl.Series([float("nan"), float("inf"), -1e38, 0.0] * frame.table.height, dtype=pl.Float32)[
            : frame.table.height
        ],
    )
    return PairFrame(
        table, (*frame.features, "empty", "empty_kind", "is_empty", "wild"), "user_id", "item_id", "source"
    )


IS_EARLY_DISLIKE = (pl.col("window") < 3) & (pl.col("relevance") < 0)
SCANT: Mapping[str, Callable[[PairFrame], PairFrame]] = {
    "no pair": lambda train: train.take(pl.lit(False)),
    "one pair": lambda train: train.take(pl.int_range(pl.len()) < 1),
    "two pairs": lambda train: train.take(pl.int_range(pl.len()) < 2),
    "likes": lambda train: with_columns(train, relevance=pl.lit(1)),
    "dislikes": lambda train: with_columns(train, relevance=pl.lit(-1)),
    "dislikes in the last window only": lambda train: with_columns(
        train, relevance=pl.when(IS_EARLY_DISLIKE).then(0).otherwise("relevance")
    ),
}


@pytest.mark.parametrize("scant", SCANT)
def test_copes_with_little_to_learn_from(name: str, small_log: SmallLog, scant: str, tmp_path: Path) -> None:
    fitted = ranker_of(name).fit(SCANT[scant](small_log.train), CONTEXT)
    scores = finite_scores(fitted, small_log.eval)
    fitted.save(tmp_path)
    loaded = fitted_class(ranker_of(name)).load(tmp_path)
    np.testing.assert_array_equal(loaded.predict(small_log.eval), scores)


def test_copes_without_source_and_without_features(name: str, small_log: SmallLog) -> None:
    needs = needed_columns(ranker_of(name))
    bare = PairFrame(small_log.train.table.drop("source"), needs, "user_id", "item_id")
    fitted = ranker_of(name).fit(bare, CONTEXT)
    finite_scores(fitted, replace(bare, table=small_log.eval.table.drop("source")))


def test_a_missing_feature_is_named(name: str, fitted: FittedRanker, small_log: SmallLog) -> None:
    read = read_columns(ranker_of(name), small_log.eval)[0]
    lacking = replace(small_log.eval, table=small_log.eval.table.drop(read))
    with pytest.raises(DataError, match=read):
        fitted.predict(lacking)


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_missing_label_is_refused(learner: str, small_log: SmallLog) -> None:
    nameless = with_columns(small_log.train, relevance=pl.when(pl.col("pair_id") > 5).then("relevance"))
    with pytest.raises(DataError, match="have no relevance"):
        ranker_of(learner).fit(nameless, CONTEXT)


def test_trains_as_long_as_the_context_says(name: str, small_log: SmallLog) -> None:
    report = ranker_of(name).fit(small_log.train, replace(CONTEXT, iterations=3)).report
    assert report.iterations in (3, None)
    assert report.stopped_by in ("iterations", "converged")


def test_reports_in_the_common_words(fitted: FittedRanker, small_log: SmallLog) -> None:
    report = fitted.report
    assert report.stopped_by in ("converged", "hold-out", "iterations", "time budget")
    assert set(report.importance) <= set(small_log.train.features)
    assert not report.importance or sum(report.importance.values()) == pytest.approx(1)


@pytest.mark.parametrize("name", [n for n in LEARNERS if n != "yetirank"], indirect=True)
def test_pairs_weigh_what_their_weights_say(name: str, fitted: FittedRanker, small_log: SmallLog) -> None:
    """Ones change nothing; twenty times as many neutral pairs, which come at random, draw the scores together.

    Not where labels are brought to one standard deviation in each group: they draw the neutral pairs to the middle. Nor
    where neutral pairs are negative ones.
    """
    is_neutral = pl.col("relevance") == 0
    ones, heavy = (
        ranker_of(name).fit(with_columns(small_log.train, weight=weight.cast(pl.Float32)), CONTEXT)
        for weight in (pl.lit(1.0), pl.when(is_neutral).then(20.0).otherwise(1.0))
    )
    plain = fitted.predict(small_log.eval)
    np.testing.assert_array_equal(ones.predict(small_log.eval), plain)
    weighty = heavy.predict(small_log.eval)
    assert not np.array_equal(weighty, plain)
    assert name in ("catboost", "interact_rank") or weighty.std() < plain.std()
