"""Cards as one offline HTML file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import altair as alt
import polars as pl

from features._cards.card import SHARES, Card, Distribution
from features._cards.words import (
    card_facts,
    more_of_docstring,
    score_words,
    short_text,
    split_meaning,
    value_text,
)
from validation import Chart, color_of, colors_of, finish_chart, number_of, render_page

N_IN_FULL = 40  # cards with charts and tables; a browser draws so many in a few seconds
ROLES = colors_of(["train", "eval", "test"])
_HEIGHT = 9  # rows of the chart of a distribution over numbers


def cards_html(name: str, competition: str, cards: Sequence[Card]) -> str:
    """Lay cards out as a page that needs no network: an overview, then each column by itself."""
    full = cards[:N_IN_FULL]
    charts = {
        f"spread-{number}": spread_chart(card.distribution)
        for number, card in enumerate(full)
        if card.distribution.labels
    }
    values: dict[str, object] = {
        "name": name,
        "competition": competition,
        "cards": cards,
        "full": [_shown(card) for card in full],
        "folds": list(dict.fromkeys(fold for card in cards for fold in card.fold_scores)),
        "quantiles": list(SHARES),
    }
    return render_page(Path(__file__).parent / "card.html.jinja", charts, values)


def _shown(card: Card) -> dict[str, object]:
    return {
        "card": card,
        "meaning": split_meaning(card.column.meaning)[0],
        "more": more_of_docstring(card),
        "facts": card_facts(card),
        "score": score_words(card),
        "quantiles": [[_cell(short_text(value)) for value in window.quantiles] for window in card.windows],
        "examples": [
            [_cell(str(cell) if isinstance(cell, int) else value_text(cell)) for cell in row]
            for row in card.examples.iter_rows()
        ],
    }


def _cell(text: str) -> str:
    """Write a true minus sign before a number, as the page's other numbers have it."""
    return f"−{text[1:]}" if re.match(r"-\d", text) else text


def spread_chart(spread: Distribution) -> Chart:
    """Draw the shares of the bins: a line a window over numbers, points where each bin is a value."""
    role = pl.col("window").replace_strict(_role_of(spread), return_dtype=pl.String)
    names = pl.DataFrame({"bin": range(len(spread.labels)), "label": spread.labels})
    rows = spread.shares.join(names, on="bin", how="left", validate="m:1", maintain_order="left")
    rows = rows.with_columns(role=role)
    tooltip: list[str | alt.Tooltip] = ["window:N", "label:N", number_of("share", ".1%")]
    if not spread.centres:
        return _points(rows, spread.labels, tooltip)
    middles = pl.DataFrame({"bin": range(len(spread.centres)), "value": spread.centres})
    numbers = rows.join(middles, on="bin", how="left", validate="m:1", maintain_order="left")
    chart = (
        alt.Chart(numbers)
        .mark_line(point=alt.OverlayMarkDef(size=22), strokeWidth=1.6, opacity=0.8)
        .encode(
            x=alt.X("value:Q", title="value", scale=alt.Scale(zero=False, nice=False)),
            y=alt.Y("share:Q", title=None, axis=alt.Axis(format="%", grid=True)),
            color=color_of("role", ROLES),
            detail="window:N",
            tooltip=tooltip,
        )
    )
    return finish_chart(chart, _HEIGHT, ROLES)


def _points(rows: pl.DataFrame, labels: Sequence[str], tooltip: list[str | alt.Tooltip]) -> Chart:
    chart = (
        alt.Chart(rows)
        .mark_point(size=60, strokeWidth=2, opacity=0.8)
        .encode(
            x=alt.X("share:Q", title="share of the pairs with a value", axis=alt.Axis(format="%")),
            y=alt.Y("label:N", sort=list(labels), title=None, axis=alt.Axis(grid=True)),
            color=color_of("role", ROLES),
            tooltip=tooltip,
        )
    )
    return finish_chart(chart, len(labels), ROLES, step=20)


def _role_of(spread: Distribution) -> dict[str, str]:
    titles = spread.shares["window"].unique().to_list()
    return {t: t if t == "test" else "train" if t.startswith("train") else "eval" for t in titles}
