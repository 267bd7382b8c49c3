"""A comparison of starts laid out: as a table in the terminal, and as an offline page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from rich.table import Table
from rich.text import Text

from models._starting.compared import Comparison, Standing
from validation import Chart, finish_chart, number_of, number_text, render_page

if TYPE_CHECKING:
    import altair as alt

BLUE, ORANGE = "#3b7dd8", "#c2700f"


def comparison_table(found: Comparison) -> Table:
    """One line a start: mean and spread over seeds, and how far it is ahead of the first."""
    table = Table(
        title=Text(f"{found.model}, {found.metric.name}, {len(found.seeds)} seeds (95 % intervals)")
    )
    first = found.standings[0].start
    for heading in (
        "start",
        "mean over seeds",
        "spread",
        f"less {first}, over users",
        "epochs",
        "started",
        "fit s",
    ):
        table.add_column(Text(heading), justify="left" if heading == "start" else "right")
    for row in found.standings:
        table.add_row(
            Text(row.start),
            _with_interval(row.mean, row.mean_low, row.mean_high),
            _with_interval(row.spread, row.spread_low, row.spread_high),
            _difference(row),
            f"{row.epochs:.1f}",
            f"{row.users_started:.0%} / {row.items_started:.0%}",
            f"{row.seconds:.1f}",
        )
    return table


def comparison_html(found: Comparison) -> str:
    """Lay the comparison out as a page that needs no network."""
    values = {"found": found, "first": found.standings[0].start, "rows": found.standings}
    charts = {"means": _means(found)}
    if len(found.standings) > 1:
        charts["differences"] = _differences(found)
    return render_page(Path(__file__).parent / "starts.html.jinja", charts, values)


def _with_interval(value: float | None, low: float | None, high: float | None) -> str:
    ends = "" if low is None else f" [{number_text(low)}, {number_text(high)}]"
    return number_text(value) + ends


def _difference(row: Standing) -> str:
    if row.ahead is None:
        return ""
    mean, low, high = (number_text(x, "+.4f") for x in (row.ahead.mean, row.ahead.low, row.ahead.high))
    return f"{mean} [{low}, {high}]"


def _means(found: Comparison) -> Chart:
    import altair as alt

    names = [row.start for row in found.standings]
    dots = pl.DataFrame(
        [
            {"start": row.start, "seed": seed, "value": value}
            for row in found.standings
            for seed, value in zip(found.seeds, row.values, strict=True)
        ]
    )
    means = pl.DataFrame([{"start": row.start, "value": row.mean} for row in found.standings])
    y = alt.Y("start:N", sort=names, title=None)
    x = alt.X("value:Q", scale=alt.Scale(zero=False, nice=True), title=found.metric.name)
    chart = alt.layer(
        alt.Chart(dots)
        .mark_circle(size=70, opacity=0.55, color=BLUE)
        .encode(x=x, y=y, tooltip=["start:N", "seed:N", number_of("value")]),
        alt.Chart(means)
        .mark_tick(thickness=3, size=18, color=ORANGE)
        .encode(x=alt.X("value:Q"), y=y, tooltip=["start:N", number_of("value")]),
    )
    return finish_chart(chart, len(names), {})


def _differences(found: Comparison) -> Chart:
    import altair as alt

    rows = pl.DataFrame(
        [
            {"start": row.start, "difference": row.ahead.mean, "low": row.ahead.low, "high": row.ahead.high}
            for row in found.standings
            if row.ahead is not None
        ]
    )
    y = alt.Y("start:N", sort=rows["start"].to_list(), title=None)
    tooltip: list[str | alt.Tooltip] = [
        "start:N",
        *(number_of(n, "+.4f") for n in ("difference", "low", "high")),
    ]
    base = alt.Chart(rows).encode(y=y, tooltip=tooltip)
    zero = alt.Chart(alt.InlineData(values=[{}])).mark_rule(strokeDash=[4, 4]).encode(x=alt.datum(0))
    chart = alt.layer(
        zero,
        base.mark_rule(strokeWidth=3, color=BLUE).encode(x=alt.X("low:Q", title="difference"), x2="high:Q"),
        base.mark_circle(size=90, opacity=1, color=BLUE).encode(x="difference:Q"),
    )
    return finish_chart(chart, rows.height, {})
