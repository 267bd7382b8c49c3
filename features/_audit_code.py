"""Find in a feature's code what an audit cannot alter: files that it reads by itself."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

from features._audit_finding import Finding, found_in
from features._column import FeatureColumn

READS = "reads files by itself"
_READERS = {"open", "solution", "oracle", "read_text", "read_bytes", "load", "loadtxt", "memmap", "fromfile"}
_STEMS = ("read_", "scan_")


def reads_by_itself(column: FeatureColumn) -> list[Finding]:
    """Find calls that read files or the solution, in the body and in the functions of feature files that it calls.

    What comes from there is the same in every altered world, so nothing can be proven of it.
    """
    body = column.declaration.body
    calls: dict[str, str] = {}
    for function in _reached(body):
        for name in _calls(function):
            if name in _READERS or name.startswith(_STEMS):
                calls.setdefault(name, f"{function.__qualname__} (line {function.__code__.co_firstlineno})")
    if not calls:
        return []
    evidence = "; ".join(f"{where} calls {name}" for name, where in sorted(calls.items()))
    todo = "take what it needs from the history, or make the file a table of the competition"
    return [found_in(column, READS, evidence, todo)]


def _reached(body: Callable[..., Any]) -> Iterator[FunctionType]:
    """The functions of a body and those it names, within its own module and other plain feature files."""
    waiting, known = list(_functions(body)), set()
    while waiting:
        function = waiting.pop()
        if function in known:
            continue
        known.add(function)
        yield function
        for name in _names(function.__code__):
            value = function.__globals__.get(name)
            if getattr(value, "__module__", None) and _is_own(value.__module__, body.__module__):
                waiting += _functions(value)


def _is_own(module: str, own: str) -> bool:
    room, _, file = module.rpartition(".")
    return module == own or (room == "features" and not file.startswith("_"))


def _functions(value: object) -> Iterator[FunctionType]:
    if isinstance(value, FunctionType):
        yield value
    elif isinstance(value, type):
        yield from (v for v in vars(value).values() if isinstance(v, FunctionType))


def _names(code: CodeType) -> set[str]:
    inner = [c for c in code.co_consts if isinstance(c, CodeType)]
    return set(code.co_names).union(*(_names(c) for c in inner))


def _calls(function: FunctionType) -> set[str]:
    """Names of what the function calls; empty where its source is not to be had."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return set()
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {c.attr if isinstance(c, ast.Attribute) else getattr(c, "id", "") for c in calls}
