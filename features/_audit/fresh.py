"""Feature files imported anew within a world, bound to its data set; and which features an import concerns."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from competitions import Dataset
from engine import SamewiseError, digested_elsewhere
from features._audit.outside import Access, is_house, is_library
from features._catalogue import Catalogue, bind_catalogue
from features._declare import REGISTRY, Declaration, Registry

Names = dict[str, set[str]]
"""Names at the top of modules, by module."""


def packed(what: object) -> bytes:
    """Turn something into bytes, as jobs are handed over."""
    from joblib.externals.loky.backend.reduction import dumps

    return bytes(dumps(what))


def unpacked(content: bytes) -> Any:
    """Turn bytes into what it was."""
    from joblib.externals.loky.backend.reduction import loads

    return loads(content)


@dataclass(frozen=True)
class Packed:
    """A declaration on its way to a world: its file is imported when it is unpacked, and not before.

    ``names``: of its columns. ``content``: bytes; the declaration itself where it cannot be packed, as a closure over a
    lock, which no other process can be given.
    """

    names: tuple[str, ...]
    content: bytes | Declaration

    @classmethod
    def of(cls, declaration: Declaration) -> Packed:
        """Pack a declaration."""
        try:
            return cls(declaration.names, packed(declaration))
        except Exception:  # whatever a closure holds: a lock, an open file
            return cls(declaration.names, declaration)

    def unpacked(self) -> Declaration:
        """Import its file, unless that is done."""
        if isinstance(self.content, Declaration):
            return self.content
        found: Declaration = unpacked(self.content)
        return found


@dataclass(frozen=True)
class Bound:
    """What features are in a world. ``errors``: by column, why it cannot be imported or bound there."""

    catalogue: Catalogue
    errors: Mapping[str, str]


def bound(features: Sequence[Packed], dataset: Dataset) -> Bound:
    """Import feature files and bind what is packed to a data set; what fails is told, the rest is there."""
    errors: dict[str, str] = {}
    declarations: dict[str, Declaration] = {}
    for one in features:
        try:
            declaration = one.unpacked()
            declarations[declaration.name] = declaration
        except (Exception, SystemExit) as error:
            message = f"its file cannot be imported: {type(error).__name__}: {error}"
            errors |= dict.fromkeys(one.names, message)
    try:
        return Bound(bind_catalogue(dataset, Registry(declarations)), errors)
    except SamewiseError:
        pass
    good: dict[str, Declaration] = {}
    for declared in sorted(declarations.values(), key=lambda declared: declared.kind == "per_pair"):
        beside = good if declared.kind == "per_pair" else {}
        try:
            bind_catalogue(dataset, Registry({**beside, declared.name: declared}))
            good[declared.name] = declared
        except SamewiseError as error:
            errors |= dict.fromkeys(declared.names, " ".join(str(error).split()))
    return Bound(bind_catalogue(dataset, Registry(good)), errors)


@digested_elsewhere  # each feature by itself
def registered() -> dict[str, Declaration]:
    """What feature files have registered by now."""
    return REGISTRY.declarations


@contextmanager
def fresh_modules() -> Iterator[None]:
    """Forget the code of users for the time of the block, so that it is imported anew; then what was there is again."""
    before, declared = _own_modules(), dict(registered())
    parted = (name.rpartition(".") for name in before)
    named = [(sys.modules[package], child) for package, _, child in parted if package in sys.modules]
    meant = [(package, child, vars(package)[child]) for package, child in named if child in vars(package)]
    _forget(before)
    registered().clear()
    try:
        yield
    finally:
        _forget(_own_modules())
        registered().clear()
        registered().update(declared)
        sys.modules.update(before)
        for package, child, value in meant:  # not always the module: a function may have the name of its file
            setattr(package, child, value)


def _forget(modules: Iterable[str]) -> None:
    for name in list(modules):
        package, _, child = name.rpartition(".")
        if vars(sys.modules.get(package, ast)).get(child) is sys.modules.pop(name):
            delattr(sys.modules[package], child)


def _own_modules() -> dict[str, ModuleType]:
    """Modules that users write: feature files, the toolkit and whatever else is neither a library nor the house's."""
    return {
        name: module
        for name, module in list(sys.modules.items())
        if (file := getattr(module, "__file__", None)) and _is_own(name, file)
    }


@cache
def _is_own(name: str, file: str) -> bool:
    is_kept = name.partition(".")[0] in ("__main__", "__mp_main__", "competitions")
    is_found = Path(
        file
    ).is_absolute()  # by the import system; libraries give modules that they make other names
    return is_found and not (is_kept or is_library(file) or is_house(file))


def concerned(access: Access, features: Iterable[Declaration]) -> list[str]:
    """Name the features whose code names what a file made while it was imported; if there is none, all of that file."""
    features = list(features)
    made = _made_of(access)
    found = [f.name for f in features if f.body.__name__ in made.get(f.body.__module__, ())]
    beside = [f.name for f in features if str(f.place.file) == access.file]
    return found or beside or [f.name for f in features]


def _made_of(access: Access) -> Names:
    """Names of what the statement at a line makes, and of all that is made of them, in every module of users."""
    trees = {name: _parsed(str(module.__file__)) for name, module in _own_modules().items()}
    found: Names = {name: set() for name in trees}
    for name, tree in trees.items():
        if sys.modules[name].__file__ == access.file:
            own = (s for s in tree.body if s.lineno <= access.line <= (s.end_lineno or s.lineno))
            found[name] |= {one for statement in own for one in _stored(statement)}
    size = -1
    while size != (size := sum(map(len, found.values()))):
        for name, tree in trees.items():
            for statement in tree.body:
                found[name] |= _imported(statement, found)
                if found[name] & _read(statement):
                    found[name] |= _stored(statement)
    return found


def _stored(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    stored = {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    aliases = [
        alias for n in ast.walk(statement) if isinstance(n, ast.Import | ast.ImportFrom) for alias in n.names
    ]
    return stored | {(alias.asname or alias.name).partition(".")[0] for alias in aliases}


def _read(statement: ast.stmt) -> set[str]:
    names = {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    return names | {n.attr for n in ast.walk(statement) if isinstance(n, ast.Attribute)}


def _imported(statement: ast.stmt, found: Names) -> set[str]:
    names = set()
    for node in ast.walk(statement):
        for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else ():
            module = node.module if isinstance(node, ast.ImportFrom) else None
            whole = f"{module}.{alias.name}" if module else alias.name
            if found.get(whole) or (module and alias.name in found.get(module, ())):
                names.add((alias.asname or alias.name).partition(".")[0])
    return names


@cache
def _parsed(file: str) -> ast.Module:
    try:
        return ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError):
        return ast.Module(body=[], type_ignores=[])
