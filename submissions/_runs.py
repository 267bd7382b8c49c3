"""The runs folder: one folder a run, complete or absent; and the names of runs."""

from __future__ import annotations

import hashlib
import platform
import re
import secrets
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
from blake3 import blake3
from filelock import FileLock
from pydantic import BaseModel, ValidationError

from competitions import Dataset
from engine import Settings, did_you_mean, measure_stage, sync_folder, write_atomically
from submissions._errors import SubmissionError
from submissions._gate import Gate, check_bytes, scored_pairs, submission_bytes
from submissions._ledger import Entry, Ledger
from submissions._manifest import (
    FileFacts,
    Manifest,
    RunFacts,
    Stage,
    git_facts,
    installed_versions,
)

Model = TypeVar("Model", bound=BaseModel)

_STAMP = "%Y%m%d-%H%M%S-%f"
_SHAPE = re.compile(r"\d{8}-\d{6}-\d{6}-[0-9a-f]{4}", re.ASCII)


@dataclass(frozen=True)
class Runs:
    """All runs of a checkout.

    ``root/RUN/`` holds ``manifest.json`` (written last: a folder without it is no run), ``ledger.json``,
    ``scores.parquet`` (test pairs in file order: ``pair_id``, keys, a score column a model and blend, ``score``) and,
    if it was cross-validated, ``oof.parquet`` (``fold``, ``window``, ``pair_id``, user, item, ``relevance``,
    ``score``). ``out/RUN.csv`` is the file to submit. Writers hold an OS lock, which ends with its process.
    """

    root: Path
    out: Path

    @classmethod
    def of(cls, settings: Settings) -> Runs:
        """The runs that the settings point to."""
        return cls(settings.runs, settings.out)

    def ids(self) -> tuple[str, ...]:
        """Names of the finished runs, oldest first."""
        return tuple(run for run in self._folders() if (self.root / run / "manifest.json").is_file())

    def resolve(self, name: str) -> str:
        """Turn a name, the start of one, or ``latest`` into a finished run's name."""
        return resolve_run(name, self.ids())

    def manifest(self, run: str) -> Manifest:
        """Read a run's manifest. Raises SubmissionError if it is damaged."""
        manifest = _read_json(self.root / run / "manifest.json", Manifest)
        if manifest.run != run:
            raise SubmissionError(f"The manifest in the folder of run {run} is that of run {manifest.run}.")
        return manifest

    def ledger(self, run: str) -> Ledger:
        """Read a run's ledger; empty if nothing was added yet. Raises SubmissionError if it is damaged."""
        path = self.root / run / "ledger.json"
        return _read_json(path, Ledger) if path.is_file() else Ledger()

    def scores(self, run: str) -> pl.DataFrame:
        """Read the scores of the test pairs, of every model and of what was submitted (``score``)."""
        return _read_parquet(self.root / run / "scores.parquet")

    def oof(self, run: str) -> pl.DataFrame | None:
        """Read the out-of-fold scores of what was submitted, None if it was not cross-validated."""
        path = self.root / run / "oof.parquet"
        return _read_parquet(path) if path.is_file() else None

    def add(self, run: str, *entries: Entry) -> Ledger:
        """Add entries to a run's ledger, all or none. Two processes at once both get in."""
        with self._locked():
            ledger = self.ledger(run).with_entries(*entries)
            write_atomically(self.root / run / "ledger.json", _json(ledger))
            return ledger

    def publish(
        self, gate: Gate, scores: pl.DataFrame, oof: pl.DataFrame | None, facts: RunFacts
    ) -> Manifest:
        """Pass the gate and make a new run: its file and its folder appear complete or not at all.

        Raises
        ------
        GateError
            The file is refused. Nothing is left behind.
        SubmissionError
            ``scores`` does not hold every given pair exactly once.
        """
        table = scored_pairs(gate, scores)
        with measure_stage() as cost:
            data = submission_bytes(gate, table)
            verdict = check_bytes(gate, data)
        verdict.require("the new submission")
        added = {
            "stages": (*facts.stages, Stage.of("gate", cost)),
            "remarks": (*facts.remarks, *map(str, verdict.warnings)),
        }
        with self._locked():
            self._sweep()
            created = datetime.now(UTC)
            run = self._reserve(created)
            try:
                file = self._write_files(run, gate, data, table, oof)
                known = dict(facts) | added
                manifest = Manifest(**known, run=run, created=created, file=file)
                write_atomically(self.root / run / "manifest.json", _json(manifest))
            except BaseException:
                self._remove(run)
                raise
        return manifest

    def _write_files(
        self, run: str, gate: Gate, data: bytes, table: pl.DataFrame, oof: pl.DataFrame | None
    ) -> FileFacts:
        table.write_parquet(self.root / run / "scores.parquet")
        if oof is not None:
            oof.write_parquet(self.root / run / "oof.parquet")
        sync_folder(self.root / run)
        name = f"{run}.{gate.format.extension}"
        write_atomically(self.out / name, data)
        return FileFacts(
            name=name,
            n_rows=gate.pairs.height,
            n_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            blake3=blake3(data).hexdigest(),
        )

    def _folders(self) -> list[str]:
        """Names of all folders that look like a run, finished or not. Symbolic links do not count."""
        if not self.root.is_dir():
            return []
        return sorted(
            p.name for p in self.root.iterdir() if is_run_id(p.name) and p.is_dir() and not p.is_symlink()
        )

    def _reserve(self, now: datetime) -> str:
        """Make the folder of a new run. ``mkdir`` is exclusive, even on file systems without locks."""
        while True:
            run = new_run_id(now, max(self._folders(), default=None))
            try:
                (self.root / run).mkdir()
            except FileExistsError:
                continue
            return run

    def _sweep(self) -> None:
        """Remove what a killed process left behind. It held the lock that is held here now, so it no longer runs."""
        for run in self._folders():
            folder = self.root / run
            if not any((folder / name).exists() for name in ("manifest.json", "ledger.json")):
                self._remove(run)

    def _remove(self, run: str) -> None:
        for file in (*self.out.glob(f"{run}.*"), *self.out.glob(f".{run}.*.part")):
            file.unlink(missing_ok=True)
        shutil.rmtree(self.root / run)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Wait for the lock of writers. A disk that is full or read-only is a SubmissionError."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.out.mkdir(parents=True, exist_ok=True)
            with FileLock(self.root / ".lock"):
                yield
        except OSError as error:
            raise SubmissionError(
                f"A run cannot be written to {self.root} and {self.out}: {error}",
                expected="folders that may be written, with room; nothing half-made was left behind",
                todo="free space or fix the permissions, or set `runs` and `out` in config.toml",
            ) from error


def about_run(settings: Settings, dataset: Dataset, gate: Gate) -> dict[str, Any]:
    """Facts that every kind of run states: competition, metric, code, config, seeds, data, versions, machine."""
    c = dataset.competition
    not_set = {"prerank"} if settings.prerank is None else None
    return {
        "competition": c.name,
        "metric": c.metric,
        "pair_keys": gate.pair_keys,
        "group": gate.group,
        "user": c.user,
        "git": git_facts(),
        "config": settings.model_dump(mode="json", exclude=not_set),
        "seeds": {"seed": settings.seed},
        "data_fingerprint": dataset.fingerprint,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "versions": installed_versions(),
    }


def _json(model: BaseModel) -> bytes:
    return (model.model_dump_json(indent=1) + "\n").encode()


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong with a stored file into a SubmissionError."""
    try:
        yield
    except (OSError, ValidationError, pl.exceptions.PolarsError) as error:
        raise SubmissionError(
            f"{path} cannot be read: {error}",
            todo=f"restore the file from a copy, or remove the folder {path.parent}",
        ) from error


def _read_json(path: Path, kind: type[Model]) -> Model:
    with _reading(path):
        return kind.model_validate_json(path.read_bytes())


def _read_parquet(path: Path) -> pl.DataFrame:
    with _reading(path):
        return pl.read_parquet(path)


def new_run_id(now: datetime, after: str | None = None) -> str:
    """Make a name such as ``20261121-201530-123456-ab12``: UTC to the microsecond, and four random hex digits.

    It sorts after ``after``, the newest name in use, even if the clock was set back since.
    """
    stamp = now.astimezone(UTC).strftime(_STAMP)
    if after is not None and stamp <= after[: len(stamp)]:
        newest = datetime.strptime(after[: len(stamp)], _STAMP)
        stamp = (newest + timedelta(microseconds=1)).strftime(_STAMP)
    return f"{stamp}-{secrets.token_hex(2)}"


def is_run_id(name: str) -> bool:
    """Tell whether a text has the shape of a run's name."""
    return _SHAPE.fullmatch(name) is not None


def resolve_run(name: str, known: Sequence[str]) -> str:
    """Turn what the user typed into one of the known names: a name, the start of one, or ``latest``.

    What the user typed is only ever compared with names, never joined to a path.

    Raises
    ------
    SubmissionError
        There is no such run, or several start that way.
    """
    runs = sorted(known)
    if not runs:
        raise SubmissionError("There is no run yet.", todo="make one with: make submit")
    if name == "latest":
        return runs[-1]
    matches = [run for run in runs if run == name or (name and run.startswith(name))]
    if len(matches) == 1:
        return matches[0]
    if matches:
        shown = ", ".join(matches[:5]) + (", …" if len(matches) > 5 else "")
        raise SubmissionError(
            f"{len(matches)} runs start with {name!r}: {shown}.", todo="give more of the name"
        )
    raise SubmissionError(
        f"There is no run {name!r}.{did_you_mean(name, [*runs, 'latest'])}",
        expected="a run, the start of one that no other shares, or 'latest'",
        todo="see them with: python -m submissions list",
    )
