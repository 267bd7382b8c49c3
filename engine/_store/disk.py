"""Errors of the disk under the store, said as such."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine._errors import SamewiseError, StoreError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EIO, errno.ELOOP}
_FULL_TEXTS = ("No space left", "os error 28", "quota exceeded", "File too large")  # as Polars words them


@contextmanager
def disk_errors(root: Path) -> Iterator[None]:
    """Turn a full or closed disk under ``root`` into StoreError; other errors pass through."""
    try:
        yield
    except SamewiseError:
        raise
    except Exception as error:  # Polars and catboost say "no space left" in error types of their own
        number = error.errno if isinstance(error, OSError) else None
        if number in _FULL or any(text in str(error) for text in _FULL_TEXTS):
            raise StoreError(
                f"The disk is full: an artifact could not be written to the store {root} ({error}).",
                expected="room for the artifact; nothing half-written was left behind",
                todo="free space, or see `python -m engine store prune`, and run again: it goes on where it was",
            ) from error
        if isinstance(error, OSError) and number in _CLOSED and _is_below(error.filename, root):
            raise StoreError(
                f"The store {root} cannot be written ({error}).",
                expected="a folder that this user may write",
                todo="mend its permissions, or set `store` in config.toml to another folder",
            ) from error
        raise


def _is_below(filename: object, root: Path) -> bool:
    """Whether a file that an error names is the store, lies in it or above it; unnamed files count as its own."""
    if not isinstance(filename, str | bytes | Path):
        return True
    text = filename.decode() if isinstance(filename, bytes) else str(filename)
    path, base = Path(text).absolute(), root.absolute()
    return path.is_relative_to(base) or base.is_relative_to(path)
