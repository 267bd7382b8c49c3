"""Set up .venv from requirements.lock. Standard library only: it runs before anything is installed.

Run as a script by the Makefile. Skipped when the lock file has not changed; one process at a time; a set-up that was
killed half-way starts anew.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK_FILE = ROOT / "requirements.lock"
READY, BROKEN = VENV / ".ready", VENV / ".installing"
OLDEST = (3, 11)


def main() -> int:
    """Set up if needed; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--torch-index", help="package index to take torch from, such as that of its CPU builds"
    )
    torch_index: str | None = parser.parse_args().torch_index
    if sys.version_info < OLDEST:
        return _fail(
            f"Python {sys.version.split()[0]} is too old. Expected: 3.11 or later. To do: make PYTHON=python3.11"
        )
    with (ROOT / ".venv.lock").open("a") as lock:
        _wait_for(lock.fileno())
        wanted = hashlib.sha256(LOCK_FILE.read_bytes() + sys.version.encode()).hexdigest()
        if READY.exists() and READY.read_text() == wanted and not BROKEN.exists():
            return 0
        return _install(wanted, torch_index)


def _install(wanted: str, torch_index: str | None) -> int:
    sys.stderr.write("Setting up .venv from requirements.lock (two to three minutes, once) ...\n")
    if BROKEN.exists() or (VENV.exists() and not READY.exists()):
        shutil.rmtree(VENV)
    if not VENV.exists():
        venv.create(VENV, with_pip=True)
    BROKEN.touch()
    torch = next(line for line in LOCK_FILE.read_text().splitlines() if line.startswith("torch=="))
    index = ["--index-url", torch_index] if torch_index else []
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for arguments in ([*index, torch], ["-r", str(LOCK_FILE)]):
        if subprocess.run([*pip, *arguments], check=False).returncode:
            return _fail(
                "pip could not install the packages above. To do: mend the cause and run make setup again."
            )
    READY.write_text(wanted)
    BROKEN.unlink()
    return 0


def _wait_for(descriptor: int) -> None:
    """Take the lock, or wait until the other set-up ends."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.stderr.write("Another set-up of .venv is running; waiting for it ...\n")
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _fail(message: str) -> int:
    sys.stderr.write(message + "\n")
    return 1


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
