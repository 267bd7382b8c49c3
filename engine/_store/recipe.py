"""What an artifact is made from, and the key that follows from it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias, Union

from blake3 import blake3

from engine._errors import StoreError

Json: TypeAlias = Union[bool, int, float, str, Sequence["Json"], Mapping[str, "Json"], None]  # noqa: UP007 (a name in quotes takes no |)

_AS_THEY_ARE = (str, bool, int)
_PLAIN = {str, bool, int, type(None)}  # these very types, as nearly all values have: a look is enough
N_HEX = 32  # 128 bits: no two of 10^12 artifacts meet by chance


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
    if value is None or isinstance(value, _AS_THEY_ARE):
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
