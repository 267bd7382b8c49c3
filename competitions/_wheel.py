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


def fetch_wheel(requirement: str, filename: str, sha256: str, folder: Path) -> Path:
    """Return ``folder/filename``, downloaded by pip if it is not there.

    The file appears whole or not at all, and two runs at once download it once.

    Parameters
    ----------
    requirement
        One exact version, e.g. ``recbole==1.2.1``; its dependencies are not fetched.
    sha256
        Hex digest that the file must have, checked on every call.

    Raises
    ------
    DataError
        No network, no pip, or a file with other contents.
    """
    path = folder / filename
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{filename}.lock"):
            if not path.exists():
                _download(requirement, path, sha256)
    _check(path, sha256)
    return path


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
