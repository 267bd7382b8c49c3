"""What does size cost? ``python -m benchmarks.scale`` (1, 3, 10 and 30 million simulated rows).

    python -m benchmarks.scale --rows 1_000_000 3_000_000 10_000_000 30_000_000 100_000_000 145_000_000
    python -m benchmarks.scale --data DIR [DIR ...]     # folders of vk2024 files, simulated or real
    python -m benchmarks.scale --submit --data DIR      # also the whole `make submit`

For each size, in a store of its own that is thrown away: seconds per million rows and peak memory of the process tree
for the intake and for the full catalogue in the planned windows (values of the pairs), by kind of feature, and the
number of distinct (user, source) per row beside them. ``--submit``: the same for all of ``python -m submissions make``.
The last lines project the largest run to the 145.67 M rows of the challenge: seconds in proportion to the rows, memory
by the straight line through the two largest runs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks._cached import cache_folder, simulated
from benchmarks._figures import keep
from engine import measure_stage, out

CHALLENGE_ROWS = 145_670_000
MILLION = 1_000_000
CATALOGUE = ("binding", "aggregates", "fitted", "per pair")  # stages of the full catalogue
ALL_FEATURES = "all features"
WANTED = 1.3  # at most, of the seconds per million rows: 30 M against 3 M


def main() -> None:
    """Measure every size, print one table, keep the figures."""
    asked = arguments()
    folders = asked.data or [simulated(asked.data_root, rows) for rows in asked.rows]
    runs: list[dict[str, Any]] = []
    for folder in folders:
        runs.append({"data": str(folder), **measured(folder, asked)})
        out.print(_in_words(runs[-1]), highlight=False)
    runs.sort(key=lambda run: int(run["rows"]))
    out.print(as_table(runs))
    lines = findings(runs)
    out.print("\n".join(lines), highlight=False)
    keep("scale", {"set": asked.overrides, "runs": runs, "findings": lines}, asked.out)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sizes = [MILLION, 3 * MILLION, 10 * MILLION, 30 * MILLION]
    parser.add_argument("--rows", nargs="+", type=int, default=sizes, help="simulated rows of each run")
    parser.add_argument("--data", nargs="+", type=Path, default=[], help="folders of vk2024 files instead")
    parser.add_argument(
        "--data-root", type=Path, default=cache_folder() / "data", help="where simulated data are"
    )
    parser.add_argument("--scratch", type=Path, help="folder for the stores; default: the system's")
    parser.add_argument("--submit", action="store_true", help="also the whole of `make submit`")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, help="file of the figures")
    return parser.parse_args()


def measured(data: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Measure one data set in new stores."""
    with tempfile.TemporaryDirectory(dir=asked.scratch) as temporary:
        folder = Path(temporary)
        result = folder / "result.json"
        settings = [*settings_below(data, folder / "features"), *asked.overrides]
        _must_run([sys.executable, "-m", "benchmarks._scale_run", str(result), *settings])
        found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    stages = [found["stages"][name] for name in CATALOGUE]
    found["stages"][ALL_FEATURES] = {
        "seconds": sum(stage["seconds"] for stage in stages),
        "peak_mib": max(stage["peak_mib"] for stage in stages),
    }
    if asked.submit:
        with tempfile.TemporaryDirectory(dir=asked.scratch) as temporary:
            settings = [*settings_below(data, Path(temporary)), *asked.overrides]
            with measure_stage() as cost:
                chosen = [part for setting in settings for part in ("--set", setting)]
                _must_run([sys.executable, "-m", "submissions", *chosen, "make"])
        found["stages"]["submit"] = {"seconds": cost.seconds, "peak_mib": cost.peak_mib}
    return found


def settings_below(data: Path, folder: Path) -> list[str]:
    """Settings that put everything that is written below one folder."""
    own = {name: str(folder / name) for name in ("store", "reports", "runs", "out")}
    named = {"competition": "vk2024", "data": str(data.resolve()), **own}
    return [f"{name}={json.dumps(value)}" for name, value in named.items()]


def _must_run(command: list[str]) -> None:
    if subprocess.run(command, check=False, env=dict(os.environ)).returncode != 0:
        raise SystemExit(f"This command failed: {' '.join(command)}")


def per_million(run: dict[str, Any], stage: str) -> float:
    """Seconds of a stage per million rows of the log."""
    return float(run["stages"][stage]["seconds"]) / float(run["rows"]) * MILLION


def peak_gib(run: dict[str, Any], stage: str) -> float:
    """Peak memory of the process tree in a stage."""
    return float(run["stages"][stage]["peak_mib"]) / 1024


def _in_words(run: dict[str, Any]) -> str:
    stages = (
        f"{stage} {figures['seconds']:.0f} s, {peak_gib(run, stage):.2f} GiB"
        for stage, figures in run["stages"].items()
    )
    return f"{sized(run)}: {'; '.join(stages)}"


def sized(run: dict[str, Any]) -> str:
    """Say how large a run is."""
    return (
        f"{run['rows']:,} rows ({run['keys_per_row']:.2f} distinct user x source a row), {run['pairs']:,} pairs in "
        f"{run['windows']} windows, {run['columns']} columns"
    )


def as_table(runs: list[dict[str, Any]]) -> Table:
    """One line for each run and stage."""
    table = Table(title="Seconds per million rows, and peak memory of the process tree")
    for heading in ("run", "stage", "seconds", "s / M rows", "peak GiB"):
        table.add_column(heading)
    for run in runs:
        about = sized(run)
        for stage, figures in run["stages"].items():
            cells = (
                f"{figures['seconds']:.1f}",
                f"{per_million(run, stage):.2f}",
                f"{peak_gib(run, stage):.2f}",
            )
            table.add_row(about, stage, *cells)
            about = ""
    return table


def findings(runs: list[dict[str, Any]]) -> list[str]:
    """Say what was wanted and what came out; ``runs`` with the smallest first."""
    lines = []
    by_millions = {round(run["rows"] / MILLION): run for run in runs}
    if 3 in by_millions and 30 in by_millions:
        for stage in ("aggregates", ALL_FEATURES):
            ratio = per_million(by_millions[30], stage) / per_million(by_millions[3], stage)
            verdict = "kept" if ratio <= WANTED else "MISSED"
            lines.append(
                f"{stage}: s per million rows at 30 M / at 3 M is {ratio:.2f}, "
                f"at most {WANTED:.2f} is wanted: {verdict}"
            )
    for run in runs:
        peak = max(peak_gib(run, stage) for stage in run["stages"])
        verdict = "kept" if peak <= run["memory_gib"] else "MISSED"
        lines.append(
            f"{run['rows']:,} rows: {peak:.2f} GiB of a budget of {run['memory_gib']} GiB: {verdict}"
        )
    stages = [
        stage for stage in ("intake", "aggregates", ALL_FEATURES, "submit") if stage in runs[-1]["stages"]
    ]
    return [*lines, *(projected(runs, stage) for stage in stages)]


def projected(runs: list[dict[str, Any]], stage: str) -> str:
    """Project the largest run to the size of the challenge."""
    large = runs[-1]
    seconds = per_million(large, stage) * CHALLENGE_ROWS / MILLION
    memory = peak_gib(large, stage)
    if len(runs) > 1 and runs[-2]["rows"] < large["rows"]:
        slope = (memory - peak_gib(runs[-2], stage)) / (large["rows"] - runs[-2]["rows"])
        memory += slope * (CHALLENGE_ROWS - large["rows"])
    return (
        f"{stage}: {CHALLENGE_ROWS:,} rows, projected from {large['rows']:,}: "
        f"{seconds / 60:.1f} minutes, {memory:.1f} GiB"
    )


if __name__ == "__main__":
    main()
