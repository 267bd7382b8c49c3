"""Source files of the repository as syntax trees, and what loaded code and global names are in them."""

from __future__ import annotations

import ast
import dis
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from types import CodeType, ModuleType
from typing import NamedTuple

from engine._store import Json

REPOSITORY = Path(__file__).resolve().parents[2]

Definition = ast.FunctionDef | ast.AsyncFunctionDef
Chain = tuple[str, ...]
Place = tuple[str, int]  # qualified name and first line, decorators included

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
_LIST_FILLERS = ("append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort")
_FILLERS = frozenset((*_LIST_FILLERS, "add", "discard", "popitem", "set", "setdefault", "update"))


class Import(NamedTuple):
    """An import: the name it is ``bound`` to, the module as written after ``level`` dots, the name in it or ""."""

    bound: str
    module: str
    name: str
    level: int


@dataclass(frozen=True)
class SourceFile:
    """A parsed file: its tree, and its functions and classes by place.

    ``functions`` holds every ``def`` and ``lambda`` with the code that it compiles to; several lambdas may share
    a place.
    """

    path: Path
    tree: ast.Module
    functions: dict[Place, list[ast.AST]]
    classes: dict[str, list[ast.ClassDef]]
    codes: dict[Place, list[CodeType]]

    # Digests ask for these of the same files thousands of times.

    @cached_property
    def dumped(self) -> str:
        """The whole tree as text."""
        return ast.dump(self.tree)

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        """Every import of the file."""
        return tuple(imports_in(self.tree))

    @cached_property
    def changed(self) -> frozenset[str]:
        """Global names that a function assigns or fills, or an attribute of which: a cache, a register."""
        functions = [n for nodes in self.functions.values() for n in nodes]
        return frozenset(
            name for function in functions for node in ast.walk(function) for name in _changed(node)
        )

    @cached_property
    def words(self) -> frozenset[str]:
        """What may name a module in the texts of the file: ``"features.user"``."""
        nodes = ast.walk(self.tree)
        texts = {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}
        return frozenset(word for text in texts for word in re.findall(r"[A-Za-z_][\w.]*\w", text))


@dataclass(frozen=True)
class Part:
    """What is in a function or a statement: its tree as text, names that it reads, and what it imports."""

    dumped: str
    chains: frozenset[Chain]
    annotations: frozenset[str]
    imports: tuple[Import, ...]


@lru_cache(maxsize=100_000)
def part_of(tree: ast.AST) -> Part:
    """Read a part of a parsed file: once, since every digest that reaches it asks."""
    names = frozenset(annotated_names(tree))
    return Part(ast.dump(tree), frozenset(chains([tree])), names, tuple(imports_in(tree)))


def read_source(path: Path) -> SourceFile:
    """Parse a file; a parsed one is reused as long as its size and time stay."""
    status = path.stat()
    return _parse(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1024)
def _parse(path: Path, mtime_ns: int, n_bytes: int) -> SourceFile:
    del mtime_ns, n_bytes  # they are the cache's key
    text = path.read_bytes()
    codes: dict[Place, list[CodeType]] = {}
    for code in _codes(compile(text, str(path), "exec", dont_inherit=True)):
        codes.setdefault((code.co_qualname, code.co_firstlineno), []).append(code)
    tree = ast.parse(text)
    file = SourceFile(path, tree, {}, {}, codes)
    _index(tree, "", file)
    for node in ast.walk(tree):
        _drop_docstring(node)
    return file


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def _index(node: ast.AST, prefix: str, file: SourceFile) -> None:
    for child in ast.iter_child_nodes(node):
        inner = prefix
        if isinstance(child, Definition):
            first = min([child.lineno, *(d.lineno for d in child.decorator_list)])
            file.functions.setdefault((prefix + child.name, first), []).append(child)
            inner = f"{prefix}{child.name}.<locals>."
        elif isinstance(child, ast.Lambda):
            file.functions.setdefault((f"{prefix}<lambda>", child.lineno), []).append(child)
            inner = f"{prefix}<lambda>.<locals>."
        elif isinstance(child, ast.ClassDef):
            file.classes.setdefault(prefix + child.name, []).append(child)
            inner = f"{prefix}{child.name}."
        _index(child, inner, file)


def _drop_docstring(node: ast.AST) -> None:
    if isinstance(node, ast.Module | ast.ClassDef | Definition) and ast.get_docstring(node) is not None:
        node.body[:1] = [] if len(node.body) > 1 else [ast.Pass()]


def chains(nodes: list[ast.stmt] | list[ast.AST]) -> set[Chain]:
    """Names that the nodes read, each with the attributes taken from it: ``np.linalg.norm(x)`` gives two.

    >>> sorted(chains(ast.parse("np.linalg.norm(x)").body))
    [('np', 'linalg', 'norm'), ('x',)]
    """
    found: set[Chain] = set()
    waiting: list[ast.AST] = list(nodes)
    while waiting:
        node = waiting.pop()
        chain = _chain(node)
        if chain:
            found.add(chain)
        else:
            waiting.extend(ast.iter_child_nodes(node))
    return found


def annotated_names(tree: ast.AST) -> set[str]:
    """Names in the annotations of parameters and of what is returned, nested functions included.

    >>> sorted(annotated_names(ast.parse("def f(x: Frame, n: int = 0) -> dict[str, Scores]: ...")))
    ['Frame', 'Scores', 'dict', 'int', 'str']
    """
    annotations = [
        node.annotation if isinstance(node, ast.arg) else node.returns
        for node in ast.walk(tree)
        if isinstance(node, ast.arg | Definition)
    ]
    return {n.id for a in annotations if a for n in ast.walk(a) if isinstance(n, ast.Name)}


def _chain(node: ast.AST) -> Chain:
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    is_read = isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store)
    return (node.id, *reversed(attributes)) if isinstance(node, ast.Name) and is_read else ()


def is_inside(path: Path, root: Path) -> bool:
    """Whether a file belongs to the repository: below its root, but not in an environment that lies there."""
    if not path.is_relative_to(root):
        return False
    steps = path.relative_to(root).parts
    return not any(step.startswith(".") or step == "site-packages" for step in steps)


def module_file(module: ModuleType | str | None, root: Path) -> Path | None:
    """The repository file that a module comes from; None for modules from elsewhere."""
    if isinstance(module, str):
        loaded = sys.modules.get(module)
        if loaded is None:
            stem = root.joinpath(*module.split("."))
            return next((p for p in (stem.with_suffix(".py"), stem / "__init__.py") if p.is_file()), None)
        module = loaded
    path = _resolved(getattr(module, "__file__", None) or "")
    is_own = path.suffix == ".py" and is_inside(path, root)
    return path if is_own and path.is_file() else None  # torch has modules of made-up files


@lru_cache(maxsize=10_000)
def _resolved(file: str) -> Path:
    """Follow links: once, since digests ask for the file of the same modules thousands of times."""
    return Path(file).resolve()


def imports_in(tree: ast.AST) -> Iterator[Import]:
    """Every import in a part of a file, as it is written."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.asname or alias.name.partition(".")[0], alias.name, "", 0)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield Import(alias.asname or alias.name, node.module or "", alias.name, node.level)


def source_of(one: Import, module: str, is_package: bool) -> str:
    """The module that an import within ``module`` takes from, dots in front of it followed."""
    if not one.level:
        return one.module
    parents = module.split(".")
    base = parents[: len(parents) - one.level + is_package]
    return ".".join([*base, *([one.module] if one.module else [])])


def module_name(path: Path, root: Path) -> tuple[str, bool]:
    """The dotted name of a repository file, and whether it is a package."""
    steps = path.relative_to(root).with_suffix("").parts
    is_package = steps[-1] == "__init__"
    return ".".join(steps[:-1] if is_package else steps), is_package


def files_imported(imports: Iterable[Import], path: Path, root: Path) -> list[Path]:
    """Repository files that imports of the file ``path``, or of a part of it, name, sorted."""
    within = module_name(path, root)
    named = {(source_of(one, *within), one.name) for one in imports}
    modules = {module for module, _ in named} | {f"{module}.{name}" for module, name in named}
    found = {module_file(module, root) for module in modules}
    return sorted(file for file in found if file is not None)


def files_reached(paths: Iterable[Path], root: Path) -> list[Path]:
    """Files and every repository file that they import, directly or through others, sorted."""
    reached: set[Path] = set()
    waiting = [*paths]
    while waiting:
        current = waiting.pop()
        if current not in reached:
            reached.add(current)
            waiting += files_imported(read_source(current).imports, current, root)
    return sorted(reached)


def files_in_room(path: Path, root: Path) -> list[Path]:
    """All files of the top-level package that a file lies in, or of its folder where there is none, sorted."""
    steps = path.relative_to(root).parts
    found = (root / steps[0]).rglob("*.py") if len(steps) > 1 else root.glob("*.py")
    return sorted(file for file in found if is_inside(file, root))


def files_importing(path: Path, root: Path) -> list[Path]:
    """Files of the same room that import a file, sorted."""
    word = module_name(path, root)[0].rpartition(".")[2].encode()
    others = [file for file in files_in_room(path, root) if file != path and word in file.read_bytes()]
    return [file for file in others if path in files_imported(read_source(file).imports, file, root)]


def modules_named(path: Path, root: Path) -> list[Path]:
    """Repository files of the modules that texts in a file name, sorted: ``"features.user"``."""
    return sorted({file for word in read_source(path).words if (file := module_file(word, root)) is not None})


def tree_of(code: CodeType, file: SourceFile) -> ast.AST | None:
    """The syntax tree of loaded code.

    None if it is not clear (two lambdas on one line), or if the file was edited since it was loaded: then what it
    says now is not what runs.
    """
    place = (code.co_qualname, code.co_firstlineno)
    trees, codes = file.functions.get(place, []), file.codes.get(place, [])
    is_clear = len(trees) == len(codes) == 1 and bytecode(codes[0]) == bytecode(code)
    return trees[0] if is_clear else None


def bytecode(code: CodeType) -> Json:
    """What a code object does, without names of files and numbers of lines."""
    return [
        code.co_code.hex(),
        [*code.co_names],
        [*code.co_varnames],
        [*code.co_freevars],
        [_constant(c) for c in code.co_consts],
    ]


def _constant(value: object) -> Json:
    if isinstance(value, CodeType):
        return bytecode(value)
    if isinstance(value, frozenset):  # its order differs between processes
        return ["frozenset", *sorted(repr(v) for v in value)]
    return repr(value)


def globals_read(code: CodeType) -> set[str]:
    """Global names that code, and the functions defined in it, read."""
    names = {i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= globals_read(constant)
    return names


def home_of(name: str, module: ModuleType, root: Path) -> tuple[str, ModuleType]:
    """Follow ``from other import name`` to the module of the repository that defines the name."""
    seen: set[tuple[str, str]] = set()
    while (name, module.__name__) not in seen:
        seen.add((name, module.__name__))
        file = module_file(module, root)
        if file is None:
            break
        for one in read_source(file).imports:
            origin = source_of(one, module.__name__, hasattr(module, "__path__"))
            if one.bound == name and one.name and origin in sys.modules and module_file(origin, root):
                name, module = one.name, sys.modules[origin]
                break
    return name, module


def statements_about(name: str, file: SourceFile) -> list[ast.stmt]:
    """All top-level statements that mention a name, without definitions and imports."""
    statements = [s for s in file.tree.body if not isinstance(s, _DEFINITIONS)]
    return [s for s in statements if any(_is_name(node, name) for node in ast.walk(s))]


def _changed(node: ast.AST) -> Sequence[str]:
    """The names whose value, or what is in it, a node of a function may change."""
    if isinstance(node, ast.Global):
        return node.names
    if isinstance(node, ast.Subscript | ast.Attribute) and not isinstance(node.ctx, ast.Load):
        return _named(node.value)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _FILLERS:
        return _named(node.func.value)
    return ()


def _named(node: ast.AST) -> Sequence[str]:
    return (node.id,) if isinstance(node, ast.Name) else ()


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
