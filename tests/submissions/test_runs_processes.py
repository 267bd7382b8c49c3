"""Several processes over one folder of runs, and one that is killed."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from submissions import Manifest, Runs

Publish = Callable[..., Manifest]

PROGRAM = """
import sys
from pathlib import Path
import polars as pl
sys.path.insert(0, {tests!r})
import conftest
from competitions import SubmissionFormat
from submissions import Entry, Gate, Runs
from datetime import datetime, UTC
runs = Runs(Path({root!r}) / "runs", Path({root!r}) / "out")
"""

PUBLISH = """
columns = {"user_id": "user_id", "item_id": "item_id", "predict": "score"}
gate = Gate(conftest.make_pairs(), SubmissionFormat(columns), group=("user_id",))
scores = gate.pairs.with_columns(score=pl.int_range(30) / 7)
facts = conftest.make_facts()
print("ready", flush=True)
sys.stdin.readline()
while True:
    print(runs.publish(gate, scores, None, facts).run, flush=True)
"""

STUCK = """
replace = Path.replace
def stop_before_the_manifest(self, target):
    if sys.argv[1:] and Path(target).name == "manifest.json":
        print("stuck", flush=True)
        sys.stdin.readline()
    return replace(self, target)
Path.replace = stop_before_the_manifest
"""

NOTES = """
print("ready", flush=True)
sys.stdin.readline()
for i in range(20):
    runs.add(sys.argv[1], Entry(kind="note", when=datetime.now(UTC), text=f"{sys.argv[2]} {i}"))
"""


def start(root: Path, body: str, *arguments: Sequence[str]) -> list[subprocess.Popen[str]]:
    """Start a program of this checkout once for each arguments; return when all have imported everything."""
    tests = Path(__file__).parent
    program = PROGRAM.format(tests=str(tests), root=str(root)) + body
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, *each],
            cwd=tests.parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for each in arguments
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    return processes


def go(process: subprocess.Popen[str]) -> None:
    """Let a started program begin."""
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def close(process: subprocess.Popen[str]) -> None:
    process.wait(timeout=20)
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()


def assert_whole(runs: Runs) -> None:
    """Every run in the list has a readable manifest, its scores, and the file that the manifest tells of."""
    for run in runs.ids():
        manifest = runs.manifest(run)
        assert (
            hashlib.sha256((runs.out / manifest.file.name).read_bytes()).hexdigest() == manifest.file.sha256
        )
        assert runs.scores(run).height == manifest.file.n_rows


def test_two_processes_write_one_ledger_at_once(runs: Runs, publish: Publish, tmp_path: Path) -> None:
    run = publish().run
    processes = start(tmp_path, NOTES, (run, "a"), (run, "b"))
    for process in processes:
        go(process)
    for process in processes:
        close(process)
        assert process.returncode == 0
    notes = runs.ledger(run).notes
    for name in ("a", "b"):
        assert [note for note in notes if note.startswith(name)] == [f"{name} {i}" for i in range(20)]


def test_killed_in_the_middle(runs: Runs, publish: Publish, tmp_path: Path) -> None:
    stuck, waiting = start(tmp_path, STUCK + PUBLISH, ("stuck",), ())
    go(stuck)
    assert stuck.stdout is not None
    assert stuck.stdout.readline() == "stuck\n"
    (left,) = [p.name for p in runs.root.iterdir() if p.is_dir()]
    assert (runs.out / f"{left}.csv").exists()
    assert runs.ids() == ()
    go(waiting)
    stuck.send_signal(signal.SIGKILL)
    close(stuck)
    # A killed process keeps no turn: the other one sweeps its leftovers away and goes on.
    assert waiting.stdout is not None
    first = waiting.stdout.readline().strip()
    time.sleep(0.031)
    waiting.send_signal(signal.SIGKILL)
    close(waiting)
    assert_whole(runs)
    assert left < first == runs.ids()[0]

    assert publish().run == runs.ids()[-1]
    assert sorted(p.name for p in runs.root.iterdir() if p.is_dir()) == list(runs.ids())
    assert sorted(p.name for p in runs.out.iterdir()) == [f"{run}.csv" for run in runs.ids()]
