"""Run what the author of a competition wrote; whatever goes wrong there is told as a mistake of that file."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import unwrap
from pathlib import Path
from types import ModuleType

import polars as pl

from competitions._competition import Competition, LogFile, RawTables
from competitions._opened_files import opened_files
from engine import DataError, SamewiseError, digested_elsewhere

N_SHOWN = 3
PLAN = "\n\nResolved plan until failure"  # what Polars appends to a message: pages, for a long query


@contextmanager
def blamed_on(competition: Competition, what: str, expected: str = "") -> Iterator[None]:
    """Turn any exception of the block into a DataError that names the competition, its file and line, and what failed.

    Errors that already say what to do (SamewiseError) pass as they are. ``what``: e.g. "read()".
    """
    try:
        yield
    except SamewiseError:
        raise
    except Exception as error:
        message = str(error).split(PLAN)[0].strip()
        raise DataError(
            f"{what} of competition {competition.name!r} failed ({_place(competition, error)}): "
            f"{type(error).__name__}: {message}",
            expected=expected,
            todo="correct the file of the competition; --debug shows the traceback",
        ) from error


def input_files(competition: Competition, folder: Path) -> tuple[Path, ...]:
    """Return the files that the competition reads. Raises DataError if they cannot be told."""
    with blamed_on(competition, "files()", "the paths of the files that read() reads"):
        found = competition.files(folder)
        return tuple(map(Path, [found] if isinstance(found, str | Path) else found))


def read_tables(competition: Competition, folder: Path) -> RawTables:
    """Return the competition's raw tables.

    Raises DataError if it cannot read them, returns something else, or reads a file that ``files()`` does not name.
    """
    expected = "RawTables from the files of the data folder"
    with opened_files() as opened, blamed_on(competition, "read()", expected):
        tables = competition.read(folder)
    if unnamed := opened.unnamed(input_files(competition, folder), folder):
        raise DataError(
            f"read() of competition {competition.name!r} ({file_of(competition)}) reads "
            f"{', '.join(map(str, unnamed[:N_SHOWN]))}{' and others' * (len(unnamed) > N_SHOWN)}, which its files() "
            "does not name.",
            expected="every file that read() reads among those of files(): their contents are hashed",
            todo="let files() return it, too: else a change of it would not be noticed",
        )
    found = f"read() of competition {competition.name!r} ({file_of(competition)}) returned"
    if not isinstance(tables, RawTables):
        raise DataError(f"{found} a {type(tables).__name__}.", expected="RawTables")
    wrong = [
        f"a {type(table).__name__} as {name}"
        for name, table in vars(tables).items()
        if not (
            isinstance(table, pl.LazyFrame)
            or name == "log_files"
            or (table is None and name != "interactions")
        )
    ]
    wrong += [f"a {type(f).__name__} in log_files" for f in tables.log_files if not isinstance(f, LogFile)]
    if wrong:
        raise DataError(f"{found} {', '.join(wrong)}.", expected="LazyFrames", todo="end it with .lazy()")
    return tables


def file_of(competition: Competition) -> str:
    """Return the name of the file that defines the competition, as far as it can be told."""
    path = _path_of(competition)
    return "no file" if path is None else Path(path).name


@digested_elsewhere  # words for messages
def _path_of(competition: Competition) -> str | None:
    code = getattr(unwrap(competition.read), "__code__", None)
    reader = None if code is None else str(code.co_filename)
    holders = [
        str(module.__file__)
        for name, module in sorted(sys.modules.items())
        if name.startswith("competitions.") and isinstance(module, ModuleType)
        if any(value is competition for value in vars(module).values())
    ]
    # Of several, the others import it; a competition made from another one has its read() elsewhere.
    return reader if reader in holders or not holders else holders[0]


def _place(competition: Competition, error: Exception) -> str:
    """Return the file, and the last of its lines that the error came through."""
    path = _path_of(competition)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return file_of(competition) + (f", line {lines[-1]}" if lines else "")
