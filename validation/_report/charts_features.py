"""Charts of the features: importance, single-feature scores, drift, missing values."""

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
    color_of,
    colors_of,
    finish_chart,
    number_of,
)
from validation._report.features import DRIFT_LIMIT

_DRIFT = {"drifts": RED, "stable": GREY}
_PARTS = {"train": BLUE, "eval": ORANGE, "test": GREEN}
_SHAPES = [
    "circle",
    "cross",
    "triangle-up",
]  # train and eval often lie on each other: hollow shapes show both
_N_TOP, _N_DRIFT = 30, 15


def feature_charts(features: pl.DataFrame, importance: pl.DataFrame) -> dict[str, Chart]:
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
    state = pl.when("is_drifting").then(pl.lit("drifts")).otherwise(pl.lit("stable"))
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
    limit = alt.Chart(ONE_ROW).mark_rule(strokeDash=[4, 4]).encode(x=alt.datum(DRIFT_LIMIT))
    return finish_chart(alt.layer(bars, limit), rows.height, _DRIFT, step=20)


def _nulls(features: pl.DataFrame) -> Chart:
    """Null rates of the features whose rate changes most from train to test, then of those with the most nulls."""
    change = (pl.col("null_test") - pl.col("null_train")).abs().fill_null(0.0)
    most = pl.max_horizontal("null_train", "null_eval", "null_test")
    rows = (
        features.filter(most > 0).sort(change, most, "feature", descending=[True, True, False]).head(_N_DRIFT)
    )
    columns = [f"null_{part}" for part in _PARTS]
    long = rows.unpivot(columns, index="feature", variable_name="part", value_name="rate")
    chart = (
        alt.Chart(long.with_columns(pl.col("part").str.strip_prefix("null_")))
        .mark_point(size=75, strokeWidth=2, opacity=1)
        .encode(
            x=alt.X("rate:Q", title="share of null", axis=alt.Axis(format="%")),
            y=alt.Y("feature:N", sort=rows["feature"].to_list(), title=None, axis=alt.Axis(grid=True)),
            color=color_of("part", _PARTS),
            shape=alt.Shape("part:N", scale=alt.Scale(domain=list(_PARTS), range=_SHAPES), legend=None),
            tooltip=["feature:N", "part:N", number_of("rate", ".2%")],
        )
    )
    return finish_chart(chart, rows.height, _PARTS, step=20)
