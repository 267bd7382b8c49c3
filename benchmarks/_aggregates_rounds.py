"""Rounds of the aggregates benchmark: engines take turns, each run a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks._aggregates_agree import disagreements
from benchmarks._aggregates_job import Job
from engine import out

REFERENCES = (
    "polars streaming",
    "duckdb per window",
)  # the first that takes part is what others are compared with


@dataclass(frozen=True)
class Contestant:
    """An engine with its job.

    ``times``: how many such runs its seconds stand for. ``at_most``: rounds that it takes part in. ``program``: what to
    run instead of ``_aggregates_run``, with the files of job and result (and the folder for rows) as arguments.
    """

    name: str
    engine: str
    job: Job
    times: int = 1
    at_most: int = 1_000
    program: tuple[str, ...] = ()

    def command(self) -> list[str]:
        """Command line without the files."""
        return list(self.program) or [sys.executable, "-m", "benchmarks._aggregates_run", self.engine]


@dataclass
class Results:
    """Measured runs by contestant, and in which tables the engines disagree."""

    runs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def seconds(self, name: str) -> list[float]:
        """Wall seconds of each run, multiplied where a run stands for several."""
        return [run["seconds"] * self.times[name] for run in self.runs[name]]

    def median(self, name: str) -> float | None:
        """Median of the seconds; None for who did not take part."""
        return median(self.seconds(name)) if self.runs.get(name) else None

    def figures(self) -> dict[str, object]:
        """Everything but the sums, for the JSON."""
        return {
            name: {
                "median_seconds": self.median(name),
                "seconds": self.seconds(name),
                "cpu_seconds": [run["cpu_seconds"] * self.times[name] for run in runs],
                "peak_mib": max(run["peak_mib"] for run in runs),
                "measured_times": self.times[name],
            }
            for name, runs in self.runs.items()
        }


def compete(contestants: Sequence[Contestant], repeats: int, packages: Path | None) -> Results:
    """Compare the values of a first round, then time the rounds."""
    results = Results(times={one.name: one.times for one in contestants})
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        results.problems = _compared(contestants, folder, packages)
        for number in range(repeats):
            for one in contestants:
                if number < one.at_most:
                    run = _run(one, folder, packages)
                    results.runs.setdefault(one.name, []).append(run)
                    out.print(
                        f"{number + 1}/{repeats} {one.name}: {run['seconds']:.2f} s "
                        f"({run['cpu_seconds']:.1f} s of CPU, load {os.getloadavg()[0]:.1f})",
                        highlight=False,
                    )
    return results


def _compared(contestants: Sequence[Contestant], folder: Path, packages: Path | None) -> list[str]:
    """Run everyone once, the reference first, and compare values; only what differs is kept."""
    reference = next(one for name in REFERENCES for one in contestants if one.name == name)
    rows = {one.name: folder / f"rows-{number}" for number, one in enumerate(contestants)}
    expected = _run(reference, folder, packages, rows[reference.name])["sums"]
    problems = []
    for one in (one for one in contestants if one is not reference):
        sums = _run(one, folder, packages, rows[one.name])["sums"]
        problems += disagreements(one.name, sums, rows[one.name], expected, rows[reference.name])
    return problems


def _run(one: Contestant, folder: Path, packages: Path | None, rows: Path | None = None) -> dict[str, Any]:
    """Run one contestant in a process of its own and read what it measured."""
    job, result = folder / "job.json", folder / "result.json"
    one.job.save(job)
    command = [*one.command(), str(job), str(result)]
    if rows is not None:
        rows.mkdir()
        command.append(str(rows))
    threads = str(one.job.threads)
    environment = {**os.environ, "POLARS_MAX_THREADS": threads, "OMP_NUM_THREADS": threads}
    if packages is not None:
        environment["PYTHONPATH"] = os.pathsep.join([str(packages), os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise SystemExit(f"{one.name} failed:\n{ended.stdout}{ended.stderr}")
    found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return found
