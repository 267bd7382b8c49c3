"""What the shipped features take columns of these names for. One that is of another kind makes them not available."""

from __future__ import annotations

from collections.abc import Mapping

from features._declare import Needed

_KINDS: Mapping[str, Needed] = {
    **dict.fromkeys(("user_id", "item_id", "source_id", "main_genre"), "id"),
    **dict.fromkeys(("like", "dislike", "share", "bookmarks"), "flag"),
    **dict.fromkeys(("timespent", "duration", "rating", "relevance"), "number"),
    "timestamp": "instant",
    "genres": "enums",
    "content": "vector",
}


def usual(*names: str) -> Mapping[str, Needed]:
    """Name columns that a feature needs, each with what it is taken for: a flag, a number, an id, ..."""
    return {name: _KINDS[name] for name in names}
