"""Values that can be digested by what they are."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping, Set
from pathlib import PurePath
from typing import Any

from blake3 import blake3

from engine._store import Json, canonical_json

_BY_REPR = (float, complex, range, slice, datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo)


class Opaque(Exception):
    """A value whose content cannot be digested; the text is its type. Never leaves the digest."""


def plain_value(value: Any, describe: Callable[[Any], Json]) -> Json:
    """Describe plain data, containers (``describe`` is asked for their items) and arrays. Raises Opaque."""
    kind = type(value).__name__
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, _BY_REPR):
        return [kind, repr(value)]
    if isinstance(value, bytes | bytearray):
        return [kind, value.hex()]
    if isinstance(value, PurePath):
        return ["path", str(value)]
    if isinstance(value, re.Pattern):
        return ["pattern", str(value.pattern), value.flags]
    if isinstance(value, list | tuple):
        return [kind, *map(describe, value)]
    if isinstance(value, Mapping):
        return ["mapping", *([describe(k), describe(v)] for k, v in value.items())]
    if isinstance(value, Set):
        return ["set", *sorted(canonical_json(describe(v)) for v in value)]
    if value is Ellipsis or value is NotImplemented:
        return repr(value)
    return _of_a_library(value)


def _of_a_library(value: Any) -> Json:
    """Arrays of numpy, expressions and data types of Polars: known by their names, so that nothing is imported."""
    library = type(value).__module__.partition(".")[0]
    kind = type(value).__name__
    if library == "numpy" and hasattr(value, "tobytes") and hasattr(value, "dtype"):
        if value.dtype.hasobject:
            raise Opaque(f"{kind} of objects")
        return [kind, str(value.dtype), list(value.shape), blake3(value.tobytes()).hexdigest()]
    if library == "numpy" and kind.endswith("DType"):
        return [kind, str(value)]
    if library == "polars" and kind == "Expr":
        return [kind, blake3(_serialized(value)).hexdigest()]
    if library == "polars" and type(value).__module__.startswith("polars.datatypes"):
        return [kind, repr(value)]
    if callable(value) and hasattr(value, "__qualname__") and not hasattr(value, "__origin__"):
        return external_name(value)
    raise Opaque(kind)


def _serialized(expression: Any) -> bytes:
    """The bytes of a Polars expression. Raises Opaque for one that calls Python."""
    try:
        return bytes(expression.meta.serialize())
    except Exception as error:  # Polars' own error types, without importing Polars
        raise Opaque("Expr that calls Python") from error


def external_name(value: Any) -> Json:
    """Name a function or class from outside the repository: its library's version is the caller's business."""
    return ["external", str(getattr(value, "__module__", "")), str(value.__qualname__)]
