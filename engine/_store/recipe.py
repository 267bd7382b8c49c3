"""What an artifact is made from, the key that follows from it, and what differs between two recipes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.metadata import version
from typing import Any, TypeAlias, Union

from blake3 import blake3

from engine._errors import StoreError

Json: TypeAlias = Union[bool, int, float, str, Sequence["Json"], Mapping[str, "Json"], None]  # noqa: UP007 (a name in quotes takes no |)

N_HEX = 32  # 128 bits: no two of 10^12 artifacts meet by chance

_PLAIN = {str, bool, int, type(None)}  # these very types, as nearly all values have: a look is enough
_SHORT = 24  # longer texts are digests and lists: their values say nothing to a reader
_LIBRARIES = ("catboost", "gensim", "implicit", "numpy", "polars", "scikit-learn", "scipy", "torch")


@dataclass(frozen=True)
class Recipe:
    """Everything that an artifact is made from.

    Attributes
    ----------
    kind
        Folder in the store: ``"data"``, ``"feature"``, ``"fit"``...
    name
        What it is in words, stable across edits: the store explains a recomputation by comparing the parts with
        those of the last artifact of the same kind and name.
    parts
        Code digests, keys of upstream artifacts, fingerprints, parameters, library versions. JSON-able.
    """

    kind: str
    name: str
    parts: Mapping[str, Json] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """blake3 (32 hex digits) of the canonical JSON of kind, name and parts."""
        return _digest(_written([self.kind, self.name, as_plain(self.parts)]))


def digest_json(value: Json) -> str:
    """blake3 (32 hex digits) of the canonical JSON of a value; the order of mappings does not matter."""
    return _digest(canonical_json(value))


def canonical_json(value: Json) -> str:
    """One text for one value: sorted keys, no spaces, ASCII. Raises StoreError for what JSON cannot say."""
    return _written(as_plain(value))


def _digest(text: str) -> str:
    return blake3(text.encode()).hexdigest()[:N_HEX]


def _written(plain: Json) -> str:
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)


def as_plain(value: object, where: str = "parts") -> Json:
    """Turn tuples into lists and mappings into dicts; refuse what JSON would say wrongly or not at all."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, Mapping) and all(isinstance(k, str) for k in value):
        return {k: v if type(v) in _PLAIN else as_plain(v, f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [v if type(v) in _PLAIN else as_plain(v, f"{where}[{i}]") for i, v in enumerate(value)]
    raise StoreError(
        f"A recipe holds {value!r} ({type(value).__name__}) at {where}.",
        expected="texts, finite numbers, booleans, null, lists, and mappings with texts as keys",
        todo="turn it into one of these where the recipe is written",
    )


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


@cache
def _versions() -> dict[str, str]:
    return {name: version(name) for name in _LIBRARIES}


def library_versions() -> dict[str, str]:
    """Installed version by name of every library that results are computed with; none is imported."""
    return dict(_versions())
