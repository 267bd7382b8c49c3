"""Values that can be digested by what they are, and the parts that objects are made of."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import inspect
import re
from collections import deque
from collections.abc import Callable, Mapping, Set
from functools import cached_property, partial
from pathlib import Path, PurePath
from types import FunctionType, MethodType, SimpleNamespace
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
    if isinstance(value, list | tuple | deque):
        return [kind, *map(describe, value)]
    if isinstance(value, Mapping):
        return ["mapping", *([describe(k), describe(v)] for k, v in value.items())]
    if isinstance(value, SimpleNamespace):
        return [kind, describe(vars(value))]
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
    if library == "polars" and any(base.__name__ == "Expr" for base in type(value).__mro__):
        return [
            "Expr",
            blake3(_serialized(value)).hexdigest(),
        ]  # `pl.when(...).then(...)` is of a class of its own
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


def wrapped_parts(value: Any) -> tuple[Any, ...]:
    """What a bound method, partial, property, cached function or enum member is made of; else nothing."""
    if isinstance(value, MethodType):
        return value.__func__, value.__self__
    if isinstance(value, partial):
        return value.func, value.args, value.keywords
    if isinstance(value, staticmethod | classmethod):
        return (value.__func__,)
    if isinstance(value, property):
        return value.fget, value.fset, value.fdel
    if isinstance(value, cached_property):
        return (value.func,)
    if isinstance(value, enum.Enum):
        return type(value), value.name
    wrapped = getattr(value, "__wrapped__", None)
    return (wrapped,) if isinstance(wrapped, FunctionType) else ()


def functions_held(function: FunctionType) -> list[FunctionType]:
    """Functions that a wrapper holds, one by one or in a mapping (as ``functools.singledispatch`` does)."""
    held = [*(cell.cell_contents for cell in function.__closure__ or ()), *vars(function).values()]
    values = [v for one in held for v in (one.values() if isinstance(one, Mapping) else [one])]
    return [value for value in values if isinstance(value, FunctionType)]


def state_of(value: Any) -> dict[str, Any]:
    """The fields of a dataclass instance, the attributes of any other. Raises Opaque where there are none to see."""
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value) if hasattr(value, field.name)]
        return {name: getattr(value, name) for name in names}
    named = [name for kind in type(value).__mro__ for name in vars(kind).get("__slots__", ())]
    if hasattr(value, "__dict__") or named:
        return {n: getattr(value, n) for n in (*getattr(value, "__dict__", ()), *named) if hasattr(value, n)}
    raise Opaque(type(value).__qualname__)


def members_of(kind: type) -> dict[str, Any]:
    """Members of a class that somebody wrote, and the factories of a dataclass's defaults."""
    members = {name: value for name, value in vars(kind).items() if _is_written(name, value)}
    if dataclasses.is_dataclass(kind):
        members |= {f"{field.name} made by": field.default_factory for field in dataclasses.fields(kind)}
    return members


def _is_written(name: str, member: object) -> bool:
    """Whether a member stands in the source: dataclasses, slots and metaclasses add others."""
    if isinstance(member, FunctionType):
        return Path(member.__code__.co_filename).is_file()
    is_added = inspect.ismemberdescriptor(member) or inspect.isgetsetdescriptor(member)
    return not is_added and not name.startswith("__")
