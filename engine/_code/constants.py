"""Global names of a module: where they are defined, by which statements, and whether they change while running."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import ModuleType

from engine._code.source import SourceFile, imported_names, module_file, read_source

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
_LIST_FILLERS = ("append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort")
_FILLERS = frozenset((*_LIST_FILLERS, "add", "discard", "popitem", "set", "setdefault", "update"))


def home_of(name: str, module: ModuleType, root: Path) -> tuple[str, ModuleType]:
    """Follow ``from other import name`` to the module of the repository that defines the name."""
    seen: set[tuple[str, str]] = set()
    while (name, module.__name__) not in seen:
        seen.add((name, module.__name__))
        file = module_file(module, root)
        if file is None:
            break
        for bound, origin, original in imported_names(
            read_source(file).tree, module.__name__, hasattr(module, "__path__")
        ):
            if bound == name and original and origin in sys.modules and module_file(origin, root):
                name, module = original, sys.modules[origin]
                break
    return name, module


def statements_about(name: str, file: SourceFile) -> list[ast.stmt]:
    """All top-level statements that mention a name, without definitions and imports."""
    return [s for s in file.tree.body if not isinstance(s, _DEFINITIONS) and _mentions(s, name)]


def changes_while_running(name: str, file: SourceFile) -> bool:
    """Whether a function of the module assigns or fills the global name: a cache, a register, a counter."""
    functions = [n for nodes in file.functions.values() for n in nodes]
    return any(_changes(node, name) for function in functions for node in ast.walk(function))


def _changes(node: ast.AST, name: str) -> bool:
    if isinstance(node, ast.Global):
        return name in node.names
    if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
        return _is_name(node.value, name)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in _FILLERS and _is_name(node.func.value, name)
    return False


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _mentions(node: ast.AST, name: str) -> bool:
    return any(_is_name(inner, name) for inner in ast.walk(node))
