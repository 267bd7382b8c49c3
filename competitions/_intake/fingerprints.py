"""Fingerprint the input files by their contents; what has not been touched is not read again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from blake3 import blake3

from engine import DataError, StoreError, write_atomically

# A file written in the same instant as it was hashed could change again without a new time stamp.
SETTLED_NS = 2_000_000_000


def file_digests(paths: Iterable[Path], folder: Path, cache: Path, *, rehash: bool = False) -> dict[str, str]:
    """Return the digest of each file's contents by the file's path in ``folder``.

    Parameters
    ----------
    folder
        The data folder. A file that lies outside of it goes by its name alone.
    cache
        Folder that remembers a digest by (path, size, inode, mtime_ns, ctime_ns). It may be deleted at any time; what
        is in it is whole or not there.
    rehash
        Do not believe the cache.

    Raises
    ------
    DataError
        A file cannot be read, or two of them go by the same name.
    StoreError
        The cache cannot be written.
    """
    digests: dict[str, str] = {}
    for path in paths:
        name = name_in(path, folder)
        if name in digests:
            raise DataError(f"Two input files go by the name {name}.", expected="different names")
        try:
            digests[name] = _digest(path.resolve(), cache, rehash)
        except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name with a null character
            raise DataError(
                f"The input file {path} cannot be read: {error}", todo="look whether it is there"
            ) from error
    return digests


def name_in(path: Path, folder: Path) -> str:
    """Return a file's path in a folder as text; one that lies outside of it goes by its name alone."""
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def _digest(path: Path, cache: Path, rehash: bool) -> str:
    before = _state(path)
    entry = cache / f"{blake3(str(path).encode()).hexdigest(length=16)}.json"
    known = None if rehash else _remembered(entry, before)
    if known is not None:
        return known
    digest = blake3(max_threads=blake3.AUTO).update_mmap(path).hexdigest(length=16)
    if _state(path) != before:
        raise DataError(f"{path} changed while it was read.", todo="wait until it is written, then run again")
    if time.time_ns() - path.stat().st_mtime_ns > SETTLED_NS:
        _remember(entry, {**before, "digest": digest})
    return digest


def _state(path: Path) -> dict[str, Any]:
    stat = path.stat()
    times = {"mtime_ns": stat.st_mtime_ns, "ctime_ns": stat.st_ctime_ns}  # the first can be set at will
    return {"path": str(path), "size": stat.st_size, "inode": stat.st_ino, **times}


def _remembered(entry: Path, state: dict[str, Any]) -> str | None:
    try:
        known = json.loads(entry.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # no entry, or a damaged one: the file is hashed again
    if isinstance(known, dict) and isinstance(known.get("digest"), str) and {**known, **state} == known:
        return str(known["digest"])
    return None


def _remember(entry: Path, known: dict[str, Any]) -> None:
    try:
        write_atomically(entry, json.dumps(known))
    except OSError as error:
        raise StoreError(
            f"{entry.parent} cannot be written: {error}",
            todo="look at the disk and at `store` in config.toml",
        ) from error
