"""Cards in the terminal. Names and docstrings are shown as text, never as markup."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from features._cards.card import SHARES, Card
from features._cards.words import card_facts, score_words, short_text, split_meaning, value_text

N_IN_FULL = 3
_BARS = " ▁▂▃▄▅▆▇█"
_QUANTILES = ("min", "25 %", "median", "75 %", "max")


def show_cards(cards: Sequence[Card], console: Console) -> None:
    """Print up to ``N_IN_FULL`` cards in full, more of them as one table."""
    if len(cards) > N_IN_FULL:
        console.print(overview(cards))
        return
    for card in cards:
        for part in _parts(card):
            if isinstance(part, Table) and part.title:
                console.print(part.title)  # by itself: a table's own title is broken at the table's width
                part.title = None
            console.print(part)


def overview(cards: Sequence[Card]) -> Table:
    """Lay several cards out as a table, a row a column."""
    table = _table(
        f"{len(cards)} columns, and the nearest of each", "alone", "PSI", "null", "seconds", "rank corr."
    )
    for card in cards:
        near = card.nearest[0] if card.nearest else None
        name = Text(card.column.name, style="bold" if card.column.is_model_input else "italic")
        table.add_row(
            Text.assemble(name, (f"\n  {near.name}" if near else "", "dim")),
            _number(card.score.value if card.score else None),
            _number(card.psi, ".3f"),
            _number(card.windows[-1].null_share, ".1%"),
            _number(card.seconds, ".2f"),
            f"\n{near.correlation:+.4f}" if near else "",
        )
    return table


def _parts(card: Card) -> Iterator[RenderableType]:
    yield Text(card.column.name, style="bold underline")
    yield Text(split_meaning(card.column.meaning)[0])
    facts = Table.grid(padding=(0, 2, 0, 0))
    for label, text in card_facts(card):
        facts.add_row(Text(label, style="dim"), Text(text))
    yield facts
    yield _windows(card)
    if card.distribution.labels:
        yield _bars(card)
    yield _scores(card)
    if card.nearest:
        yield _nearest(card)
    yield _examples(card)


def _windows(card: Card) -> Table:
    table = _table("Values by window (PSI: to the test window)", "pairs", "null", "mean", *_QUANTILES, "PSI")
    places = [list(SHARES).index(name) for name in _QUANTILES]
    for window in card.windows:
        quantiles = [short_text(window.quantiles[p]) if window.quantiles else "–" for p in places]
        mean = "–" if window.mean is None else short_text(window.mean)
        table.add_row(
            Text(window.title),
            f"{window.n_pairs:,}",
            _number(window.null_share, ".1%"),
            mean,
            *(Text(text) for text in quantiles),
            _number(window.psi, ".3f"),
        )
    return table


def _bars(card: Card) -> Table:
    labels = card.distribution.labels
    table = _table(f"Distribution: {labels[0]} ... {labels[-1]}", "", "most in")
    table.columns[1].justify = "left"
    for window in card.windows:
        shares = card.distribution.of(window.title)
        top = max(shares, default=0.0)
        bars = "".join(_BARS[round(share / top * (len(_BARS) - 1))] if top else " " for share in shares)
        most = f"{labels[shares.index(top)]} ({top:.1%})" if top else "–"
        table.add_row(Text(window.title), Text(bars), Text(most))
    return table


def _scores(card: Card) -> RenderableType:
    if not card.fold_scores:
        return Text(score_words(card), style="dim")
    table = _table(f"Alone: {score_words(card)}", *card.fold_scores)
    table.add_row("by fold", *(_number(value) for value in card.fold_scores.values()))
    return table


def _nearest(card: Card) -> Table:
    lacking = f", {card.n_not_stored} are not in the store" if card.n_not_stored else ""
    table = _table(f"Nearest of {card.n_compared} stored columns by rank correlation{lacking}", "")
    for near in card.nearest:
        table.add_row(Text(near.name), f"{near.correlation:+.4f}")
    return table


def _examples(card: Card) -> Table:
    table = _table("Pairs of the last fold's eval window", *card.examples.columns[1:])
    table.columns[0].header = card.examples.columns[0]
    for row in card.examples.iter_rows():
        table.add_row(*(Text(str(cell) if isinstance(cell, int) else value_text(cell)) for cell in row))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=Text(title, style="bold"),
        title_justify="left",
        header_style="dim",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("", overflow="fold", min_width=7)
    for column in columns:
        table.add_column(Text(column), justify="right", no_wrap=True)
    return table


def _number(value: float | None, text_format: str = ".4f") -> str:
    return "–" if value is None else format(value, text_format)
