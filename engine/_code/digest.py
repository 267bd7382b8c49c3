"""A digest of the code that a Python object is made of."""

from __future__ import annotations

import ast
import builtins
import dataclasses
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, TypeVar

from engine._code.source import (
    REPOSITORY,
    Chain,
    Part,
    bytecode,
    chains,
    files_imported,
    files_importing,
    files_in_room,
    files_reached,
    globals_read,
    home_of,
    is_inside,
    module_file,
    modules_named,
    part_of,
    read_source,
    statements_about,
    tree_of,
)
from engine._code.values import (
    Opaque,
    external_name,
    functions_held,
    members_of,
    plain_value,
    state_of,
    wrapped_parts,
)
from engine._errors import StoreError
from engine._store import Json, digest_json

_DYNAMIC = frozenset({"eval", "exec", "__import__"})
_FINDERS = frozenset({"importlib", "pkgutil", "runpy"})  # their functions look modules up by name
_F = TypeVar("_F", bound=Callable[..., object])


def code_digest(obj: object, root: Path | None = None) -> str:
    """Digest the code that ``obj`` runs, 32 hex digits: the syntax trees of all it reaches in the repository.

    It changes with the body, defaults, bases, helper functions and classes, global constants (by their values),
    closures, and the fields of dataclass instances. It does not change with docstrings, comments and positions.
    What is outside the repository counts by its name only: put the versions of libraries into the recipe.

    Parameters
    ----------
    obj
        A function, a class, an instance of a dataclass, or a container of them.
    root
        The repository; None = the one that this file lies in.

    Raises
    ------
    StoreError
        When ``obj`` itself holds a value (an open file, a model) whose content cannot be digested.
    """
    return _described(obj, root)[0]


def _described(obj: object, root: Path | None = None) -> tuple[str, Mapping[str, str]]:
    """Digest of the object, and the files that count as a whole with the reason of each."""
    base = (root or REPOSITORY).resolve()
    graph = CodeGraph(base)
    try:
        start = graph.describe(obj)
    except Opaque as opaque:
        name = getattr(obj, "__qualname__", f"an instance of {type(obj).__qualname__}")
        raise StoreError(
            f"{name} holds a value of type {opaque}, whose content cannot be digested.",
            expected="functions, classes, dataclasses, plain data, arrays, Polars expressions and data types",
            todo="hold the value by what it is made from, and make it where it is used",
        ) from opaque
    return digest_json([start, graph.nodes]), graph.reasons


_described_once = cache(_described)


def cached_digest(code: Callable[..., object]) -> str:
    """Digest of a function or class; taken once a process, in which code does not change, since it costs a while."""
    return _described_once(code)[0]


def whole_files(code: Callable[..., object], root: Path | None = None) -> Mapping[str, str]:
    """Files that count as a whole in the digest of a function or class, with all that they import, and why each does.

    An edit of any of them, or of what it imports, is an edit of the code.
    """
    return (_described(code, root) if root else _described_once(code))[1]


def digested_elsewhere(function: _F) -> _F:
    """Mark a function as no part of any digest: what it finds is digested by itself, or is words for messages."""
    function.__digested_elsewhere__ = True  # type: ignore[attr-defined]
    return function


class CodeGraph:
    """Everything of the repository that the behaviour of the objects depends on that it is asked to describe.

    A node is a function, a class, a constant or a file. It holds its syntax tree and, for every name it reads, the
    value or the node that the name stands for *now*, in the running process. So a wrapped function, a changed default
    and a constant that another constant is computed from are all seen as they are. What cannot be resolved is covered
    by whole files.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.nodes: dict[str, Json] = {}
        self.reasons: dict[str, str] = {}  # of files that count as a whole
        self._labels: dict[int, str] = {}
        self._n_of_label: dict[str, int] = {}
        self._alive: list[object] = []  # an id is only unique among living objects
        self._open: set[int] = set()  # instances being described: a cycle leads back to one of them

    def describe(self, value: Any) -> Json:
        """Describe a value by its content, functions and classes by their nodes. Raises Opaque."""
        if isinstance(value, FunctionType):
            return self._function(value)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, ModuleType):
            file = module_file(value, self.root)
            return self._whole_file(file, "used as a value") if file else ["module", value.__name__]
        wrapping = wrapped_parts(value)
        if wrapping:
            return [type(value).__name__, *map(self.describe, wrapping)]
        if dataclasses.is_dataclass(value) or module_file(type(value).__module__, self.root):
            return self._instance(value)
        return plain_value(value, self.describe)

    def _describe_in(self, value: Any, path: Path) -> Json:
        """Describe a value; what cannot be described is covered by the whole file that holds it."""
        try:
            return self.describe(value)
        except Opaque as opaque:
            return self._whole_file(path, f"holds a value of type {opaque}")

    def _instance(self, value: Any) -> Json:
        """An instance is its class and its fields, or all its attributes where it is no dataclass."""
        if id(value) in self._open:
            return ["cycle", type(value).__qualname__]
        self._open.add(id(value))
        try:
            fields = {name: self.describe(v) for name, v in state_of(value).items()}
            return ["instance", self.describe(type(value)), fields]
        finally:
            self._open.discard(id(value))

    def _start_node(self, obj: object, stem: str) -> str:
        """Label an object the same way in every process: objects of one name are told apart by their order."""
        n = self._n_of_label[stem] = self._n_of_label.get(stem, 0) + 1
        label = stem if n == 1 else f"{stem} ({n})"
        self._labels[id(obj)] = label
        self._alive.append(obj)
        self.nodes[label] = None
        return label

    def _function(self, function: FunctionType) -> Json:
        if id(function) in self._labels:
            return ["node", self._labels[id(function)]]
        code = function.__code__
        path = Path(code.co_filename).resolve()
        if not is_inside(path, self.root) or not path.is_file() or _is_elsewhere(function):
            return self._external(function)
        # A wrapper carries the module name of what it wraps; its globals tell its own.
        module = sys.modules.get(str(function.__globals__.get("__name__")))
        label = self._start_node(function, f"{path.relative_to(self.root)}: {code.co_qualname}")
        tree = tree_of(code, read_source(path))  # None where it is not clear: then the compiled code counts
        # What a parameter is annotated with is what its methods are called on.
        part, known = part_of(tree) if tree else None, globals_read(code)
        if part:
            known |= part.annotations & function.__globals__.keys()
        reads = {c for c in part.chains if c[0] in known} if part else {(name,) for name in known}
        wrapped = getattr(function, "__wrapped__", None)
        self.nodes[label] = {
            "code": part.dumped if part else bytecode(code),
            "defaults": self._describe_in([function.__defaults__, function.__kwdefaults__], path),
            "captured": self._captured(function, path),
            "reads": self._reads(reads, function.__globals__, path, module),
            "imports": self._local_imports(part, path),
            "wraps": self._describe_in(wrapped, path),
            **self._attributes(function, path),
        }
        return ["node", label]

    def _attributes(self, function: FunctionType, path: Path) -> dict[str, Json]:
        """What was put on the function, ``f.k = 3``; nothing mostly."""
        put = {name: value for name, value in vars(function).items() if not name.startswith("__")}
        if put and function.__name__ in read_source(path).changed:
            return {"attributes": self._whole_file(path, f"puts attributes on {function.__name__}()")}
        return {"attributes": self._describe_in(put, path)} if put else {}

    def _external(self, function: FunctionType) -> Json:
        """A function of a library; one that wraps functions of ours leads to those."""
        ours = functions_held(function) if hasattr(function, "__wrapped__") else []
        return [external_name(function), *map(self.describe, ours)] if ours else external_name(function)

    def _captured(self, function: FunctionType, path: Path) -> Json:
        captured: dict[str, Json] = {}
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                is_class = name == "__class__"
                captured[name] = "class" if is_class else self._describe_in(cell.cell_contents, path)
            except ValueError:  # still empty: the name is assigned later than the function is made
                captured[name] = "empty"
        return captured

    def _class(self, kind: type) -> Json:
        if id(kind) in self._labels:
            return ["node", self._labels[id(kind)]]
        module = sys.modules.get(kind.__module__)
        path = module_file(module, self.root)
        if path is None or module is None:
            return external_name(kind)
        label = self._start_node(kind, f"{path.relative_to(self.root)}: {kind.__qualname__}")
        found = read_source(path).classes.get(kind.__qualname__, [])
        facts: dict[str, Json] = {"bases": [self.describe(base) for base in (*kind.__bases__, type(kind))]}
        if len(found) == 1:
            body = [s for s in found[0].body if not isinstance(s, ast.FunctionDef | ast.ClassDef)]
            reads = [c for c in chains(body) if c[0] in vars(module) and c[0] not in vars(kind)]
            facts["code"] = part_of(found[0]).dumped
            facts["reads"] = self._reads(reads, vars(module), path, module)
        else:
            facts["code"] = self._whole_file(
                path, f"defines {kind.__qualname__} more than once, or not by its name"
            )
        facts["members"] = self._members(kind)
        self.nodes[label] = facts
        return ["node", label]

    def _members(self, kind: type) -> Json:
        """Methods and class attributes. Attributes that cannot be digested are in the class's source."""
        members: dict[str, Json] = {}
        for name, value in members_of(kind).items():
            try:
                members[name] = self.describe(value)
            except Opaque:
                members[name] = "as in the source"
        return members

    def _reads(
        self, reads: Iterable[Chain], names: Mapping[str, Any], path: Path, module: ModuleType | None
    ) -> Json:
        """What each name that a piece of code reads stands for."""
        return {".".join(chain): self._read(chain, names, path, module) for chain in sorted(reads)}

    def _read(self, chain: Chain, names: Mapping[str, Any], path: Path, module: ModuleType | None) -> Json:
        name, *attributes = chain
        if name not in names:
            return self._builtin(name, path)
        value = names[name]
        while isinstance(value, ModuleType) and attributes and hasattr(value, attributes[0]):
            module, name = value, attributes.pop(0)
            value = getattr(value, name)
        if _looks_up_modules(value):
            return self._looked_up(path, ".".join(chain))
        if isinstance(value, FunctionType | type | ModuleType) or module is None:
            return self._describe_in(value, path)
        if module_file(module, self.root) is None:
            is_made_up = module.__spec__ is None and module.__name__ != "__main__"  # by ModuleType("name")
            return self._describe_in(value, path) if is_made_up else ["external", module.__name__, name]
        return self._constant(value, *home_of(name, module, self.root), path)

    def _builtin(self, name: str, path: Path) -> Json:
        if name == "globals":
            return self._whole_file(path, "calls globals()")
        if name in _DYNAMIC:
            return self._looked_up(path, f"{name}()")
        if not hasattr(builtins, name):
            return "unknown"
        value = getattr(builtins, name)
        is_own = getattr(value, "__module__", None) == "builtins"  # and not put there by somebody
        return "builtin" if is_own else self._describe_in(value, path)

    def _looked_up(self, path: Path, how: str) -> Json:
        """Modules that code finds by name: those that its file names in texts, or else all of its room."""
        named = modules_named(path, self.root) or files_in_room(path, self.root)
        return self._whole_files((path, *named), f"{how} finds modules by name")

    def _filled(self, name: str, path: Path, reader: Path) -> Json:
        """A global that functions fill, such as a register: whoever imports its file may have called them."""
        why = f"{name} of {path.relative_to(self.root)} is filled by functions"
        return self._whole_files((path, reader, *files_importing(path, self.root)), why)

    def _constant(self, value: Any, name: str, module: ModuleType, reader: Path) -> Json:
        """A global constant is its value; where that says nothing, the statements that mention it."""
        path = module_file(module, self.root)
        if path is None:
            return ["external", module.__name__, name]
        file = read_source(path)
        if name in file.changed:
            return self._filled(name, path, reader)
        with suppress(Opaque):  # its statements say more
            return self.describe(value)
        label = f"{path.relative_to(self.root)}: constant {name}"
        statements = statements_about(name, file)
        if not statements:
            return self._whole_file(path, f"does not say where {name} comes from")
        if label not in self.nodes:
            self.nodes[label] = None
            reads = [c for c in chains(statements) if c[0] != name and c[0] in vars(module)]
            code = [ast.dump(s) for s in statements]
            self.nodes[label] = {"code": code, "reads": self._reads(reads, vars(module), path, module)}
        return ["node", label]

    def _local_imports(self, part: Part | None, path: Path) -> Json:
        """Files that a function imports in its body: what it takes from them is not resolved further."""
        files = files_imported(part.imports, path, self.root) if part else []
        return self._whole_files(files, "imported within a function") if files else []

    def _whole_file(self, path: Path, why: str) -> Json:
        """Cover what is unclear by a file and all repository files that it imports."""
        return self._whole_files((path,), why) if is_inside(path, self.root) else ["external", path.name]

    def _whole_files(self, paths: Iterable[Path], why: str) -> Json:
        """Cover what is unclear by some files and all that they import: each file once, since they may be a room."""
        names = {str(path.relative_to(self.root)): path for path in paths}
        for name in names:
            self.reasons.setdefault(name, why)
        label = f"files {', '.join(names)}"
        if label not in self.nodes:
            files = files_reached(names.values(), self.root)
            self.nodes[label] = {str(f.relative_to(self.root)): read_source(f).dumped for f in files}
        return ["node", label]


def _looks_up_modules(value: object) -> bool:
    """Whether a value gives modules by their names: ``sys.modules``, or a function of ``importlib`` and the like."""
    if isinstance(value, ModuleType):
        return value.__name__.partition(".")[0] in _FINDERS
    home = str(getattr(value, "__module__", "")).partition(".")[0]
    return value is sys.modules or (isinstance(value, FunctionType) and home in _FINDERS)


def _is_elsewhere(function: FunctionType) -> bool:
    return getattr(function, "__digested_elsewhere__", False) is True
