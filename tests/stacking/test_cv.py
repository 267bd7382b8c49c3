from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from competitions import Dataset, Metric, opened, pointer_to
from engine import Settings, Store
from features._audit import stored_audit
from features._cards import make_cards
from stacking import final_scores, make_plan, read_final_weights, run_cv
from stacking._oof import in_words
from tests.stacking.small_stack import FEATURES, POPULARITY, TREES, settings_in
from validation import CvBundle, evaluate

First = tuple[Settings, CvBundle]
by_place = pl.col("feature").replace_strict({name: at for at, name in enumerate(FEATURES)})


@pytest.fixture(scope="module")
def first(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Iterator[First]:
    """Settings whose store holds everything, and the bundle."""
    settings = settings_in(tmp_path_factory.mktemp("store"))
    with opened(dataset):
        plan = make_plan(settings)
        bundle = run_cv(plan)
        final_scores(plan, bundle)
        yield settings, bundle


def cross_validated(settings: Settings, **changes: object) -> CvBundle:
    return run_cv(make_plan(settings.model_copy(update=changes)))


def made(settings: Settings, *kinds: str) -> set[str]:
    """Keys of the artifacts in the store."""
    artifacts = settings.store / "artifacts"
    return {f.name for kind in kinds or ("*",) for f in artifacts.glob(f"{kind}/*")}


def test_the_bundle_holds_every_pair_of_every_fold_with_every_score(first: First, dataset: Dataset) -> None:
    _, bundle = first
    oof = bundle.oof
    assert bundle.models == ("popularity", "trees")
    assert bundle.blends == ("mean_rank", "catboost_oof", "level_two", "weights")
    assert oof.columns[:6] == ["fold", "window", "pair_id", "user_id", "item_id", "relevance"]
    assert oof.columns[6:] == [*bundle.models, *bundle.blends]
    assert oof.null_count().sum_horizontal().item() == 0
    assert oof["fold"].unique(maintain_order=True).to_list() == ["fold1", "fold2", "fold3"]
    expected = dataset.log.filter(pl.col("clock") >= dataset.test_start - 3).collect(engine="in-memory")
    keys = ["pair_id", "user_id", "item_id", "relevance"]
    assert (
        oof.select(keys)
        .sort("pair_id")
        .equals(expected.select(keys[1:], pair_id="row").select(keys).sort("pair_id"))
    )
    # Joined on pair_id, never by position: the popularity score is a function of (window, item).
    assert oof.group_by("window", "item_id").agg(pl.col("popularity").n_unique())["popularity"].max() == 1


def test_the_best_column_stands_beside_the_models_that_read_it(first: First) -> None:
    """A model that is the column itself differs by nothing; one that does not get it is not compared."""
    bundle = first[1]
    best = bundle.about["best_column"]
    scores = bundle.features.drop_nulls("score")
    assert best["column"] == scores.sort(["score", "feature"], descending=[True, False])["feature"][0]
    found = scores.filter(feature=best["column"])["score"][0]
    assert best["cv"]["mean"] == pytest.approx(found, abs=0.02)  # of all windows together
    assert set(best["differences"]) <= set(bundle.models)
    assert "trees" in best["differences"]
    difference = best["differences"]["trees"]
    gap = bundle.about["cv"]["trees"]["mean"] - best["cv"]["mean"]
    assert difference["mean"] == pytest.approx(gap, abs=0.02)
    assert difference["low"] <= difference["mean"] <= difference["high"]


def test_the_scores_in_about_are_the_metric_of_the_columns(first: First) -> None:
    bundle = first[1]
    metric = Metric(bundle.about["metric"]["name"], bundle.about["metric"]["policy"])
    for name in (*bundle.models, *bundle.blends):
        values = [
            evaluate(metric, part, group=["window", "user_id"], score=name)
            for part in bundle.oof.partition_by("fold", maintain_order=True)
        ]
        assert list(bundle.about["cv"][name].values()) == pytest.approx([*values, sum(values) / 3])


def test_facts_of_features_and_fits(first: First) -> None:
    bundle = first[1]
    assert sorted(bundle.features["feature"]) == sorted(FEATURES)
    facts = {row["feature"]: row for row in bundle.features.iter_rows(named=True)}
    assert facts["user_gender"]["score"] is None
    assert 0 < facts["relevance_rate__item_id"]["score"] < 1
    assert facts["n_likes__user_id"]["null_eval"] == 0
    assert facts["n_likes__user_id"]["meaning"]
    assert bundle.features.select(pl.col("psi", "seconds").is_not_null().all()).row(0) == (True, True)
    assert bundle.fits.filter(pl.col("notes").str.contains("n_holdout_rows")).height == 3
    assert bundle.fits.select("model", "fold").rows() == [
        (model, fold) for fold in ("fold1", "fold2", "fold3") for model in bundle.models
    ]
    shares = bundle.importance.group_by("model", "fold").agg(pl.col("importance").sum())
    assert shares["importance"].to_list() == pytest.approx([1.0] * len(shares))


def test_drift_of_a_column_is_the_same_in_audit_card_and_cross_validation(first: First) -> None:
    settings, bundle = first
    plan = make_plan(settings)
    audit = stored_audit(plan.catalogue, plan.folds, FEATURES, settings)
    assert audit.about["values from"] == "the stored columns of all rows"
    of_audit = {row["feature"]: row for row in audit.columns.iter_rows(named=True)}
    cards = make_cards(plan.catalogue, plan.folds, FEATURES, plan.store, settings)
    warned = {(f.column, f.check) for f in audit.findings}
    for card, row in zip(cards, bundle.features.sort(by_place).iter_rows(named=True), strict=True):
        name, drift = row["feature"], card.drift
        assert card.column.name == name
        shown = (drift.psi, drift.null_train, drift.null_test, bool(drift.moves), bool(drift.nulls))
        for one in (row, of_audit[name]):
            assert (
                tuple(one[n] for n in ("psi", "null_train", "null_test", "drifts", "nulls_change")) == shown
            )
        assert ((name, "drifts from train to test") in warned) == row["drifts"]
    assert {card.drift.moves != "" for card in cards} == {False, True}


@pytest.mark.parametrize("changes", [{}, {"reports": Path("elsewhere"), "memory_gib": 3.0}])
def test_a_second_run_makes_nothing_and_gives_the_same(first: First, changes: dict[str, object]) -> None:
    settings, bundle = first
    before = made(settings)
    again = cross_validated(settings, **changes)
    assert made(settings) == before
    assert again.oof.equals(bundle.oof)
    assert again.about == bundle.about
    pointer = pointer_to("cv", settings.competition, settings.data)
    assert Store(settings.store).pointed(pointer) is not None


def test_a_changed_parameter_refits_that_model_only(first: First) -> None:
    settings, bundle = first
    before = made(settings, "fit"), made(settings, "cards", "feature", "pairs")
    changed = cross_validated(settings, models={**POPULARITY, "trees": {**TREES["trees"], "depth": 2}})
    assert len(made(settings, "fit") - before[0]) == 3
    assert made(settings, "cards", "feature", "pairs") == before[1]
    assert changed.oof["popularity"].equals(bundle.oof["popularity"])
    assert not changed.oof["trees"].equals(bundle.oof["trees"])


def test_one_fold_more_keeps_the_others_fits(first: First) -> None:
    settings, _ = first
    before = made(settings, "fit")
    cross_validated(settings, folds=settings.folds.model_copy(update={"n_folds": 4}))
    assert len(made(settings, "fit") - before) == len(settings.models)


def test_a_blender_is_made_of_the_features_that_it_reads(first: First) -> None:
    settings, _ = first
    wide, narrow = (
        {"level_two": {"iterations": 6, "include": ["n_likes__*", *more]}} for more in (["user_gender"], [])
    )
    bundle = cross_validated(settings, models=POPULARITY, blenders=wide)
    assert set(bundle.features["feature"]) == {"relevance_rate__item_id", "n_likes__user_id", "user_gender"}
    assert bundle.oof["level_two"].n_unique() > 3
    before = made(settings, "blend")
    cross_validated(settings, models=POPULARITY, blenders=narrow)
    assert len(made(settings, "blend") - before) == 3  # its three left-out folds, and no other blend's


def test_worker_processes_and_a_fresh_store_give_the_same(first: First, tmp_path: Path) -> None:
    settings, bundle = first
    plan = make_plan(settings.model_copy(update={"backend": "processes", "store": tmp_path}))
    again = run_cv(plan)
    assert again.oof.equals(bundle.oof)
    assert final_scores(plan, again).equals(final_scores(make_plan(settings), bundle))


def test_test_pairs_are_scored_by_every_model_and_blend(first: First, dataset: Dataset) -> None:
    settings, bundle = first
    before = made(settings)
    plan = make_plan(settings)
    table = final_scores(plan, bundle)
    assert made(settings) == before
    pairs = dataset.test_pairs.collect(engine="in-memory")
    assert table["pair_id"].to_list() == sorted(pairs["pair_id"])
    assert table.columns == ["pair_id", "user_id", "item_id", *bundle.models, *bundle.blends, "score"]
    assert table.null_count().sum_horizontal().item() == 0
    assert table["score"].equals(table[bundle.chosen].alias("score"))
    weights = read_final_weights(plan, bundle)
    assert weights["mean_rank"] == {"popularity": 0.5, "trees": 0.5}


def test_the_final_fit_reuses_the_iterations_that_the_folds_found(first: First) -> None:
    settings, bundle = first
    counts = bundle.fits.with_columns(iterations=pl.when(pl.col("model") == "trees").then(7))
    before = made(settings, "fit")
    final_scores(make_plan(settings), replace(bundle, fits=counts))
    assert len(made(settings, "fit") - before) == 1


def test_with_two_folds_learned_blends_are_not_scored(first: First) -> None:
    settings = first[0].model_copy(update={"folds": first[0].folds.model_copy(update={"n_folds": 2})})
    bundle = cross_validated(settings)
    assert bundle.blends == ("mean_rank",)
    assert bundle.chosen in ("popularity", "trees", "mean_rank")
    assert {bundle.about["best"], *bundle.about["differences_to_best"]} == {
        "popularity",
        "trees",
        "mean_rank",
    }
    assert bundle.about["not_scored"] == ["catboost_oof", "level_two", "weights"]
    assert "3 eval windows" in bundle.about["chosen_because"]


def test_settings_force_a_blend_or_a_model(first: First) -> None:
    settings, _ = first
    plan = make_plan(settings.model_copy(update={"blender": "trees"}))
    forced = run_cv(plan)
    assert forced.chosen == "trees"
    table = final_scores(plan, forced)
    assert table["score"].equals(table["trees"].alias("score"))


def test_what_was_pruned_or_damaged_is_made_again(first: First, tmp_path: Path) -> None:
    settings, bundle = first
    copy = settings.model_copy(update={"store": tmp_path / "store"})
    shutil.copytree(settings.store, copy.store)
    artifacts = copy.store / "artifacts"
    for kind in ("cv", "fit", "cards"):
        shutil.rmtree(artifacts / kind)
    next(artifacts.glob("scores/*/scores.parquet")).write_bytes(b"damaged")
    assert cross_validated(copy).oof.equals(bundle.oof)
    shutil.rmtree(artifacts / "cv")
    shutil.rmtree(artifacts / "oof")
    assert cross_validated(copy).oof.equals(bundle.oof)


def test_two_competitions_in_one_store_do_not_mix(first: First, dataset: Dataset, tmp_path: Path) -> None:
    """Neither run makes the other's artifacts unneeded, nor is one explained by the other."""
    settings = first[0].model_copy(update={"store": tmp_path, "models": POPULARITY})
    other = replace(dataset, competition=replace(dataset.competition, name="other"), fingerprint="other")
    plans = [make_plan(settings)]
    with opened(other):
        plans.append(make_plan(settings))
    for plan in plans:
        final_scores(plan, run_cv(plan))
    labels = [json.loads(f.read_text())["label"] for f in tmp_path.glob("artifacts/*/*/artifact.json")]
    competitions = [label["name"].partition(": ")[0] for label in labels]
    assert set(competitions) == {"movielens", "other"}
    assert competitions.count("movielens") == competitions.count("other")
    assert Store(tmp_path).prune(is_unneeded_only=True) == ()


def test_notes_of_a_fit_are_told_whatever_they_are() -> None:
    """A model of one's own may note what is no number: nothing is lost by it after all fits."""
    assert in_words({}) == ""
    told = in_words({"hits@1": 0.25124, "rows": 1200, "a": float("nan"), "why": "so", "none": None})
    assert told == "a nan, hits@1 0.2512, none None, rows 1200, why so"
