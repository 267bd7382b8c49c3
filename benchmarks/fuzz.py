"""Random competitions through every command: ``python -m benchmarks.fuzz --n 300`` ends without a raw error.

Dtypes, names, ids, clocks, sizes from three rows, labels (all, none, mixed, graded), gaps, nulls, files, formats and
settings are drawn from a seed; each command has to succeed or to end with a message that says what was found and what
to do. A message that comes late is one of a run after ``competitions check`` had nothing to say. Submissions are read
again by another reader: every test pair once, with a finite score. It runs in a copy of the checkout. ``--only SEED``
repeats one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ROOMS = (
    "engine",
    "competitions",
    "validation",
    "features",
    "models",
    "stacking",
    "submissions",
    "benchmarks",
)


def run(seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Run every command on the competitions of the seeds; give what became of each command.

    A dict each: ``seed``, ``command``, ``outcome`` and, but for ``ok``, ``error``. Outcomes are ``ok``; ``message``;
    ``late``: a message of a run that passed ``competitions check``; ``failed``: exit code 1, as of an audit that found
    defects; and ``raw``.
    A process that dies is raw, and the next one goes on with the next seed.
    """
    with tempfile.TemporaryDirectory(prefix="samewise_fuzz_") as folder:
        for room in ROOMS:
            ignored = shutil.ignore_patterns("__pycache__", "out")
            shutil.copytree(ROOT / room, Path(folder) / room, ignore=ignored)
        waiting = list(seeds)
        while waiting:
            last: dict[str, Any] = {"seed": waiting[0], "command": "start"}
            for last in _run_child(Path(folder), waiting):
                waiting = waiting[waiting.index(last["seed"]) :]
                if last["command"] != "begin":
                    yield last
            if last.get("command") != "end":
                yield {**last, "outcome": "raw", "error": "the process died in the command after this one"}
            waiting = waiting[1:]


def _run_child(folder: Path, seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "120", "POLARS_MAX_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks._fuzz_child", *map(str, seeds)]
    last = {}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        for line in child.stdout or ():
            if line.startswith('{"seed"'):
                last = json.loads(line)
                yield last
    if child.returncode == 0 and last:
        yield {**last, "command": "end"}


def main() -> None:
    """Run it, print every raw error with its seed, and count what the commands ended with."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--n", type=int, default=100, help="number of competitions")
    parser.add_argument("--first", type=int, default=0, help="seed of the first one")
    parser.add_argument(
        "--only", type=int, help="repeat the one of this seed, and show its messages and places"
    )
    parser.add_argument("--log", type=Path, help="write a line of JSON for each command into this file")
    asked = parser.parse_args()
    seeds = [asked.only] if asked.only is not None else range(asked.first, asked.first + asked.n)
    counts: Counter[str] = Counter()
    seen: Counter[tuple[str, str]] = Counter()
    log = asked.log.open("w", encoding="utf-8") if asked.log else None
    for found in run(seeds):
        if found["command"] == "end":
            continue
        counts[found["outcome"]] += 1
        kind = (found["command"].split(" --")[0], found.get("error", "").split("\n")[0][:150])
        if found["outcome"] in ("raw", "failed") or asked.only is not None:
            print(f"seed {found['seed']}  {found['command']}  {found['outcome']}  {found.get('error', '')}")
            print(found.get("where", "") if asked.only is not None else "", flush=True)
        seen[found["outcome"], kind[1]] += found["outcome"] != "ok"
        if log:
            print(json.dumps(found), file=log, flush=True)
    for (outcome, text), n in seen.most_common(40):
        print(f"{n:5}  {outcome:8} {text}")
    print(f"{len(seeds)} competitions: " + ", ".join(f"{n} {outcome}" for outcome, n in counts.most_common()))
    sys.exit(1 if counts["raw"] or counts["failed"] else 0)


if __name__ == "__main__":
    main()
