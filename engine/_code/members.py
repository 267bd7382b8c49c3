"""The parts that objects are made of: members of classes, state of instances, what wrappers wrap."""

from __future__ import annotations

import dataclasses
import enum
import inspect
from collections.abc import Mapping
from functools import cached_property, partial
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

from engine._code.values import Opaque


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
    cells = [*(cell.cell_contents for cell in function.__closure__ or ()), *vars(function).values()]
    held = [v for cell in cells for v in (cell.values() if isinstance(cell, Mapping) else [cell])]
    return [value for value in held if isinstance(value, FunctionType)]


def state_of(value: Any) -> dict[str, Any]:
    """The fields of a dataclass instance, the attributes of any other. Raises Opaque where there are none to see."""
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value) if hasattr(value, field.name)]
        return {name: getattr(value, name) for name in names}
    if hasattr(value, "__dict__"):
        return dict(vars(value))
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
    is_slot = inspect.ismemberdescriptor(member) or inspect.isgetsetdescriptor(member)
    return not is_slot and not name.startswith("__")
