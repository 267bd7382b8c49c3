"""Charts of the CV report. Colours of text, grid and background come from the page, light or dark."""

from __future__ import annotations

import altair as alt
import polars as pl

from validation._report.chart import (
    BLUE,
    GREEN,
    GREY,
    ONE_ROW,
    ORANGE,
    RED,
    Chart,
    Colors,
    color_of,
    colors_of,
    finish_chart,
    number_of,
)
from validation._report.charts_features import feature_charts
from validation._report.report import Report
from validation._report.segments import CHARTED

_ROLES = {"chosen": BLUE, "best single": ORANGE, "other": GREY}
_VERDICTS = {"better": GREEN, "no clear difference": GREY, "worse": RED}


def report_charts(report: Report) -> dict[str, Chart]:
    """Draw every chart for which there are numbers, by the name of its place on the page."""
    charts = {"scores": _scores(report)} if report.scores["mean"].is_not_null().any() else {}
    if report.scores["difference"].is_not_null().any():
        charts["differences"] = _differences(report)
    for number, title in enumerate(CHARTED):
        part = report.segments.filter((pl.col("segment") == title) & pl.col("value").is_not_null())
        if part.height:
            charts[f"segment-{number}"] = _segment(report, part)
    return charts | feature_charts(report.features, report.importance)


def _scores(report: Report) -> Chart:
    role = (
        pl.when("is_chosen")
        .then(pl.lit("chosen"))
        .when("is_best_single")
        .then(pl.lit("best single"))
        .otherwise(pl.lit("other"))
    )
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
    tooltip: list[str | alt.Tooltip] = [
        "name:N",
        number_of("difference", "+.4f"),
        number_of("low", "+.4f"),
        number_of("high", "+.4f"),
        "verdict:N",
    ]
    base = alt.Chart(rows).encode(y=y, color=color, tooltip=tooltip)
    zero = alt.Chart(ONE_ROW).mark_rule(strokeDash=[4, 4]).encode(x=alt.datum(0))
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


def _segment(report: Report, part: pl.DataFrame) -> Chart:
    names = contenders(report)
    rows = part.filter(pl.col("name").is_in(list(names))).sort("position")
    bands = rows["band"].unique(maintain_order=True).to_list()
    chart = (
        alt.Chart(rows)
        .mark_circle(opacity=0.85)
        .encode(
            x=alt.X("value:Q", scale=alt.Scale(zero=False), title=report.metric.name),
            y=alt.Y("band:N", sort=bands, title=None),
            color=color_of("name", names),
            size=alt.Size("n_groups:Q", scale=alt.Scale(range=[30, 170]), legend=None),
            tooltip=[
                "name:N",
                "band:N",
                number_of("value"),
                number_of("n_pairs", ",d"),
                number_of("n_groups", ",d"),
            ],
        )
    )
    return finish_chart(chart, len(bands), {})  # the page has one legend for all segments
