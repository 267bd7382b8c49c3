"""What a docstring's first line says: the meaning, and behind it what stands for no value."""

from __future__ import annotations

import re

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
