"""Which files ``read()`` opens: a change of one that ``files()`` does not name would go unnoticed."""

from __future__ import annotations

import glob
import os
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType

READERS = f"{os.sep}polars{os.sep}io{os.sep}"
EVENTS = ("open", "os.system", "sqlite3.connect", "subprocess.Popen")
WRITES = os.O_WRONLY | os.O_RDWR
NO_DATA = (".py", ".pyc", ".pyd", ".so", ".dll")
SYSTEM = ("/dev", "/etc", "/lib", "/proc", "/sys", "/usr", "/Library", "/System")


@dataclass(frozen=True)
class OpenedFiles:
    """Files that were opened in a block: ``read`` is what was, ``written`` what could be written to."""

    since_ns: int
    read: set[Path] = field(default_factory=set)
    written: set[Path] = field(default_factory=set)

    def unnamed(self, named: Iterable[Path], folder: Path) -> list[Path]:
        """Files of data that were read, are not among the ``named`` ones and were there before, sorted.

        Libraries and the system read files of their own, and so do programs in hidden folders: what lies in the data
        ``folder`` is data all the same.
        """
        known = {path.resolve() for path in (*named, *self.written)}
        found = {path.resolve() for path in self.read if _is_file(path)} - known
        return sorted(
            p for p in found if _is_data(p, folder.resolve()) and p.stat().st_ctime_ns < self.since_ns
        )


@contextmanager
def opened_files() -> Iterator[OpenedFiles]:
    """Note what is opened in the block: by Python, by a reader of Polars, or as a file that a command names.

    Under cProfile, which could not go on afterwards, readers of Polars are not seen in this thread.
    """
    _listen()
    before, in_threads, opened = sys.getprofile(), threading.getprofile(), OpenedFiles(time.time_ns())
    notice = _reader_calls(opened)
    _listeners.append(opened)
    is_free = before is None or callable(before)
    if is_free:
        sys.setprofile(notice)
    threading.setprofile(notice)
    try:
        yield opened
    finally:
        threading.setprofile(in_threads)
        if is_free:
            sys.setprofile(before)
        _listeners.remove(opened)


_listeners: list[OpenedFiles] = []


@cache
def _listen() -> None:
    """Hear of opened files from here on: such a hook cannot be taken away."""
    sys.addaudithook(_hear)


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if not _listeners or event not in EVENTS:
        return
    flags = arguments[2] if event == "open" else 0
    paths: object = arguments[1] if event == "subprocess.Popen" else arguments[0]
    if event == "os.system" and isinstance(paths, bytes):
        paths = os.fsdecode(paths).split()
    for path in paths if isinstance(paths, list | tuple) else (paths,):
        if isinstance(path, str | bytes | os.PathLike):
            for one in _listeners:
                place = one.written if isinstance(flags, int) and flags & WRITES else one.read
                place.add(Path(os.fsdecode(path)).absolute())


def _reader_calls(opened: OpenedFiles) -> Callable[[FrameType, str, object], None]:
    def notice(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_name.startswith(("read_", "scan_")) and READERS in code.co_filename:
            opened.read.update(_files_of(frame.f_locals.get("source")))

    return notice


def _files_of(source: object) -> Iterator[Path]:
    """Files that a source of a reader stands for: a path, a folder, a pattern, or several of these."""
    if isinstance(source, list | tuple):
        for one in source:
            yield from _files_of(one)
    elif isinstance(source, str | os.PathLike):
        path = Path(os.fsdecode(source)).expanduser()
        matching = [path] if path.exists() else glob.glob(str(path), recursive=True)  # noqa: PTH207 - it may be absolute
        for found in (Path(one).absolute() for one in matching):
            yield from found.rglob("*") if found.is_dir() else (found,)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a word of a command that cannot be a path
        return False


def _is_data(path: Path, folder: Path) -> bool:
    if path.is_relative_to(folder):
        return True
    is_hidden = any(step.startswith(".") for step in path.parts)
    return not (path.suffix in NO_DATA or is_hidden or any(map(path.is_relative_to, _libraries())))


@cache
def _libraries() -> tuple[Path, ...]:
    """Folders of Python, of installed libraries and of the system."""
    installed = {sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), *SYSTEM}
    return tuple(Path(folder).resolve() for folder in installed)
