"""Find in a feature's code what an audit cannot alter: files that it reads by itself."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from types import CodeType, FunctionType
from typing import Any

from features._audit.findings import Finding, found_in
from features._catalogue import FeatureColumn

READS = "reads files by itself"
_READERS = {"open", "solution", "oracle", "read_text", "read_bytes", "load", "loadtxt", "genfromtxt", "memmap",
            "fromfile", "urlopen", "connect"}  # fmt: skip
_STEMS = ("read_", "scan_")


def reads_by_itself(column: FeatureColumn) -> list[Finding]:
    """Find calls that read files or the solution: in the body, in what it calls and in what it names of feature files.

    What comes from there is the same in every altered world, so nothing can be proven of it.
    """
    calls: dict[str, str] = {}
    for where, code in _reached(column.declaration.body):
        for name in _calls(code):
            if name in _READERS or name.startswith(_STEMS):
                calls.setdefault(name, where)
    if not calls:
        return []
    evidence = "; ".join(f"{where} calls {name}" for name, where in sorted(calls.items()))
    todo = "take what it needs from the history, or make the file a table of the competition"
    return [found_in(column, READS, evidence, todo)]


def _reached(body: Callable[..., Any]) -> Iterator[tuple[str, ast.AST]]:
    """The code of a body and of what it names, within its own module and other plain feature files; and where it is.

    That is functions, classes, and what is assigned at the top of a file: ``SCORES = pl.read_parquet(...)``.
    """
    waiting: list[tuple[str, str]] = []
    known: set[tuple[str, str]] = set()
    functions = _functions(body)
    while functions or waiting:
        for function in functions:
            yield f"{function.__qualname__} (line {function.__code__.co_firstlineno})", _parsed(function)
            waiting += [(function.__module__, name) for name in _names(function.__code__)]
        functions = []
        if not waiting or (found := waiting.pop()) in known:
            continue
        known.add(found)
        module, name = found
        value = getattr(sys.modules.get(module), name, None)
        functions = [f for f in _functions(value) if _is_own(f.__module__, body.__module__)]
        origin, statement = _top_level(module).get(name, (module, None))
        if origin != module and _is_own(origin, body.__module__):
            waiting.append((origin, name))
        if statement is not None:
            yield f"{name} (line {statement.lineno})", statement
            waiting += [(module, node.id) for node in ast.walk(statement) if isinstance(node, ast.Name)]


@cache
def _top_level(module: str) -> dict[str, tuple[str, ast.stmt | None]]:
    """By name: the module that a name of this one is imported from, or this one and the statement that assigns it."""
    found: dict[str, tuple[str, ast.stmt | None]] = {}
    for node in _parsed(sys.modules.get(module)).body:
        if isinstance(node, ast.ImportFrom):
            found |= {alias.name: (node.module or "", None) for alias in node.names}
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in (t for t in targets if t is not None):
            found |= {n.id: (module, node) for n in ast.walk(target) if isinstance(n, ast.Name)}
    return found


def _is_own(module: str, own: str) -> bool:
    room, *inner = module.split(".")
    return module == own or (room == "features" and bool(inner) and not any(n.startswith("_") for n in inner))


def _functions(value: object) -> list[FunctionType]:
    value = getattr(value, "__wrapped__", value)  # of a feature
    if isinstance(value, FunctionType):
        return [value]
    return [v for v in vars(value).values() if isinstance(v, FunctionType)] if isinstance(value, type) else []


def _names(code: CodeType) -> set[str]:
    inner = [c for c in code.co_consts if isinstance(c, CodeType)]
    return set(code.co_names).union(*(_names(c) for c in inner))


@cache
def _parsed(thing: Any) -> ast.Module:
    """The source of a function or module; empty where it is not to be had."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(thing)))
    except (OSError, TypeError, SyntaxError):
        return ast.Module(body=[], type_ignores=[])


def _calls(code: ast.AST) -> set[str]:
    """Names of what is called."""
    calls = (node.func for node in ast.walk(code) if isinstance(node, ast.Call))
    return {c.attr if isinstance(c, ast.Attribute) else getattr(c, "id", "") for c in calls}
