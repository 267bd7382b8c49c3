"""Files that are there whole or not at all, temporary folders, and errors of the disk said as such.

Each process has one folder below ``temp/`` of the store, with a file ``alive`` that it keeps locked while it lives. The
operating system drops the lock when the process ends, however it ends, so a folder whose lock is free belongs to a dead
one.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from engine._errors import SamewiseError, StoreError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EIO, errno.ELOOP}
_CLOSED |= {errno.EISDIR, errno.ENOTEMPTY}  # a folder where a file belongs
_FULL_TEXTS = ("No space left", "os error 28", "quota exceeded", "File too large")  # as Polars words them

_making = threading.Lock()  # threads share the folder of their process
_ours: dict[tuple[int, Path], tuple[Path, FileLock]] = {}


def write_atomically(
    path: Path, data: str | bytes, *, unfinished: Path | None = None, is_durable: bool = True
) -> None:
    """Write a file so that a reader sees the old content or the new one, also if the process is killed meanwhile.

    Parameters
    ----------
    path
        The file; its folder is made if it is missing.
    data
        Its content; a text is written in UTF-8, its line ends as they are.
    unfinished
        Existing folder, on the same file system, for the file until it is complete; None = beside ``path``, as
        ``.NAME.TOKEN.part``.
    is_durable
        Also survive a power failure: flushed to the disk, which costs some milliseconds.

    Raises OSError when the disk is full or closed; then ``path`` is what it was, and nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = (unfinished or path.parent) / f".{path.name}.{secrets.token_hex(4)}.part"
    try:
        with temporary.open("xb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            if is_durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if is_durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Windows has no such call and needs none."""
    if os.name != "nt":
        sync(folder)


def sync(path: Path) -> None:
    """Make the content of a file, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def temporary_folder(root: Path) -> Iterator[Path]:
    """An empty folder on the store's file system, gone after the block unless it was renamed away."""
    folder = own_folder(root) / uuid.uuid4().hex
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def own_folder(root: Path) -> Path:
    """Folder of this process below ``temp/``; made, and those of dead processes removed, on the first use."""
    name = (
        os.getpid(),
        Path(os.path.realpath(root)),
    )  # resolve() has an error of its own for a loop of links
    with _making:
        if name not in _ours or not _ours[name][0].exists():
            _ours[name] = _made(root / "temp")
        return _ours[name][0]


def _made(temp: Path) -> tuple[Path, FileLock]:
    temp.mkdir(parents=True, exist_ok=True)
    with FileLock(temp / "sweep.lock"):
        _sweep(temp)
        own = temp / f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
        own.mkdir()
        alive = FileLock(own / "alive", thread_local=False)
        alive.acquire()
    return own, alive


def _sweep(temp: Path) -> None:
    """Remove the folders of dead processes. Called under the lock that new folders are made under."""
    for folder in temp.iterdir():
        if folder.is_dir():
            try:
                with FileLock(folder / "alive", blocking=False):
                    shutil.rmtree(folder, ignore_errors=True)
            except (Timeout, OSError):  # alive, or nothing that can be swept
                continue


@contextmanager
def disk_errors(root: Path) -> Iterator[None]:
    """Turn a full or closed disk under ``root`` into StoreError; other errors pass through."""
    try:
        yield
    except SamewiseError:
        raise
    except Exception as error:  # Polars and catboost say "no space left" in error types of their own
        if is_full(error):
            raise StoreError(
                f"The disk is full: an artifact could not be written to the store {root} ({error}).",
                expected="room for the artifact; nothing half-written was left behind",
                todo="free space, or see `python -m engine store prune`, and run again: it goes on where it was",
            ) from error
        if isinstance(error, OSError) and error.errno in _CLOSED and _is_below(error.filename, root):
            raise StoreError(
                f"The store {root} cannot be written ({error}).",
                expected="a folder that this user may write, and in it nothing of another kind in the way",
                todo="mend its permissions, remove what is in the way, or set `store` in config.toml to another folder",
            ) from error
        raise


def is_full(error: Exception) -> bool:
    """Whether an error, of Python or of Polars, says that the disk is full."""
    number = error.errno if isinstance(error, OSError) else None
    return number in _FULL or any(text in str(error) for text in _FULL_TEXTS)


def _is_below(filename: object, root: Path) -> bool:
    """Whether a file that an error names is the store, lies in it or above it; unnamed files count as its own."""
    if not isinstance(filename, str | bytes | Path):
        return True
    text = filename.decode() if isinstance(filename, bytes) else str(filename)
    path, base = Path(text).absolute(), root.absolute()
    return path.is_relative_to(base) or base.is_relative_to(path)
