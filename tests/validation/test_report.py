"""Numbers of the report, against the same thing computed by hand, segments against counts made row by row."""

from __future__ import annotations

from bisect import bisect
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from competitions import Dataset, Metric
from engine import ConfigError, DataError
from tests.validation.conftest import CUTOFFS, Rebuilt, make_bundle
from validation import CvBundle, Report, build_report, evaluate


@pytest.fixture(scope="module")
def report(rebuilt: Rebuilt) -> Report:
    return rebuilt(300)


def row_of(report: Report, name: str) -> dict[str, Any]:
    return report.scores.row(by_predicate=pl.col("name") == name, named=True)


def binary(oof: pl.DataFrame) -> pl.DataFrame:
    """Two classes, so that scikit-learn knows the metric."""
    return oof.with_columns((pl.col("relevance") > 0).cast(pl.Int8).alias("relevance"))


def mean_auc(frame: pl.DataFrame, name: str) -> float:
    values = [
        roc_auc_score(group["relevance"], group[name])
        for _, group in frame.group_by("window", "user_id")
        if group["relevance"].n_unique() == 2
    ]
    return float(np.mean(values))


def test_scores_are_the_mean_and_spread_of_the_folds(bundle: CvBundle, rebuilt: Rebuilt) -> None:
    two_classes = binary(bundle.oof)
    report = rebuilt(oof=two_classes)
    for name in (*bundle.models, *bundle.blends):
        by_fold = [mean_auc(part, name) for _, part in sorted(two_classes.group_by("fold"))]
        found = report.fold_scores.filter(pl.col("name") == name)["value"].to_list()
        assert found == pytest.approx(by_fold)
        row = row_of(report, name)
        spread = [row[column] for column in ("mean", "std", "n_folds")]
        assert spread == pytest.approx([np.mean(by_fold), np.std(by_fold, ddof=1), 3])


def test_best_first_and_the_best_single_is_a_model(bundle: CvBundle, report: Report) -> None:
    assert report.scores["mean"].is_sorted(descending=True)
    models = report.scores.filter(pl.col("kind") == "model")
    assert report.best_single == models["name"][0]
    assert row_of(report, report.best_single)["verdict"] == "best single"
    assert row_of(report, report.best_single)["difference"] is None
    assert report.scores.filter("is_chosen")["name"].to_list() == [bundle.chosen]


def test_differences_are_signed_towards_the_named_one(bundle: CvBundle, report: Report) -> None:
    better, worse = row_of(report, bundle.blends[0]), row_of(report, bundle.models[0])
    assert better["verdict"] == "better"
    assert worse["verdict"] == "worse"
    assert 0 < better["low"] < better["difference"] < better["high"]
    assert worse["high"] < 0
    # User 5 has one class in every window and counts nowhere.
    assert better["n_users"] == bundle.oof["user_id"].n_unique() - 1


def test_a_lower_loss_is_better(bundle: CvBundle, rebuilt: Rebuilt) -> None:
    names = (*bundle.models, *bundle.blends)
    # "als" predicts the relevance itself, the others are far off.
    scores = [pl.col("relevance").cast(pl.Float64).alias(n) + (0.0 if n == "als" else 3.0) for n in names]
    about = {**bundle.about, "metric": {"name": "rmse", "policy": {}, "greater_is_better": False}}
    report = rebuilt(50, oof=bundle.oof.with_columns(scores), about=about)
    assert report.best_single == "als"
    assert report.scores["mean"].is_sorted()
    assert set(report.scores.filter(pl.col("name") != "als")["verdict"]) == {"worse"}


def test_the_same_scores_are_no_clear_difference_and_ties_go_to_the_first(
    bundle: CvBundle, rebuilt: Rebuilt
) -> None:
    same = [pl.col("als").alias(name) for name in (*bundle.models, *bundle.blends)]
    report = rebuilt(50, oof=bundle.oof.with_columns(same))
    assert report.best_single == bundle.models[0]
    assert report.scores["name"].to_list() == [*bundle.models, *bundle.blends]
    others = report.scores.filter(pl.col("name") != bundle.models[0])
    assert set(others["verdict"]) == {"no clear difference"}
    assert others["difference"].to_list() == [0.0] * others.height


def test_a_blend_without_scores_is_said_to_be_not_scored(bundle: CvBundle, rebuilt: Rebuilt) -> None:
    oof = bundle.oof.with_columns(weights=pl.lit(None, pl.Float64))
    about = {**bundle.about, "not_scored": ["weights"]}
    report = rebuilt(50, oof=oof, about=about)
    assert row_of(report, "weights")["verdict"] == "not scored"
    assert report.scores["name"][-1] == "weights"
    assert report.segments.filter(pl.col("name") == "weights")["value"].null_count() > 0
    assert any("weights" in text for text in report.caveats)


def test_a_metric_over_all_rows_is_compared_too(bundle: CvBundle, rebuilt: Rebuilt) -> None:
    about = {**bundle.about, "metric": {"name": "roc_auc", "policy": {}, "greater_is_better": True}}
    report = rebuilt(oof=binary(bundle.oof), about=about)
    assert report.metric == Metric("roc_auc", {})
    assert row_of(report, "weights")["verdict"] == "better"
    assert row_of(report, "popularity")["verdict"] == "worse"


def test_labels_of_one_class_leave_nothing_to_score(bundle: CvBundle, rebuilt: Rebuilt) -> None:
    oof = bundle.oof.with_columns(relevance=pl.lit(1, pl.Int8))
    report = rebuilt(oof=oof)
    assert set(report.scores["verdict"]) == {"best single", "not scored"}
    assert report.scores["mean"].null_count() == report.scores.height
    assert report.segments["value"].null_count() == report.segments.height


def test_one_model_and_one_fold(cinema: Dataset) -> None:
    alone = make_bundle(models=("popularity",), blends=())
    about = {k: v for k, v in alone.about.items() if k not in ("chosen_because", "differences_to_baseline")}
    one_fold = replace(alone, oof=alone.oof.filter(pl.col("fold") == "fold1"), about=about)
    report = build_report(one_fold, cinema)
    row = row_of(report, "popularity")
    assert (row["std"], row["difference"]) == (None, None)
    assert row["is_chosen"]
    assert row["is_best_single"]
    assert report.reason == "popularity is the only model."
    assert report.importance.is_empty()
    assert report.features["importance"].null_count() == report.features.height
    assert any("only 1 fold:" in text for text in report.caveats)


def test_reason_gives_the_stack_s_words_and_numbers(report: Report) -> None:
    assert report.reason == (
        "mean_of_ranks: no learned blend beats it with an interval above zero. "
        "Difference to mean_of_ranks: weights −0.0009 [−0.0028, +0.0009]."
    )


def test_importance_of_a_feature_is_the_mean_over_the_models(bundle: CvBundle, report: Report) -> None:
    first = report.features.row(by_predicate=pl.col("feature") == bundle.importance["feature"][0], named=True)
    assert first["importance"] == pytest.approx(bundle.importance["importance"][0])
    assert report.features["importance"].sum() == pytest.approx(1.0)
    assert report.features.filter(pl.col("feature") == "empty__user_id")["importance"].item() == 0.0


def importance(*rows: tuple[str, str, str, float]) -> pl.DataFrame:
    return pl.DataFrame(rows, ["model", "fold", "feature", "importance"], orient="row")


def test_a_feature_that_one_fold_does_not_use_counts_as_zero_there(rebuilt: Rebuilt) -> None:
    made = importance(("m", "a", "x", 0.4), ("m", "a", "y", 0.6), ("m", "b", "x", 1.0))
    report = rebuilt(importance=made)
    assert report.importance.rows() == [("m", "x", pytest.approx(0.7)), ("m", "y", pytest.approx(0.3))]


def test_a_model_of_one_feature_does_not_hide_the_importance_of_the_others(rebuilt: Rebuilt) -> None:
    single = importance(("als", "fold1", "als_score", 1.0))
    boosted = importance(("trees", "fold1", "als_score", 0.3), ("trees", "fold1", "rate", 0.7))
    both = rebuilt(importance=pl.concat([single, boosted]))
    assert both.importance["model"].unique().to_list() == ["trees"]
    alone = rebuilt(importance=single)
    assert alone.importance.rows() == [("als", "als_score", 1.0)]


def test_flags_say_what_to_look_at(report: Report) -> None:
    flags = dict(report.features.select("feature", "flags").iter_rows())
    assert flags["empty__user_id"] == "always null"
    psi = dict(report.features.select("feature", "psi").iter_rows())
    for feature, value in psi.items():
        assert ("drifts" in flags[feature]) == (value is not None and value > 0.2)
    assert "nulls change" in flags["relevance_rate__user_id_x_release_year__last_35"]
    assert flags["relevance_rate__user_id_x_release_year__last_16"] == ""


def test_caveats_tell_of_the_clock_the_budget_and_changed_data(
    cinema: Dataset, report: Report, rebuilt: Rebuilt
) -> None:
    texts = " ".join(report.caveats)
    assert "per user" in texts
    assert "4 of 12 fits were cut short" in texts
    assert "changed" not in texts
    later = rebuilt(dataset=replace(cinema, fingerprint="0" * 32))
    assert any("changed" in text for text in later.caveats)


def test_another_competition_s_bundle_is_refused(bundle: CvBundle, rebuilt: Rebuilt) -> None:
    with pytest.raises(ConfigError, match=r"'opera'.*'cinema'"):
        rebuilt(about={**bundle.about, "competition": "opera"})


def test_a_bundle_without_a_score_column_is_refused(bundle: CvBundle, rebuilt: Rebuilt) -> None:
    with pytest.raises(DataError, match="no scores of als"):
        rebuilt(oof=bundle.oof.drop("als"))


def test_a_sample_is_told_where_the_scores_are(bundle: CvBundle, rebuilt: Rebuilt) -> None:
    def caveats(sample: dict[str, float]) -> str:
        about = {**bundle.about, "settings": {"seed": 1, "sample": sample}}
        return " ".join(rebuilt(about=about).caveats)

    assert "A quick look, at 0.05 of the pairs: the scores" in caveats({"users": 1.0, "pairs": 0.05})
    assert "at 0.1 of the users and 0.5 of the pairs" in caveats({"users": 0.1, "pairs": 0.5})
    assert "quick look" not in caveats({"users": 1.0, "pairs": 1.0})


LENGTHS = ("0 (cold)", "1–9", "10–29", "30–99", "100–299", "300–999", "1,000 and more")
BANDS = {  # by the beginning of the segment's title
    "User history": LENGTHS,
    "Item popularity": LENGTHS,
    "Cold and warm users": ("cold user", "warm user"),
    "Cold and warm items": ("cold item", "warm item"),
    "Class mix": ("none", "up to a third", "a third to two thirds", "more than two thirds", "all"),
}


def bands_of(n_user_rows: int, n_item_rows: int, n_likes: int) -> dict[str, str]:
    """Bands of a pair whose user likes ``n_likes`` of their 12 pairs."""
    user, item = (bisect((1, 10, 30, 100, 300, 1000), n_rows) for n_rows in (n_user_rows, n_item_rows))
    mix = (n_likes > 0) + (n_likes > 4) + (n_likes > 8) + (n_likes == 12)
    numbers = (user, item, user > 0, item > 0, mix)
    return {title: bands[number] for (title, bands), number in zip(BANDS.items(), numbers, strict=True)}


def test_segments_against_bands_found_pair_by_pair(
    bundle: CvBundle, cinema: Dataset, rebuilt: Rebuilt
) -> None:
    nothing_liked = pl.when(pl.col("user_id") == 6).then(0).otherwise("relevance").cast(pl.Int8)
    oof = bundle.oof.with_columns(nothing_liked.alias("relevance"))
    rows_before = Counter[object]()
    for row in cinema.log.collect().to_dicts():
        for cutoff in (c for c in CUTOFFS if row["clock"] < c):
            rows_before.update(((cutoff, "user", row["user_id"]), (cutoff, "item", row["item_id"])))
    pairs = oof.to_dicts()
    likes = Counter((p["window"], p["user_id"]) for p in pairs if p["relevance"] == 1)
    bands = pl.DataFrame(
        bands_of(
            rows_before[p["window"], "user", p["user_id"]],
            rows_before[p["window"], "item", p["item_id"]],
            likes[p["window"], p["user_id"]],
        )
        for p in pairs
    )
    segments, group = rebuilt(oof=oof).segments.filter(pl.col("name") == "als"), ["window", "user_id"]
    for title, names in BANDS.items():
        found = segments.filter(pl.col("segment").str.starts_with(title))
        assert found["band"].to_list() == [name for name in names if name in bands[title]]
        for row in found.to_dicts():
            inside = oof.filter(bands[title] == row["band"])
            assert (row["n_pairs"], row["n_groups"]) == (inside.height, inside.select(group).n_unique()), row
            value = evaluate(Metric("user_auc"), inside, group=group, score="als")
            assert row["value"] == (None if np.isnan(value) else pytest.approx(value)), row
    assert {"0 (cold)", "100–299"} <= set(bands["User history"])
    assert set(bands["Class mix"]) == set(BANDS["Class mix"])
