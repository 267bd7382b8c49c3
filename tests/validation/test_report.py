"""Numbers of the report, against the same thing computed by hand, segments against counts made row by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from competitions import Dataset, Metric
from engine import ConfigError, DataError
from tests.validation.conftest import MakeBundle
from validation import CvBundle, Report, build_report


@pytest.fixture(scope="module")
def bundle(make_bundle: MakeBundle) -> CvBundle:
    return make_bundle()


@pytest.fixture(scope="module")
def report(bundle: CvBundle, cinema: Dataset) -> Report:
    return build_report(bundle, cinema, n_resamples=300)


@pytest.fixture(scope="module")
def rebuilt(bundle: CvBundle, cinema: Dataset) -> Callable[..., Report]:
    """Build the report of the bundle with other fields."""
    return lambda n_resamples=10, **fields: build_report(
        replace(bundle, **fields), cinema, n_resamples=n_resamples
    )


def row_of(report: Report, name: str) -> dict[str, object]:
    return report.scores.row(by_predicate=pl.col("name") == name, named=True)


def binary(bundle: CvBundle) -> CvBundle:
    """Two classes, so that scikit-learn knows the metric."""
    return replace(
        bundle, oof=bundle.oof.with_columns((pl.col("relevance") > 0).cast(pl.Int8).alias("relevance"))
    )


def mean_auc(frame: pl.DataFrame, name: str) -> float:
    values = [
        roc_auc_score(group["relevance"], group[name])
        for _, group in frame.group_by("window", "user_id")
        if group["relevance"].n_unique() == 2
    ]
    return float(np.mean(values))


def test_scores_are_the_mean_and_spread_of_the_folds(bundle: CvBundle, cinema: Dataset) -> None:
    two_classes = binary(bundle)
    report = build_report(two_classes, cinema, n_resamples=50)
    for name in (*bundle.models, *bundle.blends):
        by_fold = [mean_auc(part, name) for _, part in sorted(two_classes.oof.group_by("fold"))]
        found = report.fold_scores.filter(pl.col("name") == name)["value"].to_list()
        assert found == pytest.approx(by_fold)
        row = row_of(report, name)
        assert (row["mean"], row["std"], row["n_folds"]) == (
            pytest.approx(np.mean(by_fold)),
            pytest.approx(np.std(by_fold, ddof=1)),
            3,
        )


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
    assert 0 < better["low"] < better["difference"] < better["high"]  # type: ignore[operator]
    assert worse["high"] < 0  # type: ignore[operator]
    # User 5 has one class in every window and counts nowhere.
    assert better["n_users"] == bundle.oof["user_id"].n_unique() - 1


def test_a_lower_loss_is_better(bundle: CvBundle, rebuilt: Callable[..., Report]) -> None:
    names = (*bundle.models, *bundle.blends)
    # "als" predicts the relevance itself, the others are far off.
    scores = [pl.col("relevance").cast(pl.Float64).alias(n) + (0.0 if n == "als" else 3.0) for n in names]
    about = {**bundle.about, "metric": {"name": "rmse", "policy": {}, "greater_is_better": False}}
    report = rebuilt(50, oof=bundle.oof.with_columns(scores), about=about)
    assert report.best_single == "als"
    assert report.scores["mean"].is_sorted()
    assert set(report.scores.filter(pl.col("name") != "als")["verdict"]) == {"worse"}


def test_the_same_scores_are_no_clear_difference_and_ties_go_to_the_first(
    bundle: CvBundle, rebuilt: Callable[..., Report]
) -> None:
    same = [pl.col("als").alias(name) for name in (*bundle.models, *bundle.blends)]
    report = rebuilt(50, oof=bundle.oof.with_columns(same))
    assert report.best_single == bundle.models[0]
    assert report.scores["name"].to_list() == [*bundle.models, *bundle.blends]
    others = report.scores.filter(pl.col("name") != bundle.models[0])
    assert set(others["verdict"]) == {"no clear difference"}
    assert others["difference"].to_list() == [0.0] * others.height


def test_a_blend_without_scores_is_said_to_be_not_scored(
    bundle: CvBundle, rebuilt: Callable[..., Report]
) -> None:
    oof = bundle.oof.with_columns(weights=pl.lit(None, pl.Float64))
    about = {**bundle.about, "not_scored": ["weights"]}
    report = rebuilt(50, oof=oof, about=about)
    assert row_of(report, "weights")["verdict"] == "not scored"
    assert report.scores["name"][-1] == "weights"
    assert report.segments.filter(pl.col("name") == "weights")["value"].null_count() > 0
    assert any("weights" in text for text in report.caveats)


def test_a_metric_over_all_rows_is_compared_too(bundle: CvBundle, rebuilt: Callable[..., Report]) -> None:
    about = {**bundle.about, "metric": {"name": "roc_auc", "policy": {}, "greater_is_better": True}}
    report = rebuilt(oof=binary(bundle).oof, about=about)
    assert report.metric == Metric("roc_auc", {})
    assert row_of(report, "weights")["verdict"] == "better"
    assert row_of(report, "popularity")["verdict"] == "worse"


def test_labels_of_one_class_leave_nothing_to_score(bundle: CvBundle, rebuilt: Callable[..., Report]) -> None:
    oof = bundle.oof.with_columns(relevance=pl.lit(1, pl.Int8))
    report = rebuilt(oof=oof)
    assert set(report.scores["verdict"]) == {"best single", "not scored"}
    assert report.scores["mean"].null_count() == report.scores.height
    assert report.segments["value"].null_count() == report.segments.height


def test_one_model_and_one_fold(make_bundle: MakeBundle, cinema: Dataset) -> None:
    bundle = make_bundle(models=("popularity",), blends=())
    about = {k: v for k, v in bundle.about.items() if k not in ("chosen_because", "differences_to_baseline")}
    bundle = replace(bundle, oof=bundle.oof.filter(pl.col("fold") == "fold1"), about=about)
    report = build_report(bundle, cinema)
    row = row_of(report, "popularity")
    assert (row["std"], row["difference"], row["is_chosen"], row["is_best_single"]) == (
        None,
        None,
        True,
        True,
    )
    assert report.reason == "popularity is the only model."
    assert report.importance.is_empty()
    assert report.features["importance"].null_count() == report.features.height
    assert any("only 1 fold:" in text for text in report.caveats)


def test_reason_gives_the_stack_s_words_and_numbers(report: Report) -> None:
    assert report.reason == (
        "mean_of_ranks: no learned blend beats it with an interval above zero. "
        "Difference to mean_of_ranks: weights −0.0009 [−0.0028, +0.0009]."
    )


def test_importance_is_the_mean_over_folds_and_models(bundle: CvBundle, report: Report) -> None:
    assert report.importance.group_by("model").agg(pl.col("importance").sum())["importance"].to_list() == (
        pytest.approx([1.0, 1.0])
    )
    first = bundle.importance["feature"][0]
    row = report.features.row(by_predicate=pl.col("feature") == first, named=True)
    assert row["importance"] == pytest.approx(bundle.importance["importance"][0])
    assert report.features["importance"].sum() == pytest.approx(1.0)
    assert report.features.filter(pl.col("feature") == "empty__user_id")["importance"].item() == 0.0


def test_a_feature_that_one_fold_does_not_use_counts_as_zero_there(rebuilt: Callable[..., Report]) -> None:
    importance = pl.DataFrame(
        {
            "model": ["m"] * 3,
            "fold": ["a", "a", "b"],
            "feature": ["x", "y", "x"],
            "importance": [0.4, 0.6, 1.0],
        }
    )
    report = rebuilt(importance=importance)
    assert report.importance.rows() == [("m", "x", pytest.approx(0.7)), ("m", "y", pytest.approx(0.3))]


def test_a_model_of_one_feature_does_not_hide_the_importance_of_the_others(
    rebuilt: Callable[..., Report],
) -> None:
    rows = [
        ("als", "als_score", 1.0),
        ("boosted", "als_score", 0.3),
        ("boosted", "rate", 0.7),
        ("boosted", "year", 0.0),
    ]
    schema = {"model": pl.String, "feature": pl.String, "importance": pl.Float64}
    importance = pl.DataFrame(rows, schema=schema, orient="row").with_columns(fold=pl.lit("fold1"))
    both = rebuilt(importance=importance)
    assert both.importance["model"].unique().to_list() == ["boosted"]
    alone = rebuilt(importance=importance.filter(pl.col("model") == "als"))
    assert alone.importance.rows() == [("als", "als_score", 1.0)]


def test_flags_say_what_to_look_at(report: Report) -> None:
    flags = dict(report.features.select("feature", "flags").iter_rows())
    assert flags["empty__user_id"] == "always null"
    psi = dict(report.features.select("feature", "psi").iter_rows())
    for feature, value in psi.items():
        assert ("drifts" in flags[feature]) == (value is not None and value > 0.2)
    assert "nulls change" in flags["relevance_rate__user_id_x_release_year__last_35"]
    assert flags["relevance_rate__user_id_x_release_year__last_16"] == ""


def test_caveats_tell_of_the_clock_the_budget_and_changed_data(bundle: CvBundle, cinema: Dataset) -> None:
    texts = " ".join(build_report(bundle, cinema, n_resamples=10).caveats)
    assert "per user" in texts
    assert "4 of 12 fits were cut short" in texts
    assert "changed" not in texts
    later = replace(cinema, fingerprint="0" * 32)
    assert any("changed" in text for text in build_report(bundle, later, n_resamples=10).caveats)


def test_another_competition_s_bundle_is_refused(
    bundle: CvBundle, cinema: Dataset, rebuilt: Callable[..., Report]
) -> None:
    with pytest.raises(ConfigError, match=r"'opera'.*'cinema'"):
        rebuilt(about={**bundle.about, "competition": "opera"})


def test_a_bundle_without_a_score_column_is_refused(bundle: CvBundle, rebuilt: Callable[..., Report]) -> None:
    with pytest.raises(DataError, match="no scores of als"):
        rebuilt(oof=bundle.oof.drop("als"))


def test_a_sample_is_told_where_the_scores_are(bundle: CvBundle, rebuilt: Callable[..., Report]) -> None:
    def caveats(sample: dict[str, float]) -> str:
        about = {**bundle.about, "settings": {"seed": 1, "sample": sample}}
        return " ".join(rebuilt(about=about).caveats)

    assert "A quick look, at 0.05 of the pairs: the scores" in caveats({"users": 1.0, "pairs": 0.05})
    assert "at 0.1 of the users and 0.5 of the pairs" in caveats({"users": 0.1, "pairs": 0.5})
    assert "quick look" not in caveats({"users": 1.0, "pairs": 1.0})


def test_segments_split_the_pairs_and_cold_means_no_row_before_the_cutoff(
    bundle: CvBundle, cinema: Dataset, report: Report
) -> None:
    log = cinema.log.collect()
    pairs = bundle.oof.to_dicts()
    history = {
        (window, key): set(log.filter(pl.col("clock") < window)[key])
        for window in bundle.oof["window"].unique()
        for key in ("user_id", "item_id")
    }
    for key, segment, cold in (
        ("user_id", "Cold and warm users", "cold user"),
        ("item_id", "Cold and warm items", "cold item"),
    ):
        rows = report.segments.filter((pl.col("segment") == segment) & (pl.col("name") == "als"))
        assert rows["n_pairs"].sum() == len(pairs)
        n_cold = sum(pair[key] not in history[pair["window"], key] for pair in pairs)
        assert n_cold > 0
        assert rows.filter(pl.col("band") == cold)["n_pairs"].item() == n_cold


def test_segments_by_length_of_history(
    bundle: CvBundle, cinema: Dataset, report: Report, rebuilt: Callable[..., Report]
) -> None:
    log = cinema.log.collect()
    lengths = {
        (window, user): log.filter((pl.col("clock") < window) & (pl.col("user_id") == user)).height
        for window, user in bundle.oof.select("window", "user_id").unique().iter_rows()
    }
    long = [group for group, length in lengths.items() if 100 <= length < 300]
    rows = bundle.oof.filter(
        pl.struct("window", "user_id").map_elements(
            lambda r: (r["window"], r["user_id"]) in long, return_dtype=pl.Boolean
        )
    )
    found = report.segments.filter(
        pl.col("segment").str.starts_with("User history")
        & (pl.col("band") == "100–299")
        & (pl.col("name") == "als")
    )
    assert (found["n_groups"].item(), found["n_pairs"].item()) == (len(long), rows.height)
    alone = rebuilt(oof=rows)
    warm = alone.segments.filter((pl.col("band") == "warm user") & (pl.col("name") == "als"))
    assert found["value"].item() == pytest.approx(warm["value"].item())


def test_segments_by_class_mix(bundle: CvBundle, rebuilt: Callable[..., Report]) -> None:
    neither = pl.when(pl.col("user_id") == 6).then(0).otherwise("relevance")
    oof = bundle.oof.with_columns(neither.cast(pl.Int8).alias("relevance"))
    segments = rebuilt(oof=oof).segments
    rows = segments.filter(pl.col("segment").str.starts_with("Class mix") & (pl.col("name") == "als"))
    expected = [0, 0, 0, 0, 0]
    for _, group in oof.group_by("window", "user_id"):
        n_likes = (group["relevance"] == 1).sum()
        expected[sum((n_likes > 0, 3 * n_likes > 12, 3 * n_likes > 24, n_likes == 12))] += 1
    assert expected[0] >= 3
    assert rows["band"].to_list()[::4] == ["none", "all"]
    assert rows["n_groups"].to_list() == expected
    assert rows["n_pairs"].to_list() == [12 * n_groups for n_groups in expected]
    assert (rows["value"].null_count(), rows["value"][4]) == (1, None)  # one class: nothing to rank
