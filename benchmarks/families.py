"""What does each family of features cost? ``python -m benchmarks.families`` (10 million simulated rows).

    python -m benchmarks.families --data DIR                          # a folder of vk2024 files
    python -m benchmarks.families --competition movielens --data data
    python -m benchmarks.families --only counters rates --markdown

Each family for the planned windows, in a process and a store of its own that has the data set and nothing else:
seconds, processor seconds (with those of starting up), peak memory of the process tree. A family that reads columns of
others pays for these too (``reads``), so the families sum to more than the whole catalogue, which is measured in the
last line: there all aggregates share their passes over the log, and nothing is computed twice.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks._cached import cache_folder, simulated
from benchmarks._family_run import ALL
from benchmarks._figures import keep
from competitions import open_dataset
from engine import load_settings, out
from features import load_catalogue

HEADINGS = ("family", "columns", "model inputs", "reads", "seconds", "CPU seconds", "peak GiB")


def main() -> None:
    """Measure every family and the whole, print one table, keep the figures."""
    asked = arguments()
    data = asked.data or simulated(asked.data_root, asked.rows)
    with tempfile.TemporaryDirectory(dir=asked.scratch) as temporary:
        taken_in = Path(temporary, "taken-in")
        settings = load_settings(overrides=chosen(asked, data, taken_in))
        catalogue = load_catalogue(open_dataset(settings))
        families = dict.fromkeys(column.family for column in catalogue.columns.values())
        found = {}
        for family in [*(asked.only or sorted(families)), ALL]:
            found[family] = measured(family, asked, data, taken_in)
            out.print(f"{family}: {found[family]['seconds']:.0f} s", highlight=False)
    title = f"{asked.competition}, {found[ALL]['pairs']:,} pairs in {found[ALL]['windows']} windows"
    table = "\n".join(as_markdown(found)) if asked.markdown else as_table(title, found)
    out.print(table, highlight=False, soft_wrap=asked.markdown)
    keep("families", {"data": str(data), "about": title, "families": found}, asked.out)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--competition", default="vk2024")
    parser.add_argument("--data", type=Path, help="folder of the competition's files")
    parser.add_argument("--rows", type=int, default=10_000_000, help="simulated rows, without --data")
    parser.add_argument(
        "--data-root", type=Path, default=cache_folder() / "data", help="where simulated data are"
    )
    parser.add_argument("--only", nargs="+", metavar="FAMILY", help="these families, and the whole")
    parser.add_argument("--scratch", type=Path, help="folder for the stores; default: the system's")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--out", type=Path, help="file of the figures")
    return parser.parse_args()


def chosen(asked: argparse.Namespace, data: Path, store: Path) -> list[str]:
    """Settings of one measurement."""
    own = {"competition": asked.competition, "data": str(data.resolve()), "store": str(store)}
    return [*(f"{name}={json.dumps(value)}" for name, value in own.items()), *asked.overrides]


def measured(family: str, asked: argparse.Namespace, data: Path, taken_in: Path) -> dict[str, Any]:
    """Measure one family in a copy of the store that holds the data set only."""
    with tempfile.TemporaryDirectory(dir=asked.scratch) as temporary:
        result, store = Path(temporary, "result.json"), Path(temporary, "store")
        shutil.copytree(taken_in, store)
        command = [sys.executable, "-m", "benchmarks._family_run", str(result), family]
        before = processor_seconds()
        done = subprocess.run([*command, *chosen(asked, data, store)], check=False, env=dict(os.environ))
        if done.returncode != 0:
            raise SystemExit(f"The family {family!r} failed (see above).")
        found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        found["cpu_seconds"] = processor_seconds() - before
    return found


def processor_seconds() -> float:
    """Processor time of all processes that have ended below this one."""
    used = os.times()
    return used.children_user + used.children_system


def as_table(title: str, found: Mapping[str, Mapping[str, Any]]) -> Table:
    """One line a family."""
    table = Table(title=title)
    for heading in HEADINGS:
        table.add_column(heading)
    for family, figures in found.items():
        table.add_row(*cells(family, figures))
    return table


def as_markdown(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The same for a document."""
    lines = [HEADINGS, ["---"] * len(HEADINGS), *(cells(family, f) for family, f in found.items())]
    return [f"| {' | '.join(line)} |" for line in lines]


def cells(family: str, figures: Mapping[str, Any]) -> list[str]:
    """Text of one line."""
    counts = [str(figures[name]) for name in ("columns", "inputs", "read")]
    times = [f"{figures[name]:.0f}" for name in ("seconds", "cpu_seconds")]
    name = "the whole catalogue" if family == ALL else family
    return [name, *counts, *times, f"{figures['peak_gib']:.2f}"]


if __name__ == "__main__":
    main()
