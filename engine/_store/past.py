"""What was made last under a name, and what differs from it now."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine._store.recipe import Json, Recipe, as_plain, digest_json

_SHORT = 24  # longer texts are digests and lists: their values say nothing to a reader


@dataclass(frozen=True)
class Past:
    """The last artifact of a (kind, name): its key, its parts and what it cost in seconds."""

    key: str
    parts: Mapping[str, Any]
    seconds: float


def past_file(root: Path, kind: str, name: str) -> Path:
    """Where the past of a name lies."""
    return root / "names" / kind / f"{digest_json(name)}.json"


def past_text(recipe: Recipe, seconds: float) -> str:
    """The file's content."""
    facts = {"name": recipe.name, "key": recipe.key, "seconds": seconds, "parts": as_plain(recipe.parts)}
    return json.dumps(facts)


def read_past(root: Path, kind: str, name: str) -> Past | None:
    """The last artifact made under the name; None if there was none or its file is unreadable.

    The past only explains and estimates; an unreadable file costs an explanation, never a result.
    """
    try:
        facts = json.loads(past_file(root, kind, name).read_text(encoding="utf-8"))
        return Past(facts["key"], facts["parts"], float(facts["seconds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def explain_change(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say what differs between two recipes' parts.

    >>> explain_change({"code": "a", "upstream": {"x": "1"}}, {"code": "a", "upstream": {"x": "2"}})
    'upstream x changed'
    >>> explain_change({"depth": 6}, {"depth": 8, "loss": "RMSE"})
    'depth changed from 6 to 8, loss is new'
    """
    return ", ".join(_changes(before, as_plain(now), ())) or "nothing changed"


def _changes(before: Json, now: Json, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in [*before, *(k for k in now if k not in before)]:
            place = (*path, key)
            if key not in now:
                yield f"{' '.join(place)} is gone"
            elif key not in before:
                yield f"{' '.join(place)} is new"
            else:
                yield from _changes(before[key], now[key], place)
    elif before != now:
        yield f"{' '.join(path)} changed{_values(path, before, now)}"


def _values(path: tuple[str, ...], before: Json, now: Json) -> str:
    """The two values, where a reader can make sense of them."""
    is_digest = any(step in ("code", "upstream", "data") for step in path)
    if is_digest or any(isinstance(v, Mapping | list) or len(str(v)) > _SHORT for v in (before, now)):
        return ""
    return f" from {before} to {now}"
