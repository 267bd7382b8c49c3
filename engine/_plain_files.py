"""A room finds its own files: a new one is imported without being named anywhere."""

from __future__ import annotations

import pkgutil
import traceback
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from types import ModuleType

from engine._errors import ConfigError, SamewiseError


def import_plain_files(
    folders: Iterable[str | Path], package: str, *, error: type[SamewiseError] = ConfigError
) -> tuple[ModuleType, ...]:
    """Import every module of a package whose name does not start with an underscore, in the order of the names.

    Parameters
    ----------
    folders
        Where the package's files lie: its ``__path__``.
    error
        What is raised, naming the file and the line, when one cannot be imported. A SamewiseError that the file's
        own code raises passes through: it says more.

    A file that failed is tried again by the next call.
    """
    found = pkgutil.iter_modules([str(folder) for folder in folders])
    names = sorted(module.name for module in found if not module.name.startswith("_"))
    return tuple(_imported(package, name, error) for name in names)


def _imported(package: str, name: str, kind: type[SamewiseError]) -> ModuleType:
    try:
        return import_module(f"{package}.{name}")
    except SamewiseError:
        raise
    except Exception as error:
        file = f"{package.replace('.', '/')}/{name}.py"
        raise kind(
            f"{file} cannot be imported: {type(error).__name__}: {error}{_place(error, name)}",
            expected="a file that imports without an error",
            todo="mend the file, or start its name with an underscore to leave it out; --debug shows the traceback",
        ) from error


def _place(error: BaseException, name: str) -> str:
    """Return the last line of that file that the error came through; a SyntaxError says its line itself."""
    if isinstance(error, SyntaxError):
        return ""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).stem == name]
    return f" (line {lines[-1]})" if lines else ""
