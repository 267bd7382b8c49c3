"""Tables of embeddings that outgrow memory: ``python -m benchmarks.tables``.

Trains vectors of pairs with drawn negatives, in one thread: many in files under a cap on memory, against as many as
fit in memory; beside both Doc2Vec of gensim, by the same held-out rank. Kills a training at random moments and compares
the bytes. Grows a table for a thousand rounds and looks at its memory and seconds. ``--scale 0.05`` is a twentieth.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.table import Table

from benchmarks._figures import keep
from engine import out

PARTS = ("large", "documents", "kill", "grow")


def main() -> int:
    """Run what is asked for; exit code 1 if something is not as it has to be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--rows", type=int, default=20_000_000, help="vectors, half of them on each side")
    parser.add_argument("--pairs", type=int, default=20_000_000)
    parser.add_argument(
        "--held", type=int, default=4_000_000, help="vectors of the run in memory, and its pairs"
    )
    parser.add_argument("--dim", type=int, default=100)
    parser.add_argument("--gib", type=float, default=0.7, help="of each side's working set")
    parser.add_argument("--cap-gib", type=float, default=4.0)
    parser.add_argument("--part-rows", type=int, default=3_400_000, help="rows of a side of a bucket")
    parser.add_argument("--epochs", type=int, nargs="*", default=[1, 5], help="of the documents")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--scale", type=float, default=1.0, help="share of rows, pairs and memory")
    parser.add_argument("--folder", help="for tables in files")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    figures: dict[str, Any] = {}
    problems: list[str] = []
    with TemporaryDirectory(dir=arguments.folder) as folder:
        for part in arguments.parts or PARTS:
            figures[part] = globals()[part](arguments, folder, problems)
    keep("tables", figures, arguments.json)
    out.print("\n".join(problems) or "all is as it has to be")
    return 1 if problems else 0


def run(kind: str, **arguments: Any) -> dict[str, float]:
    """Run one kind in a process of its own."""
    done = subprocess.run(command(kind, arguments), check=True, stdout=subprocess.PIPE, text=True)
    facts: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    out.print(kind, {name: round(value, 4) for name, value in facts.items()})
    return facts


def command(kind: str, arguments: dict[str, Any]) -> list[str]:
    """Command line of a run."""
    return [sys.executable, "-m", "benchmarks._tables_child", kind, json.dumps(arguments)]


def large(a: argparse.Namespace, folder: str, problems: list[str]) -> dict[str, Any]:
    """Many vectors in files under the cap against as many as fit in memory."""
    rows, pairs, held = (int(a.scale * n) for n in (a.rows, a.pairs, a.held))
    shared = {"dim": a.dim, "part_rows": int(a.scale * a.part_rows), "folder": folder}
    found = {
        "in memory": run("train", rows=held, pairs=held, gib=0, cap_gib=0, **shared),
        "in files": run("train", rows=rows, pairs=pairs, gib=a.scale * a.gib, cap_gib=a.cap_gib, **shared),
    }
    table = Table("rows", "vectors", "pairs", "pairs/s", "pairs/CPU s", "growing s", "peak MiB")
    for (name, f), n in zip(found.items(), ((held, held), (rows, pairs)), strict=True):
        figures = (f["pairs_a_second"], f["pairs_a_cpu_second"], f["grow_seconds"], f["peak_mib"])
        table.add_row(name, *(f"{x:,.0f}" for x in (*n, *figures)))
    out.print(table)
    ratio = found["in files"]["pairs_a_second"] / found["in memory"]["pairs_a_second"]
    out.print(f"in files: {ratio:.2f} of the pairs a second in memory")
    if ratio < 0.5:
        problems.append(f"in files it is {ratio:.2f} as fast as in memory, less than 0.5")
    if found["in files"]["peak_mib"] > 1024 * a.cap_gib:
        problems.append(f"in files it took {found['in files']['peak_mib']:,.0f} MiB")
    return found


def documents(a: argparse.Namespace, folder: str, problems: list[str]) -> dict[str, Any]:
    """Doc2vec of a size that gensim can do."""
    left, right, pairs = int(a.scale * 200_000), max(int(a.scale * 100_000), 1000), int(a.scale * 4_000_000)
    gib = 4 * (a.dim + 1) * max(left // 5, 20_000) / 2**30
    shared = {"left": left, "right": right, "pairs": pairs, "dim": a.dim, "folder": folder}
    found = {}
    for epochs in a.epochs:
        for how, limit in (("in memory", 0.0), ("in files", gib), ("gensim", 0.0)):
            name = f"{how}, {epochs} epochs"
            found[name] = run(
                "documents", how=how, gib=limit, epochs=epochs, part_rows=max(left // 6, 1), **shared
            )
    table = Table("doc2vec", "pairs/s", "pairs/CPU s", "mean rank of held-out")
    for name, f in found.items():
        table.add_row(
            name, f"{f['pairs_a_second']:,.0f}", f"{f['pairs_a_cpu_second']:,.0f}", f"{f['rank']:.4f}"
        )
    out.print(table)
    for epochs in a.epochs:
        if found[f"in memory, {epochs} epochs"]["rank"] != found[f"in files, {epochs} epochs"]["rank"]:
            problems.append(f"{epochs} epochs: other ranks in files than in memory")
    return found


def kill(a: argparse.Namespace, folder: str, problems: list[str]) -> dict[str, Any]:
    """Kill a training at random moments, let it end, and compare its bytes with those of one that was left alone."""
    rows, pairs = int(a.scale * a.rows / 20), int(a.scale * a.pairs / 20)
    shared = {
        "rows": rows,
        "pairs": pairs - pairs % 20,
        "dim": a.dim,
        "chunks": 20,
        "folder": f"{folder}/scratch",
    }
    shared |= {"gib": 4 * (a.dim + 1) * rows / 4 / 2**30, "part_rows": max(rows // 4, 1)}
    moments = random.Random(1)
    alone = run("resume", state=f"{folder}/alone", **shared)["seconds"]
    for number in range(a.kills):
        asked = command("resume", {"state": f"{folder}/killed", **shared})
        process = subprocess.Popen(asked, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        at = process.stdout.readline().strip()
        time.sleep(moments.uniform(0, alone / 6))
        process.kill()
        process.communicate()
        out.print(f"kill {number + 1}: began {at}")
    run("resume", state=f"{folder}/killed", **shared)
    if tree(Path(folder, "alone")) != tree(Path(folder, "killed")):
        problems.append("the bytes after kills differ")
    return {"seconds": alone, "kills": a.kills}


def tree(folder: Path) -> dict[str, bytes]:
    """Every file by its path."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def grow(a: argparse.Namespace, folder: str, problems: list[str]) -> dict[str, Any]:
    """Grow a table for many rounds, in memory and in files."""
    found = {}
    for how, gib in (("in memory", 0.0), ("in files", 0.01)):
        facts = found[how] = run("grow", rounds=a.rounds, more=1000, dim=a.dim, gib=gib, folder=folder)
        if facts["grown_mib"] >= 64:
            problems.append(f"{how}: {facts['grown_mib']:.0f} MiB beyond the table")
        if facts["cpu_ratio"] > 1.2:  # what else the machine does is in wall time
            problems.append(
                f"{how}: the last tenth of the rounds took {facts['cpu_ratio']:.2f} times the second"
            )
    return found


if __name__ == "__main__":
    sys.exit(main())
