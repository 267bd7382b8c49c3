"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


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
    part = (unfinished or path.parent) / f".{path.name}.{secrets.token_hex(4)}.part"
    try:
        with part.open("xb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            if is_durable:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    if is_durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Windows has no such call and needs none."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
