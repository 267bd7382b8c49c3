"""Faces of packages that import what they export when it is first asked for."""

from __future__ import annotations

import ast
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

Origins = dict[str, tuple[str, str]]


class LazyFace(ModuleType):
    """A module whose exports are imported on first use.

    ``__origins__``: the module of each such export, and the name it has there.
    """

    __origins__: Origins

    def __getattr__(self, name: str) -> Any:
        """Import a name that nobody has asked for yet. Raises AttributeError for one that is not exported."""
        if name not in self.__origins__:
            message = f"module {self.__name__!r} has no attribute {name!r}"
            raise AttributeError(message, name=name, obj=self)
        origin, original = self.__origins__[name]
        if origin == self.__name__:
            return import_module(f"{origin}.{original}")
        module = import_module(origin)
        if not hasattr(module, original):  # an AttributeError would be taken for a missing name of the face
            raise ImportError(
                f"cannot import name {original!r} from {origin!r}, although {self.__name__!r} exports it"
            )
        value = getattr(module, original)
        setattr(self, name, value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute, but let no submodule hide the export of its name: ``import p.mean`` sets ``p.mean``."""
        is_submodule = isinstance(value, ModuleType) and value.__name__ == f"{self.__name__}.{name}"
        origin, _ = self.__origins__.get(name, (self.__name__, name))
        if not is_submodule or origin == self.__name__:
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        """All names, those not imported yet included."""
        return sorted({*vars(self), *self.__origins__})

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to worker processes by name, as other modules do."""
        return import_module, (self.__name__,)


def lazy_face(package: str) -> None:
    """Import what a package exports when it is asked for; the last statement of its ``__init__.py``.

    The exports stand there as imports that type checkers read and Python skips, and in ``__all__``::

        if TYPE_CHECKING:
            from features._storage.columns import StoredPairs
        __all__ = ["StoredPairs"]
        lazy_face(__name__)

    Parameters
    ----------
    package
        The ``__name__`` of the package. Names that it defines or imports outside of ``if TYPE_CHECKING:`` are
        there at once, as usual.

    Raises
    ------
    ImportError
        When ``__all__`` lists a name that is neither imported nor defined, or misses one that is imported.
    """
    module = sys.modules[package]
    origins = _origins(Path(str(module.__file__)))
    listed = set(module.__all__)
    wrong = sorted((listed - vars(module).keys() - origins.keys()) | (origins.keys() - listed))
    if wrong:
        raise ImportError(
            f"the imports of {package!r} and its __all__ differ: {', '.join(wrong)}", name=package
        )
    vars(module)["__origins__"] = origins
    module.__class__ = LazyFace
    for name, value in list(vars(module).items()):  # submodules that were imported before
        if name in origins and isinstance(value, ModuleType):
            delattr(module, name)


def _origins(file: Path) -> Origins:
    """Where the names come from that a file imports under ``if TYPE_CHECKING:``."""
    blocks = [s for s in ast.parse(file.read_bytes()).body if isinstance(s, ast.If)]
    imports = [
        statement
        for block in blocks
        if isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
    ]
    return {a.asname or a.name: (str(s.module), a.name) for s in imports for a in s.names}
