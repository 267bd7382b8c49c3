"""Numbers of the report, against the same thing computed by hand, segments against counts made row by row.

And what looks like a leak: training losses that are too good, and the audit that the store has, escaped.
"""

from __future__ import annotations

import json
from bisect import bisect
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from competitions import Dataset, Metric, pointer_to
from engine import ConfigError, DataError, Recipe, Store
from tests.validation.conftest import CUTOFFS, EVIL, Rebuilt, RunReport, make_bundle
from validation import CvBundle, Report, alarms_of, build_report, column_alarms, evaluate, training_alarms
from validation._report import AuditReport, read_audit_report, report_html


@pytest.fixture(scope="module")
def report(rebuilt: Rebuilt) -> Report:
    return rebuilt(300)


def row_of(report: Report, name: str) -> dict[str, Any]:
    return report.scores.row(by_predicate=pl.col("name") == name, named=True)


def test_scores_are_the_mean_and_spread_of_the_folds(bundle: CvBundle, report: Report) -> None:
    for name in (*bundle.models, *bundle.blends):
        by_fold = [
            evaluate(Metric("user_auc"), part, group=["window", "user_id"], score=name)
            for _, part in sorted(bundle.oof.group_by("fold"))
        ]
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
    two_classes = bundle.oof.with_columns((pl.col("relevance") > 0).cast(pl.Int8).alias("relevance"))
    report = rebuilt(oof=two_classes, about=about)
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
    about = {k: v for k, v in alone.about.items() if k not in ("chosen_because", "differences_to_best")}
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
        "Difference to mean_of_ranks, with its standard error: weights −0.0009 ± 0.0009."
    )


def test_reason_gives_each_difference_once(bundle: CvBundle, cinema: Dataset) -> None:
    because = {"chosen_because": "it differs by -0.0009 ± 0.0009"}
    chosen = replace(bundle, chosen="weights", about={**bundle.about, **because})
    assert build_report(chosen, cinema).reason == "weights: it differs by -0.0009 ± 0.0009."


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
    for psi, flag in report.features.select("psi", "flags").iter_rows():
        assert ("drifts" in flag) == (psi is not None and psi > 0.2)  # as the bundle has it
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


def test_the_bundle_of_another_competition_or_without_a_score_column_is_refused(
    bundle: CvBundle, rebuilt: Rebuilt
) -> None:
    with pytest.raises(ConfigError, match=r"'opera'.*'cinema'"):
        rebuilt(about={**bundle.about, "competition": "opera"})
    with pytest.raises(DataError, match="no scores of als"):
        rebuilt(oof=bundle.oof.drop("als"))
    with pytest.raises(DataError, match="no drifts of features"):
        rebuilt(features=bundle.features.drop("drifts"))


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


Losses = Mapping[str, tuple[str, tuple[float | None, ...]]]


def fits(losses: Losses) -> pl.DataFrame:
    rows = [
        (model, f"fold{n}", 1.0, 10, "hold-out", value, loss)
        for model, (loss, values) in losses.items()
        for n, value in enumerate(values, 1)
    ]
    columns = ["model", "fold", "seconds", "iterations", "stopped_by", "training_loss", "loss"]
    return pl.DataFrame(rows, schema=columns, orient="row")


@pytest.mark.parametrize(
    ("losses", "named"),
    [
        ({"catboost": ("RMSE", (0.50, 0.04, 0.49))}, ["catboost in fold2"]),  # one fold against the other two
        ({"catboost": ("RMSE", (0.50, 0.26, 0.49))}, []),  # not below half
        ({"catboost": ("RMSE", (0.50, 0.04))}, []),  # of two, no one can tell which is odd
        ({"catboost": ("RMSE", (0.04, 0.04, 0.04))}, []),  # all alike: what the audit is for
        (
            {"catboost": ("RMSE", (0.04, 0.05)), "als": ("RMSE", (0.5, 0.5)), "trees": ("RMSE", (0.5, 0.51))},
            ["catboost in fold1", "catboost in fold2"],
        ),
        ({"catboost": ("RMSE", (0.5, 0.5, 0.5)), "als": ("logit", (0.01, 0.01, 0.01))}, []),  # other losses
        ({"catboost": ("RMSE", (None, None, 0.1))}, []),
        ({"catboost": ("RMSE", (0.0, 0.0, 0.0))}, []),
        ({"mine": ("likelihood", (-0.9, -0.9, -0.9))}, []),  # half of it is more, not less
    ],
)
def test_who_is_far_below_its_siblings_is_named(losses: Losses, named: list[str], bundle: CvBundle) -> None:
    found = training_alarms(replace(bundle, fits=fits(losses)))
    assert [text.partition(" is ")[0] for text in found] == [f"The training loss of {n}" for n in named]


def test_the_report_shows_it_with_the_feature_that_the_fit_rests_on(
    bundle: CvBundle, rebuilt: Rebuilt, run_report: RunReport, tmp_path: Path
) -> None:
    odd = fits({"catboost": ("RMSE", (0.5, 0.04, 0.5))})
    (alarm,) = rebuilt(fits=odd).alarms
    top = bundle.importance.filter((pl.col("model") == "catboost") & (pl.col("fold") == "fold2"))
    assert top.sort("importance", descending=True)["feature"][0] in alarm
    printed, page = run_report(replace(bundle, fits=odd), tmp_path)
    assert "Alarm: The training loss of catboost in fold2 is 0.0400 (RMSE)" in " ".join(printed.split())
    assert "<strong>Alarm:</strong>" in page.read_text(encoding="utf-8")


def test_the_report_shows_what_fits_tell_of_themselves(
    bundle: CvBundle, run_report: RunReport, tmp_path: Path
) -> None:
    told = pl.lit("hits@1 0.2512, <b>")
    printed, page = run_report(replace(bundle, fits=bundle.fits.with_columns(notes=told)), tmp_path)
    assert "hits@1 0.2512" in " ".join(printed.split())
    assert "hits@1 0.2512, &lt;b&gt;" in page.read_text(encoding="utf-8")


def against_a_column(bundle: CvBundle, low: float, high: float, greater_is_better: bool = True) -> CvBundle:
    """The bundle with a best column, which catboost reads."""
    difference = {"mean": (low + high) / 2, "low": low, "high": high, "n_users": 60}
    best = {"column": "taste", "cv": {"fold1": 0.8, "mean": 0.7123}, "differences": {"catboost": difference}}
    metric = {**bundle.about["metric"], "greater_is_better": greater_is_better}
    return replace(bundle, about={**bundle.about, "metric": metric, "best_column": best})


@pytest.mark.parametrize(
    ("low", "high", "greater", "is_worse"),
    [
        (-0.02, -0.01, True, True),
        (-0.02, 0.01, True, False),
        (0.01, 0.02, True, False),
        (0.01, 0.02, False, True),
    ],
)
def test_a_model_that_is_surely_worse_than_a_column_it_reads_is_named(
    low: float, high: float, greater: bool, is_worse: bool, bundle: CvBundle
) -> None:
    found = column_alarms(against_a_column(bundle, low, high, greater))
    assert len(found) == is_worse
    assert all(text.startswith("catboost reads taste and is surely worse") for text in found)
    assert column_alarms(bundle) == ()


def test_the_report_names_the_best_column_beside_the_best_model(
    bundle: CvBundle, rebuilt: Rebuilt, run_report: RunReport, tmp_path: Path
) -> None:
    assert rebuilt().column == ""
    printed, page = run_report(against_a_column(bundle, -0.02, -0.01), tmp_path)
    best = rebuilt().best_single
    value = rebuilt().scores.filter(name=best)["mean"][0]
    words = f"The best single column, taste, has 0.7123 by itself; the best model, {best}, has {value:.4f}."
    assert words in " ".join(printed.split())
    assert "The best single column, taste, has 0.7123" in page.read_text(encoding="utf-8")
    assert "Alarm: catboost reads taste" in " ".join(printed.split())


def finding(column: str, check: str, severity: str = "defect") -> dict[str, str]:
    return {
        "column": column,
        "place": "rates.py:7",
        "check": check,
        "window": "w5-5-6",
        "evidence": f"pair 7: {EVIL} became 3",
        "todo": "read only the history",
        "severity": severity,
    }


def write_audit(folder: Path, *findings: dict[str, str]) -> None:
    about = {
        "fingerprint": "f" * 32,
        "features": 3,
        "log rows": 40_000,
        "pairs": 900,
        "values from": "the small log",
        "test told from train": 0.91,
        "train windows told apart": None,
    }
    text = json.dumps({"findings": findings, "about": about})
    (folder / "audit.json").write_text(text, encoding="utf-8")


@pytest.fixture
def audit(tmp_path: Path) -> AuditReport:
    write_audit(
        tmp_path,
        finding(EVIL, "future truncated"),
        finding(EVIL, "labels of the window flipped"),
        finding("n_likes", "near-duplicate", "warning"),
        finding("n_shares", "near-duplicate", "warning"),
        finding("n_shares", "constant", "warning"),
    )
    found = read_audit_report(tmp_path)
    assert found is not None
    return found


def test_one_row_a_feature_with_all_its_checks(audit: AuditReport) -> None:
    (defect,) = audit.defects
    assert (defect.feature, defect.check) == (EVIL, "future truncated")
    assert defect.others == ("labels of the window flipped",)
    assert list(audit.warnings) == ["near-duplicate", "constant"]
    assert sum(map(len, audit.warnings.values())) == 3


def test_an_audit_that_measured_drift_on_other_rows_is_told(audit: AuditReport, rebuilt: Rebuilt) -> None:
    """The verdicts shown are the cross-validation's, which are the audit's own where it saw the stored columns."""
    of_all = replace(audit, facts={**audit.facts, "values from": "the stored columns of all rows"})
    for one, is_told in ((audit, True), (of_all, False)):
        report = rebuilt(audit=one)
        assert report.features.equals(rebuilt().features)
        assert any("drift on a small log" in text for text in report.caveats) == is_told


def test_page_shows_the_audit_and_escapes_it(audit: AuditReport, rebuilt: Rebuilt) -> None:
    page = report_html(rebuilt(audit=audit))
    section = page[page.index('<section id="audit"') : page.index('<section id="fits"')]
    assert EVIL not in page
    assert escape(EVIL, quote=False)[:20] in section.replace("&#34;", '"').replace("&#39;", "'")
    checks = ("also: labels of the window flipped", "2 warnings: near-duplicate")
    for text in ("1 defect", "rates.py:7 w5-5-6", "0.910", *checks):
        assert text in section
    assert section.count("<caption") == section.count("<table") == 3


def test_defects_stand_beside_the_scores(audit: AuditReport, rebuilt: Rebuilt) -> None:
    report = rebuilt(audit=audit)
    assert any("1 feature that cannot be trusted" in text for text in report.alarms)
    assert not any("of other data" in text for text in report.caveats)
    other = rebuilt(audit=replace(audit, facts={**audit.facts, "fingerprint": "0" * 32}))
    assert other.alarms == ()
    assert any("of other data" in text for text in other.caveats)
    assert not any("audit" in text for text in rebuilt().caveats)


def test_report_reads_the_audit_that_the_store_points_to(
    bundle: CvBundle, run_report: RunReport, tmp_path: Path
) -> None:
    store, recipe = Store(tmp_path / "store"), Recipe("audit", "cinema: audit", {})
    findings = (finding("n_likes", "future truncated"), finding("n_shares", "constant", "warning"))
    store.put(recipe, lambda folder: write_audit(folder, *findings))
    store.point(pointer_to("audit", "cinema", Path("data")), recipe)
    printed, path = run_report(bundle, tmp_path)
    assert "future truncated" in printed
    assert "1, such as n_shares" in printed
    assert "rates.py:7" in path.read_text(encoding="utf-8")


def test_a_column_that_scores_too_good_is_an_alarm(bundle: CvBundle) -> None:
    """From 75 % of the way from chance (an AUC of a half) to the labels on; not for what is merely good."""
    scored = bundle.features.with_columns(
        score=pl.when(pl.col("feature") == bundle.features["feature"][3]).then(0.93).otherwise(0.8)
    )
    leaking = replace(bundle, features=scored, about={**bundle.about, "user": "user_id"})
    (alarm,) = (text for text in alarms_of(leaking, None) if "too good" in text)
    assert alarm.startswith(f"{scored['feature'][3]} by itself scores 0.9300, 8")
    assert alarms_of(replace(leaking, features=bundle.features), None) == ()


def test_without_an_audit_the_page_says_so(rebuilt: Rebuilt) -> None:
    assert "The features were not audited" in report_html(rebuilt())
    assert read_audit_report(None) is None
