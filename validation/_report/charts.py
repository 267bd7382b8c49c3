"""Charts of the CV report. Colours of text, grid and background come from the page, light or dark."""

from __future__ import annotations

import altair as alt
import polars as pl

from validation._report.page import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    Chart,
    Colors,
    color_of,
    colors_of,
    finish_chart,
    number_of,
)
from validation._report.report import Report
from validation._report.segments import CHARTED

_ROLES = {"chosen": BLUE, "best single": ORANGE, "other": GREY}
_VERDICTS = {"better": GREEN, "no clear difference": GREY, "worse": RED}
_DRIFT = {"drifts": RED, "stable": GREY}
_WINDOWS = {"train": BLUE, "eval": ORANGE, "test": GREEN}
# Train and eval often lie on each other: hollow shapes show both.
_SHAPES = ["circle", "cross", "triangle-up"]
_ONE_ROW = alt.InlineData(values=[{}])  # of a layer that draws one fixed line
_N_TOP, _N_DRIFT = 30, 15


def report_charts(report: Report) -> dict[str, Chart]:
    """Draw every chart for which there are numbers, by the name of its place on the page."""
    charts = {"scores": _scores(report)} if report.scores["mean"].is_not_null().any() else {}
    if report.scores["difference"].is_not_null().any():
        charts["differences"] = _differences(report)
    for number, title in enumerate(CHARTED):
        bands = report.segments.filter((pl.col("segment") == title) & pl.col("value").is_not_null())
        if bands.height:
            charts[f"segment-{number}"] = _segment(report, bands)
    return charts | _feature_charts(report.features, report.importance)


def _scores(report: Report) -> Chart:
    single = pl.when("is_best_single").then(pl.lit("best single"))
    role = pl.coalesce(pl.when("is_chosen").then(pl.lit("chosen")), single, pl.lit("other"))
    means = report.scores.with_columns(role=role).drop_nulls("mean")
    folds = report.fold_scores.join(
        means.select("name", "role", "mean"), on="name", validate="m:1"
    ).drop_nulls("value")
    y = alt.Y("name:N", sort=means["name"].to_list(), title=None)
    color = color_of("role", _ROLES)
    dots = alt.Chart(folds).mark_circle(size=70, opacity=0.55)
    ticks = alt.Chart(means).mark_tick(thickness=3, size=18, opacity=1)
    x = alt.X("value:Q", scale=alt.Scale(zero=False, nice=True), title=report.metric.name)
    chart = alt.layer(
        dots.encode(x=x, y=y, color=color, tooltip=["name:N", "fold:N", number_of("value")]),
        ticks.encode(
            x=alt.X("mean:Q"), y=y, color=color, tooltip=["name:N", number_of("mean"), number_of("std")]
        ),
    )
    seen = means["role"].unique().to_list()
    return finish_chart(chart, means.height, {role: color for role, color in _ROLES.items() if role in seen})


def _differences(report: Report) -> Chart:
    rows = report.scores.drop_nulls("difference")
    y = alt.Y("name:N", sort=rows["name"].to_list(), title=None)
    color = color_of("verdict", _VERDICTS)
    numbers = [number_of(field, "+.4f") for field in ("difference", "low", "high")]
    tooltip: list[str | alt.Tooltip] = ["name:N", *numbers, "verdict:N"]
    base = alt.Chart(rows).encode(y=y, color=color, tooltip=tooltip)
    zero = alt.Chart(_ONE_ROW).mark_rule(strokeDash=[4, 4]).encode(x=alt.datum(0))
    chart = alt.layer(
        zero,
        base.mark_rule(strokeWidth=3).encode(
            x=alt.X("low:Q", title="difference, 95 % interval"), x2="high:Q"
        ),
        base.mark_circle(size=90, opacity=1).encode(x="difference:Q"),
    )
    return finish_chart(chart, rows.height, _VERDICTS)


def contenders(report: Report) -> Colors:
    """Names that the segment charts compare: the chosen one, the best single model, the best other ones."""
    scored = report.scores.filter(pl.col("n_folds") > 0)["name"].to_list()
    return colors_of(list(dict.fromkeys([report.chosen, report.best_single, *scored]))[:4])


def _segment(report: Report, bands: pl.DataFrame) -> Chart:
    names = contenders(report)
    rows = bands.filter(pl.col("name").is_in(list(names))).sort("position")
    counts = [number_of(field, ",d") for field in ("n_pairs", "n_groups")]
    order = rows["band"].unique(maintain_order=True).to_list()
    chart = (
        alt.Chart(rows)
        .mark_circle(opacity=0.85)
        .encode(
            x=alt.X("value:Q", scale=alt.Scale(zero=False), title=report.metric.name),
            y=alt.Y("band:N", sort=order, title=None),
            color=color_of("name", names),
            size=alt.Size("n_groups:Q", scale=alt.Scale(range=[30, 170]), legend=None),
            tooltip=["name:N", "band:N", number_of("value"), *counts],
        )
    )
    return finish_chart(chart, len(order), {})  # the page has one legend for all segments


def _feature_charts(features: pl.DataFrame, importance: pl.DataFrame) -> dict[str, Chart]:
    """Draw the charts for which there are numbers; the frames are the report's, the most important feature first."""
    charts = {}
    if importance.height:
        charts["importance"] = _importance(features, importance)
    if features["score"].is_not_null().any():
        charts["single"] = _single(features)
    if features["psi"].is_not_null().any():
        charts["drift"] = _drift(features)
    if (features["null_train"] > 0).any() or (features["null_test"] > 0).any():
        charts["nulls"] = _nulls(features)
    return charts


def _importance(features: pl.DataFrame, importance: pl.DataFrame) -> Chart:
    models = colors_of(importance["model"].unique().sort().to_list())
    top = features.head(_N_TOP)["feature"].to_list()
    rows = importance.filter(pl.col("feature").is_in(top)).with_columns(pl.col("importance") / len(models))
    chart = (
        alt.Chart(rows)
        .mark_bar(cornerRadiusEnd=2)
        .encode(
            x=alt.X("sum(importance):Q", title="share of importance", axis=alt.Axis(format="%")),
            y=alt.Y("feature:N", sort=top, title=None),
            color=color_of("model", models),
            tooltip=["feature:N", "model:N", number_of("importance", ".2%")],
        )
    )
    return finish_chart(chart, len(top), models, step=20)


def _single(features: pl.DataFrame) -> Chart:
    rows = features.drop_nulls("score").sort("score", descending=True).head(_N_TOP)
    chart = (
        alt.Chart(rows.select("feature", "meaning", "score"))
        .mark_circle(size=80, color=BLUE, opacity=1)
        .encode(
            x=alt.X("score:Q", scale=alt.Scale(zero=False), title="metric of the feature alone"),
            y=alt.Y("feature:N", sort=rows["feature"].to_list(), title=None, axis=alt.Axis(grid=True)),
            tooltip=["feature:N", "meaning:N", number_of("score")],
        )
    )
    return finish_chart(chart, rows.height, {}, step=20)


def _drift(features: pl.DataFrame) -> Chart:
    rows = features.drop_nulls("psi").sort("psi", descending=True).head(_N_DRIFT)
    state = pl.when("drifts").then(pl.lit("drifts")).otherwise(pl.lit("stable"))
    bars = (
        alt.Chart(rows.select("feature", "meaning", "psi", state=state))
        .mark_bar(cornerRadiusEnd=2)
        .encode(
            x=alt.X("psi:Q", title="PSI, train to test"),
            y=alt.Y("feature:N", sort=rows["feature"].to_list(), title=None),
            color=color_of("state", _DRIFT),
            tooltip=["feature:N", "meaning:N", number_of("psi", ".3f")],
        )
    )
    return finish_chart(bars, rows.height, _DRIFT, step=20)


def _nulls(features: pl.DataFrame) -> Chart:
    """Null rates of the features whose rate changes most from train to test, then of those with the most nulls."""
    change = (pl.col("null_test") - pl.col("null_train")).abs().fill_null(0.0)
    most = pl.max_horizontal("null_train", "null_eval", "null_test")
    rows = (
        features.filter(most > 0).sort(change, most, "feature", descending=[True, True, False]).head(_N_DRIFT)
    )
    columns = [f"null_{window}" for window in _WINDOWS]
    long = rows.unpivot(columns, index="feature", variable_name="window", value_name="rate")
    chart = (
        alt.Chart(long.with_columns(pl.col("window").str.strip_prefix("null_")))
        .mark_point(size=75, strokeWidth=2, opacity=1)
        .encode(
            x=alt.X("rate:Q", title="share of null", axis=alt.Axis(format="%")),
            y=alt.Y("feature:N", sort=rows["feature"].to_list(), title=None, axis=alt.Axis(grid=True)),
            color=color_of("window", _WINDOWS),
            shape=alt.Shape("window:N", scale=alt.Scale(domain=list(_WINDOWS), range=_SHAPES), legend=None),
            tooltip=["feature:N", "window:N", number_of("rate", ".2%")],
        )
    )
    return finish_chart(chart, rows.height, _WINDOWS, step=20)
