"""Cards laid out: in the terminal, where names are text and never markup, and as one offline HTML file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from competitions import Dataset
from engine import Settings, Store, out, write_atomically
from features._cards.card import Card, Distribution, card_columns, card_file_name, make_cards
from features._cards.facts import UNKNOWN, card_facts, overview
from features._catalogue import Catalogue
from validation import Chart, color_of, colors_of, finish_chart, number_of, plan_folds, render_page

if TYPE_CHECKING:
    import altair as alt

N_IN_TERMINAL = 3  # cards in full; more of them are one table
N_ON_PAGE = 40  # cards with charts and tables; a browser draws so many in a few seconds
ROLES = colors_of(["train", "eval", "test"])
_BARS = " ▁▂▃▄▅▆▇█"
_TOO_WIDE = ("distinct", "±", "5 %", "95 %")  # for a terminal
_HEIGHT = 9  # rows of the chart of a distribution over numbers


def show_card(dataset: Dataset, catalogue: Catalogue, name: str, settings: Settings) -> None:
    """Compute, print and write the cards that a name stands for."""
    folds = plan_folds(dataset, settings.folds)
    cards = make_cards(catalogue, folds, card_columns(catalogue, name), Store(settings.store), settings)
    show_cards(cards, out)
    path = settings.reports / dataset.competition.name / card_file_name(name)
    write_atomically(path, cards_html(name, dataset.competition.title, cards))
    out.print(Text(f"Card: {path}"))


def show_cards(cards: Sequence[Card], console: Console) -> None:
    """Print up to ``N_IN_TERMINAL`` cards in full, more of them as one table."""
    shown = _overview(cards) if len(cards) > N_IN_TERMINAL else chain.from_iterable(map(_in_full, cards))
    for renderable in shown:
        console.print(renderable)


def _overview(cards: Sequence[Card]) -> Iterator[RenderableType]:
    """Lay several cards out as a table, the nearest of each below its name: beside it would be too wide."""
    grid = overview(cards)
    rows: list[tuple[str | Text, ...]] = []
    for card, (name, *numbers, correlation, near) in zip(cards, grid.rows, strict=True):
        style = "bold" if card.column.is_model_input else "italic"
        rows.append((Text.assemble((name, style), (f"\n  {near}", "dim")), *numbers, f"\n{correlation}"))
    return _laid_out(grid.title, grid.heads[:-1], rows)


def _in_full(card: Card) -> Iterator[RenderableType]:
    said = card_facts(card)
    yield Text(said.name, style="bold underline")
    yield Text(said.meaning)
    facts = Table.grid(padding=(0, 2, 0, 0))
    for label, text in said.facts:
        facts.add_row(Text(label, style="dim"), Text(text))
    yield facts
    heads = said.windows.heads
    places = [at for at, head in enumerate(heads) if head not in _TOO_WIDE]
    rows = [[row[at] for at in places] for row in said.windows.rows]
    yield from _laid_out(said.windows.title, [heads[at] for at in places], rows)
    if labels := card.distribution.labels:
        bars = [(window.title, *_bars(labels, card.distribution.of(window.title))) for window in card.windows]
        yield from _laid_out(f"Distribution: {labels[0]} ... {labels[-1]}", ("window", "", "most in"), bars)
    for grid in (said.alone, said.nearest, said.examples):
        if grid.rows or grid is said.alone:
            yield from _laid_out(grid.title, grid.heads, grid.rows)


def _bars(labels: Sequence[str], shares: Sequence[float]) -> tuple[str, str]:
    top = max(shares, default=0.0)
    if not top:
        return " " * len(shares), UNKNOWN
    bars = "".join(_BARS[round(share / top * (len(_BARS) - 1))] for share in shares)
    return bars, f"{labels[shares.index(top)]} ({top:.1%})"


def _laid_out(
    title: str, heads: Sequence[str], rows: Iterable[Sequence[str | Text]]
) -> Iterator[RenderableType]:
    """Lay a table out below its title; the title alone without rows."""
    yield Text(title, style="bold")  # by itself: a table's own title is broken at the table's width
    table = Table(header_style="dim", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(Text(heads[0]), overflow="fold", min_width=7)
    for head in heads[1:]:
        table.add_column(Text(head), justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    if table.row_count:
        yield table


def cards_html(name: str, competition: str, cards: Sequence[Card]) -> str:
    """Lay cards out as a page that needs no network: an overview, then each column by itself."""
    full = cards[:N_ON_PAGE]
    charts = {
        f"spread-{at}": _spread_chart(card.distribution)
        for at, card in enumerate(full)
        if card.distribution.labels
    }
    values: dict[str, object] = {
        "name": name,
        "competition": competition,
        "overview": overview(cards),
        "meanings": [card.column.meaning for card in cards],
        "cards": [card_facts(card) for card in full],
        "cell": _cell,
    }
    return render_page(Path(__file__).parent / "templates" / "card.html.jinja", charts, values)


def _cell(text: str) -> dict[str, str | None]:
    """A text as the page has it: numbers with a true minus sign, to the right, and sorted by their magnitude."""
    number = re.fullmatch(r"([+-]?)([\d,]*\.?\d+(?:e[+-]\d+)?)(%?)", text)
    if number:
        sign, digits, percent = number.groups()
        shown = f"{sign.replace('-', '−')}{digits}{percent}"
        return {"text": shown, "value": digits.replace(",", ""), "style": ""}
    if text == UNKNOWN:
        return {"text": text, "value": "", "style": ""}
    return {"text": text, "value": None, "style": "left wrap"}


def _spread_chart(spread: Distribution) -> Chart:
    """Draw the shares of the bins: a line a window over numbers, points where each bin is a value."""
    import altair as alt

    titles = spread.shares["window"].unique().to_list()
    role_of = {t: t if t == "test" else "train" if t.startswith("train") else "eval" for t in titles}
    names = pl.DataFrame({"bin": range(len(spread.labels)), "label": spread.labels})
    rows = spread.shares.join(names, on="bin", how="left", validate="m:1", maintain_order="left")
    rows = rows.with_columns(role=pl.col("window").replace_strict(role_of, return_dtype=pl.String))
    tooltip: list[str | alt.Tooltip] = ["window:N", "label:N", number_of("share", ".1%")]
    if not spread.centres:
        points = alt.Chart(rows).mark_point(size=60, strokeWidth=2, opacity=0.8)
        chart = points.encode(
            x=alt.X("share:Q", title="share of the pairs with a value", axis=alt.Axis(format="%")),
            y=alt.Y("label:N", sort=list(spread.labels), title=None, axis=alt.Axis(grid=True)),
            color=color_of("role", ROLES),
            tooltip=tooltip,
        )
        return finish_chart(chart, len(spread.labels), ROLES, step=20)
    middles = pl.DataFrame({"bin": range(len(spread.centres)), "value": spread.centres})
    numbers = rows.join(middles, on="bin", how="left", validate="m:1", maintain_order="left")
    lines = alt.Chart(numbers).mark_line(point=alt.OverlayMarkDef(size=22), strokeWidth=1.6, opacity=0.8)
    chart = lines.encode(
        x=alt.X("value:Q", title="value", scale=alt.Scale(zero=False, nice=False)),
        y=alt.Y("share:Q", title=None, axis=alt.Axis(format="%", grid=True)),
        color=color_of("role", ROLES),
        detail="window:N",
        tooltip=tooltip,
    )
    return finish_chart(chart, _HEIGHT, ROLES)
