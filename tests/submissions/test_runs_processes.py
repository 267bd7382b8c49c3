"""Several processes over one folder of runs, and one that is killed."""

from __future__ import annotations

import hashlib
import multiprocessing
import time
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import polars as pl

from submissions import Entry, Gate, Runs
from tests.submissions.conftest import Publish, make_facts

SPAWN = multiprocessing.get_context("spawn")


def publish_forever(pipe: Connection, runs: Runs, gate: Gate, is_stuck: bool) -> None:
    """Publish run after run and tell their names; if stuck, stop for good before the first manifest is there."""
    replace = Path.replace

    def stop_before_the_manifest(self: Path, target: Path) -> Path:
        if is_stuck and Path(target).name == "manifest.json":
            pipe.send("stuck")
            pipe.recv()
        return replace(self, target)

    Path.replace = stop_before_the_manifest  # type: ignore[assignment, method-assign]
    scores = gate.pairs.with_columns(score=pl.int_range(30) / 7)
    while True:
        pipe.send(runs.publish(gate, scores, None, make_facts()).run)


def take_notes(pipe: Connection, runs: Runs, run: str, name: str) -> None:
    for i in range(20):
        runs.add(run, Entry(kind="note", when=datetime.now(UTC), text=f"{name} {i}"))


def when_told(pipe: Connection, work: Callable[..., None], *arguments: object) -> None:
    pipe.send("ready")
    pipe.recv()
    work(pipe, *arguments)


def start(work: Callable[..., None], *arguments: object) -> tuple[BaseProcess, Connection]:
    """Start a process that waits, once it has imported everything, to be told to begin."""
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=when_told, args=(there, work, *arguments), daemon=True)
    process.start()
    return process, here


def tell(*pipes: Connection) -> None:
    assert [pipe.recv() for pipe in pipes] == ["ready"] * len(pipes)
    for pipe in pipes:
        pipe.send("go")


def assert_whole(runs: Runs) -> None:
    """Every run in the list has a readable manifest, its scores, and the file that the manifest tells of."""
    for run in runs.ids():
        manifest = runs.manifest(run)
        content = (runs.out / manifest.file.name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == manifest.file.sha256
        assert runs.scores(run).height == manifest.file.n_rows


def test_two_processes_write_one_ledger_at_once(runs: Runs, publish: Publish) -> None:
    run = publish().run
    both = [start(take_notes, runs, run, name) for name in ("a", "b")]
    tell(*(pipe for _, pipe in both))
    for process, _ in both:
        process.join(timeout=20)
        assert process.exitcode == 0
    notes = runs.ledger(run).notes
    for name in ("a", "b"):
        assert [note for note in notes if note.startswith(name)] == [f"{name} {i}" for i in range(20)]


def test_killed_in_the_middle(runs: Runs, gate: Gate, publish: Publish) -> None:
    stuck, told = start(publish_forever, runs, gate, True)
    waiting, heard = start(publish_forever, runs, gate, False)
    tell(told)
    assert told.recv() == "stuck"
    (left,) = [p.name for p in runs.root.iterdir() if p.is_dir()]
    assert (runs.out / f"{left}.csv").exists()
    assert runs.ids() == ()
    tell(heard)
    stuck.kill()
    # A killed process keeps no turn: the other one sweeps its leftovers away and goes on.
    first = heard.recv()
    time.sleep(0.031)
    waiting.kill()
    for process in (stuck, waiting):
        process.join(timeout=20)
    assert_whole(runs)
    assert left < first == runs.ids()[0]

    assert publish().run == runs.ids()[-1]
    assert sorted(p.name for p in runs.root.iterdir() if p.is_dir()) == list(runs.ids())
    assert sorted(p.name for p in runs.out.iterdir()) == [f"{run}.csv" for run in runs.ids()]
