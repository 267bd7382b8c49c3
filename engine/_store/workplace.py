"""Temporary folders inside the store, and who still uses them.

Each process has one folder below ``temp/`` with a file ``alive`` that it keeps locked while it lives. The operating
system drops the lock when the process ends, however it ends, so a folder whose lock is free belongs to a dead one.
"""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

_making = threading.Lock()  # threads share the folder of their process
_ours: dict[tuple[int, Path], tuple[Path, FileLock]] = {}


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
    name = (os.getpid(), root.resolve())
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
            except Timeout:
                continue
