"""What benchmarks keep between runs, outside the repository: peers' packages, environments, simulated data."""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine import ConfigError, Settings, load_settings

REQUIREMENTS = Path(__file__).parent


def cache_folder() -> Path:
    """Folder of what is kept: below XDG_CACHE_HOME, or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "samewise-benchmarks"


def with_folders(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add where a benchmark keeps its store, what it keeps between runs, and its figures."""
    parser.add_argument("--scratch", type=Path, help="folder for the store; default: the system's")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="what is kept between runs")
    parser.add_argument("--out", type=Path, help="file of the figures")
    return parser


def package_folder(cache: Path, requirements: str = "requirements.txt") -> Path:
    """Folder to put on PYTHONPATH: the packages of a requirements file, installed when they are first asked for.

    Ends the program, saying what to do, if they cannot be installed.
    """
    folder = _named_by_content(cache / "packages", requirements)
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            fresh = Path(temporary, "packages")
            _pip(Path(sys.executable), requirements, "--target", str(fresh))
            fresh.rename(folder)
    return folder


def environment_python(cache: Path, requirements: str) -> Path:
    """Python of a virtual environment with the packages of a requirements file, made when it is first asked for.

    Ends the program, saying what to do, if it cannot be made.
    """
    folder = _named_by_content(cache / "environments", requirements)
    python, is_complete = folder / "bin" / "python", folder / "complete"
    if not is_complete.exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        _pip(python, requirements)
        is_complete.touch()
    return python


def simulated(
    root: Path, rows: int, seed: int = 7, parts: int = 1, world: str = "", effects: str = ""
) -> Path:
    """Folder with a simulated vk2024 data set of so many rows, made when it is first asked for.

    ``parts``: files of the log. ``world``: of the simulator; empty = its default. ``effects``: of order; empty = none.
    """
    folder = root / (
        f"vk2024-{rows}-{seed}"
        + (f"-in-{parts}" if parts > 1 else "")
        + (f"-{world}" if world else "")
        + (f"-{effects.replace(',', '-')}" if effects else "")
    )
    if not folder.exists():
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root) as temporary:
            fresh = Path(temporary, "data")
            size = ["--rows", str(rows), "--seed", str(seed), "--parts", str(parts), "--out", str(fresh)]
            size += ["--world", world] if world else []
            size += ["--effects", effects] if effects else []
            command = [sys.executable, "-m", "competitions", "simulate", "vk2024", *size]
            if subprocess.run(command, check=False).returncode != 0:
                raise SystemExit("The log could not be simulated (see above).")
            fresh.rename(folder)
    return folder


LOG_HELP = (
    "COMPETITION, COMPETITION@FOLDER of its files, or vk2024:ROWS:SEED[:WORLD], which is simulated; "
    "vk2024_order:ROWS:SEED is simulated with all effects of order"
)
EFFECTS = {"vk2024": "", "vk2024_order": "boredom,mood,contagion,position"}


@dataclass(frozen=True)
class Log:
    """A data set that a benchmark is run on: ``text`` as it was asked for, ``name`` for files, and where it is."""

    text: str
    name: str
    competition: str
    data: Path

    @classmethod
    def of(cls, text: str, root: Path) -> Log:
        """Read ``LOG_HELP``; what is simulated or fetched lies below ``root``."""
        competition, _, folder = text.partition("@")
        if folder:
            data = Path(folder).resolve()
            return cls(text, "-".join([competition, *data.parts[1:]]), competition, data)
        competition, *numbers = text.split(":")
        if not numbers:
            return cls(text, text, text, root / text)
        try:
            rows, seed, world = int(numbers[0]), int(numbers[1]), "".join(numbers[2:3])
        except (IndexError, ValueError):
            rows = seed = -1
        effects = EFFECTS.get(competition)
        if effects is None or rows < 1 or len(numbers) > 3:
            raise ConfigError(f"{text!r} is no log.", expected=LOG_HELP)
        data = simulated(root, rows, seed, world=world, effects=effects)
        return cls(text, data.name, competition, data)

    def settings(self, folder: Path, overrides: Sequence[str]) -> Settings:
        """Settings for this log with its store below ``folder``, and what else is set."""
        own = [f'competition="{self.competition}"', f'data="{self.data}"']
        return load_settings(overrides=[*own, f'store="{folder / "stores" / self.name}"', *overrides])


def _named_by_content(parent: Path, requirements: str) -> Path:
    digest = hashlib.sha256((REQUIREMENTS / requirements).read_bytes()).hexdigest()[:12]
    return parent / f"{Path(requirements).stem}-{digest}"


def _pip(python: Path, requirements: str, *options: str) -> None:
    file = REQUIREMENTS / requirements
    command = [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(file), *options]
    if subprocess.run(command, check=False).returncode != 0:
        raise SystemExit(
            f"The packages of {file} could not be installed (see above). Install them by hand with\n  "
            f"{' '.join(command)}\nor leave out the peers that need them (--help says how)."
        )
