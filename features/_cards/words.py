"""Facts of a card in words, and values as short text: for the terminal and the page alike."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from datetime import date, timedelta
from math import isnan
from typing import Any

import polars as pl

from features._cards.card import Card
from features._catalogue import AggregateBody, dtype_name

_RULE = re.compile(r"\bnull\b|\b0 if\b|\bnever null\b|\bno value\b", re.IGNORECASE)


def split_meaning(text: str) -> tuple[str, str]:
    """Split a first line at the first ``;`` behind which null is spoken of; the rule is empty if there is none.

    >>> split_meaning("Smoothed share of likes, pulled to that of all; null only without any history.")
    ('Smoothed share of likes, pulled to that of all.', 'null only without any history')
    >>> split_meaning("Hour of the day.")
    ('Hour of the day.', '')
    """
    parts = text.split("; ")
    for number in range(1, len(parts)):
        if _RULE.search(parts[number]):
            return f"{'; '.join(parts[:number])}.", "; ".join(parts[number:]).rstrip(".")
    return text, ""


_SCOPES = {
    "row": "the pair alone",
    "user": "the pair and the user's other pairs in the window (transductive)",
    "window": "all pairs of the window (transductive)",
}


def card_facts(card: Card) -> list[tuple[str, str]]:
    """List what the column is: label and text."""
    column = card.column
    rule = split_meaning(column.meaning)[1]
    facts = [
        ("Written in", f"features/{column.declaration.place}"),
        ("Kind", f"@{column.kind}" + ("" if column.is_model_input else ", not offered to models")),
        ("Dtype", dtype_name(column.dtype)),
        ("Looks at", _SCOPES[column.scope]),
        ("Reads", ", ".join([*column.columns, *column.reads]) or "nothing"),
        ("Read by", ", ".join(card.read_by) or "no other feature"),
        ("Null", rule or "not told"),
    ]
    if isinstance(column.body, AggregateBody):
        facts[2:2] = [
            ("Key", " x ".join(column.key) or "everything"),
            ("Lookback", column.lookback.text or "all of the history"),
        ]
    if column.fill is not None:
        facts.append(("Filled with", str(column.fill)))
    cost = (
        "not known" if card.seconds is None else f"{card.seconds:.3f} s in all windows, when it was last made"
    )
    return [*facts, ("Cost", cost)]


def score_words(card: Card) -> str:
    """Say what the column alone is worth, in a sentence."""
    if card.score is None:
        return "No score of its own: it has no order, or the metric needs predictions."
    chance = "" if card.chance is None else f"; a constant gets {card.chance:.4f}"
    toward = "" if card.score.value == card.chance else f" with {card.score.direction} values first"
    return f"{card.score.value:.4f} over all folds{toward}{chance}."


def more_of_docstring(card: Card) -> str:
    """What the docstring says after its first line."""
    return (inspect.getdoc(card.column.declaration.body) or "").partition("\n")[2].strip()


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
