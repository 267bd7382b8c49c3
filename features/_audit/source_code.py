"""Find in a feature's code what an audit cannot alter: files that it reads by itself."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from functools import cache, cached_property, partial
from importlib import import_module
from types import CodeType, FunctionType, ModuleType
from typing import Any

from features._audit.findings import Finding, found_in
from features._catalogue import FeatureColumn

READS = "reads files by itself"
_READERS = {"open", "solution", "oracle", "read_text", "read_bytes", "load", "loadtxt", "genfromtxt", "memmap",
            "fromfile", "urlopen", "connect"}  # fmt: skip
_STEMS = ("read_", "scan_")


def reads_by_itself(column: FeatureColumn) -> list[Finding]:
    """Find calls that read files or the solution: in the body, in what it calls and in what it names of feature files.

    What comes from there is the same in every altered world, so nothing can be proven of it. A streamed learner may
    read what it has saved, and what it has put into its own folder.
    """
    body, calls = column.declaration.body, dict[str, str]()
    own = _reads_of_own_folders(body) if column.kind == "streamed" else set[ast.AST]()
    for where, code in _reached(body):
        for name in _calls(code, own):
            if name in _READERS or name.startswith(_STEMS):
                calls.setdefault(name, where)
    if not calls:
        return []
    evidence = "; ".join(f"{where} calls {name}" for name, where in sorted(calls.items()))
    todo = "take what it needs from the history, or make the file a table of the competition"
    return [found_in(column, READS, evidence, todo)]


def _reached(body: Callable[..., Any]) -> Iterator[tuple[str, ast.AST]]:
    """The code of a body and of what it names, within its own module and other plain feature files; and where it is.

    That is functions, classes with what they derive from, and what is done at the top of a file:
    ``SCORES = pl.read_parquet(...)``. Faces are followed to where a name is from.
    """
    own = str(body.__module__)
    waiting = [(own, str(getattr(body, "__name__", "")))]
    known: set[tuple[str, str]] = set()
    functions, statements = _functions(body, own), list[tuple[str, str, ast.stmt]]()
    while functions or statements or waiting:
        for function in functions:
            code = function.__code__
            tree = _parsed(code)
            yield f"{code.co_qualname} (line {code.co_firstlineno})", tree
            waiting += _lookups(_home(function), _code_names(code) | _names(tree), own)
        for module, name, statement in statements:
            yield f"{name} (line {statement.lineno})", statement
            waiting += _lookups(module, _names(statement), own)
        functions, statements = [], []
        if waiting and (found := waiting.pop()) not in known:
            known.add(found)
            module, name = found
            functions = [f for f in _functions(_value(module, name), own) if _is_own(_home(f), own)]
            top = _top_level(module)
            statements = [(module, name, statement) for statement in top.statements.get(name, ())]
            waiting += [origin for origin in top.imports.get(name, ()) if _is_own(origin[0], own)]


def _lookups(module: str, names: set[str], own: str) -> set[tuple[str, str]]:
    """Where names that code mentions may be from: its module, and the own modules that are among what it names."""
    modules: set[str] = set()
    waiting = [module, *(name for name in names if _is_own(name, own))]
    while waiting:
        module = waiting.pop()
        if module not in modules:
            modules.add(module)
            values = (_value(module, name) for name in names)
            waiting += [v.__name__ for v in values if isinstance(v, ModuleType) and _is_own(v.__name__, own)]
    return {(module, name) for module in modules for name in names}


def _is_own(module: str, own: str) -> bool:
    """Tell whether it is the body's module, or what users write in the room: a family file, the toolkit."""
    room, *inner = module.split(".")
    return module == own or (room == "features" and not any(name.startswith("_") for name in inner))


def _functions(value: object, own: str) -> list[FunctionType]:
    """The functions behind a value: of a class and its bases, within wrappers, of a feature's handle."""
    if isinstance(value, type):
        members = [v for base in value.__mro__ if _is_own(base.__module__, own) for v in vars(base).values()]
        return [f for member in members if not isinstance(member, type) for f in _functions(member, own)]
    attribute = {property: "fget", cached_property: "func", partial: "func"}.get(type(value), "__wrapped__")
    within = getattr(value, attribute, None)
    inner = _functions(within, own) if callable(within) else []
    return [value, *inner] if isinstance(value, FunctionType) else inner


def _home(function: FunctionType) -> str:
    """The module that a function is written in; ``__module__`` of a wrapper is that of what it wraps."""
    return str(function.__globals__["__name__"])


def _value(module: str, name: str) -> object:
    """The value of a name at the top of a module; None where there is none."""
    try:
        return getattr(import_module(module), name, None)
    except ImportError:
        return None


class _TopLevel:
    """By name: the modules and names it is imported as, and the statements at the top of a file that make it."""

    def __init__(self, tree: ast.Module) -> None:
        self.imports: dict[str, list[tuple[str, str]]] = {}
        self.statements: dict[str, list[ast.stmt]] = {}
        for statement in tree.body:
            if isinstance(statement, ast.ClassDef):
                # Its bases and attributes; methods are found by its value.
                outside = [inner for inner in statement.body if not isinstance(inner, ast.FunctionDef)]
                shell = ast.ClassDef(statement.name, statement.bases, statement.keywords, outside, [])
                self.statements.setdefault(statement.name, []).append(ast.copy_location(shell, statement))
            if isinstance(statement, ast.FunctionDef | ast.ClassDef):
                continue
            for node in ast.walk(statement):
                if isinstance(node, ast.ImportFrom):
                    for alias in node.names:
                        origin = (node.module or "", alias.name)
                        self.imports.setdefault(alias.asname or alias.name, []).append(origin)
                elif isinstance(node, ast.Name) and (
                    isinstance(node.ctx, ast.Store) or isinstance(statement, ast.Expr)
                ):
                    self.statements.setdefault(node.id, []).append(statement)


@cache
def _top_level(module: str) -> _TopLevel:
    try:
        return _TopLevel(_parsed(import_module(module)))
    except ImportError:
        return _TopLevel(ast.Module(body=[], type_ignores=[]))


@cache
def _parsed(thing: Any) -> ast.Module:
    """The source of a function's code or of a module; empty where it is not to be had."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(thing)))
    except (OSError, TypeError, SyntaxError):
        return ast.Module(body=[], type_ignores=[])


def _code_names(code: CodeType) -> set[str]:
    inner = [c for c in code.co_consts if isinstance(c, CodeType)]
    return set(code.co_names).union(*(_code_names(c) for c in inner))


def _names(code: ast.AST) -> set[str]:
    """Names and attributes that code mentions."""
    nodes = list(ast.walk(code))
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return attributes | {node.id for node in nodes if isinstance(node, ast.Name)}


def _reads_of_own_folders(body: Callable[..., Any]) -> set[ast.AST]:
    """Calls of a learner's methods whose file is below a folder that ``start``, ``save`` or ``load`` was given."""
    methods = [_parsed(function.__code__) for function in _functions(body, str(body.__module__))]
    trees = [node for tree in methods for node in tree.body if isinstance(node, ast.FunctionDef)]
    paths = {tree: _given_folder(tree) for tree in trees}
    for _ in range(3):  # a path is handed on by an assignment or two
        attributes = {path for of_method in paths.values() for path in of_method if path.startswith("self.")}
        for tree, known in paths.items():
            known |= attributes
            known |= {ast.unparse(target) for target, value in _assigned(tree) if _is_below(value, known)}
    return {
        call
        for tree, known in paths.items()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and _is_below(call, known)
    }


def _given_folder(method: ast.FunctionDef) -> set[str]:
    return (
        {method.args.args[1].arg}
        if method.name in ("start", "save", "load") and method.args.args[1:]
        else set()
    )


def _assigned(code: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Names and attributes that get a value, with the value."""
    for node in ast.walk(code):
        match node:
            case ast.Assign(targets=[target], value=value) | ast.For(target=target, iter=value):
                yield target, value
            case ast.withitem(context_expr=value, optional_vars=ast.expr() as target):
                yield target, value


def _is_below(value: ast.expr, paths: set[str]) -> bool:
    """Tell whether a value is one of the paths, or made of one: ``context.folder``, ``folder / name``."""
    if ast.unparse(value) in paths:
        return True
    match value:
        case ast.Attribute(value=within) | ast.BinOp(left=within):
            return _is_below(within, paths)
        case ast.Call(func=function, args=args, keywords=named):
            first = [*args, *(keyword.value for keyword in named)][:1]
            of = [function.value] if isinstance(function, ast.Attribute) else []
            return any(_is_below(one, paths) for one in (*of, *first))
    return False


def _calls(code: ast.AST, but: set[ast.AST]) -> set[str]:
    """Names of what is called, but for some calls."""
    calls = (node.func for node in ast.walk(code) if isinstance(node, ast.Call) and node not in but)
    return {c.attr if isinstance(c, ast.Attribute) else getattr(c, "id", "") for c in calls}
