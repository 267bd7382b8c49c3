"""What is said of a feature, once: facts, tables and sentences as text, for the terminal and the page to lay out."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import isnan
from typing import Any

import polars as pl

from features._cards.card import SHARES, Card, Distribution
from features._catalogue import AggregateBody, dtype_name
from features._compute import Drift
from features._declare import Scope

UNKNOWN = "–"
_RULE = re.compile(r"\bnull\b|\b0 if\b|\bnever null\b|\bno value\b", re.IGNORECASE)


@dataclass(frozen=True)
class Grid:
    """A table of text; the first text of a row is its name. Without rows its title says it all."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class CardFacts:
    """A card as text.

    Attributes
    ----------
    meaning, more
        First line of the docstring without what stands for null; what the docstring says after it.
    facts
        Label and text of each.
    alone
        The score of the column alone, as the title; by fold, where it has one.
    """

    name: str
    meaning: str
    more: str
    facts: tuple[tuple[str, str], ...]
    windows: Grid
    distribution: Distribution
    alone: Grid
    nearest: Grid
    examples: Grid


def card_facts(card: Card) -> CardFacts:
    """Say everything that a card says."""
    column = card.column
    return CardFacts(
        name=column.name,
        meaning=split_meaning(column.meaning)[0],
        more=(inspect.getdoc(column.declaration.body) or "").partition("\n")[2].strip(),
        facts=tuple(_facts(card)),
        windows=_windows(card),
        distribution=card.distribution,
        alone=_alone(card),
        nearest=_nearest(card),
        examples=_examples(card),
    )


def overview(cards: Sequence[Card]) -> Grid:
    """Say of several columns what they are worth, a row a column; the last text names the nearest one."""
    note = (
        "Alone is the competition's metric with the column as the score, over all folds in the better direction. "
        "PSI compares the train windows of the final fold with the test window. Seconds are those of all windows."
    )
    rows = []
    for card in cards:
        near = card.nearest[0] if card.nearest else None
        numbers = (
            number(card.score.value if card.score else None),
            number(card.drift.psi, ".3f"),
            number(card.drift.null_test, ".1%"),
            number(card.seconds, ".3f"),
            number(near.correlation if near else None, "+.4f"),
        )
        rows.append((card.column.name, *numbers, near.name if near else UNKNOWN))
    heads = ("column", "alone", "PSI", "null in test", "seconds", "rank corr.", "with")
    return Grid(f"{len(cards)} columns, and the nearest of each", heads, tuple(rows), note)


def _facts(card: Card) -> list[tuple[str, str]]:
    """List what the column is: label and text."""
    column = card.column
    facts = [
        ("Written in", f"features/{column.declaration.place}"),
        ("Kind", f"@{column.kind}" + ("" if column.is_model_input else ", not offered to models")),
    ]
    if isinstance(column.body, AggregateBody):
        facts += [
            ("Key", " x ".join(column.key) or "everything"),
            ("Lookback", column.lookback.text or "all of the history"),
        ]
    others = other_pairs(column.scope)
    made = (
        "not known" if card.seconds is None else f"{card.seconds:.3f} s in all windows, when it was last made"
    )
    facts += [
        ("Dtype", dtype_name(column.dtype)),
        ("Looks at", f"the pair and {others} (transductive)" if others else "the pair alone"),
        *([("Shows", " and ".join(column.uses))] if column.uses else []),
        ("Reads", ", ".join([*column.columns, *column.reads]) or "nothing"),
        ("Read by", ", ".join(card.read_by) or "no other feature"),
        ("Null", split_meaning(column.meaning)[1] or "not told"),
        *([] if column.fill is None else [("Filled with", str(column.fill))]),
        ("Drift", _drift_words(card.drift)),
        ("Cost", made),
    ]
    return facts


def other_pairs(scope: Scope) -> str:
    """Say which other pairs a value may depend on; empty if on none."""
    return "" if scope == "row" else f"the {scope}'s other pairs"


def _windows(card: Card) -> Grid:
    rows = []
    for window in card.windows:
        counts = (f"{window.n_pairs:,}", number(window.null_share, ".1%"), number(window.n_distinct, ",d"))
        quantiles = [short_text(value) for value in window.quantiles] or [UNKNOWN] * len(SHARES)
        moments = (number(window.mean, ".3g"), number(window.std, ".3g"))
        rows.append((window.title, *counts, *moments, *quantiles))
    heads = ("window", "pairs", "null", "distinct", "mean", "±", *SHARES)
    note = ", ".join(f"{window.title} is {window.name}" for window in card.windows)
    return Grid("Values by window", heads, tuple(rows), f"Names: {note}.")


def _drift_words(drift: Drift) -> str:
    """Say how far a column moves, and whether that is more than chance."""
    verdicts = [
        *([f"drifts: {drift.moves}"] if drift.moves else []),
        *([f"null rate changes: {drift.nulls}"] if drift.nulls else []),
    ]
    nulls = f"null {number(drift.null_train, '.1%')} in train, {number(drift.null_test, '.1%')} in test"
    return "; ".join(verdicts) or f"no more than by chance: PSI {number(drift.psi, '.3f')}, {nulls}"


def _alone(card: Card) -> Grid:
    scores = [number(value) for value in card.fold_scores.values()]
    rows = (("score", *scores),) if scores else ()
    return Grid(f"Alone: {_score_words(card)}", ("fold", *card.fold_scores), rows)


def _score_words(card: Card) -> str:
    if card.score is None:
        return "no score of its own, since it has no order, or the metric needs predictions."
    chance = "" if card.chance is None else f"; a constant gets {card.chance:.4f}"
    toward = "" if card.score.value == card.chance else f" with {card.score.direction} values first"
    return f"{card.score.value:.4f} over all folds{toward}{chance}."


def _nearest(card: Card) -> Grid:
    lacking = f", {card.n_not_stored:,} are not in the store" if card.n_not_stored else ""
    title = (
        f"Nearest of {card.n_compared:,} stored columns by rank correlation in the last eval window{lacking}"
    )
    return Grid(
        title,
        ("column", "rank corr."),
        tuple((near.name, number(near.correlation, "+.4f")) for near in card.nearest),
    )


def _examples(card: Card) -> Grid:
    rows = (
        tuple(str(value) if isinstance(value, int) else value_text(value) for value in row)
        for row in card.examples.iter_rows()
    )
    return Grid("Pairs of the last fold's eval window", tuple(card.examples.columns), tuple(rows))


def split_meaning(text: str) -> tuple[str, str]:
    """Split a first line at the first ``;`` behind which null is spoken of; the rule is empty if there is none.

    >>> split_meaning("Smoothed share of likes, pulled to that of all; null only without any history.")
    ('Smoothed share of likes, pulled to that of all.', 'null only without any history')
    >>> split_meaning("Hour of the day.")
    ('Hour of the day.', '')
    """
    parts = text.split("; ")
    for at in range(1, len(parts)):
        if _RULE.search(parts[at]):
            return f"{'; '.join(parts[:at])}.", "; ".join(parts[at:]).rstrip(".")
    return text, ""


def number(value: float | None, text_format: str = ".4f") -> str:
    """Write a number; what is not known as a dash."""
    return UNKNOWN if value is None or isnan(value) else format(value, text_format)


def value_text(value: object) -> str:
    """Write a value shortly.

    >>> value_text(0.123456), value_text(None), value_text([1.0, 2.5, 3.0, 4.0, 5.0]), value_text(1234)
    ('0.1235', 'null', '[1, 2.5, 3, ...] (5 values)', '1,234')
    """
    match value:
        case None:
            return "null"
        case bool() | str() | date() | timedelta():
            return str(value)
        case int():
            return f"{value:,}"
        case float():
            return "null" if isnan(value) else f"{value:.4g}"
        case pl.Series() | Sequence():
            return _list_text(list(value))
        case _:
            return str(value)


def short_text(value: object) -> str:
    """Write a value in a few characters: a window has many of them on a line."""
    return f"{value:.3g}" if isinstance(value, float) else value_text(value)


def _list_text(values: list[Any]) -> str:
    start = ", ".join(value_text(value) for value in values[:3])
    return f"[{start}{', ...' if len(values) > 3 else ''}] ({len(values)} values)"
