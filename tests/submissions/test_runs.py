"""Runs appear whole or not at all, and their ledgers lose nothing, whoever writes beside or is killed.

And the names of runs, and the commit that made them.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from submissions import Entry, GateError, Runs, SubmissionError, git_facts, is_run_id, new_run_id, resolve_run
from submissions._gate import Gate
from submissions._show_run import last_lines
from tests.submissions.conftest import Publish, make_facts

SPAWN = multiprocessing.get_context("spawn")
NOW = datetime(2026, 11, 21, 20, 15, 30, 123456, tzinfo=UTC)
RUNS = ["20261121-201530-123456-ab12", "20261121-201530-123457-0000", "20261122-080000-000000-ffff"]
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))
IDENTITY = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]


def test_publish_writes_the_file_the_scores_and_the_manifest(
    runs: Runs, gate: Gate, oof: pl.DataFrame, publish: Publish
) -> None:
    manifest = publish(oof=oof)
    assert runs.ids() == (manifest.run,)
    assert is_run_id(manifest.run)
    assert runs.manifest(manifest.run) == manifest
    assert manifest.file.name == f"{manifest.run}.csv"
    assert manifest.file.n_rows == 30
    assert manifest.cv_mean == 0.71
    digest = hashlib.sha256((runs.out / manifest.file.name).read_bytes()).hexdigest()
    assert digest == manifest.file.sha256
    stored = runs.scores(manifest.run)
    assert stored.columns == ["pair_id", "user_id", "item_id", "als", "trees", "score"]
    assert stored["pair_id"].to_list() == gate.pairs["pair_id"].to_list()
    found = runs.oof(manifest.run)
    assert found is not None
    assert found.equals(oof)
    assert sorted(p.name for p in runs.out.iterdir()) == [manifest.file.name]


@pytest.mark.parametrize(
    ("score", "rule"),
    [(0.5, "constant scores"), (float("nan"), "not-a-number scores"), (None, "null scores")],
)
def test_what_the_gate_refuses_leaves_nothing(
    runs: Runs, scores: pl.DataFrame, publish: Publish, score: float | None, rule: str
) -> None:
    with pytest.raises(GateError, match=rule):
        publish(scores.with_columns(score=pl.lit(score, pl.Float64)))
    assert runs.ids() == ()
    assert not runs.out.exists() or not list(runs.out.iterdir())


def test_alarms_are_the_last_lines_of_a_run(publish: Publish) -> None:
    manifest = publish(remarks=("mine", "Alarm: price by itself is too good"))
    console = Console(width=100, file=StringIO())
    for line in last_lines(manifest, Path("out"), None):
        console.print(line)
    (*_, last) = console.file.getvalue().strip().splitlines()  # type: ignore[attr-defined]
    assert last.split(maxsplit=1) == ["Alarm", "price by itself is too good"]


def test_warnings_of_the_gate_are_remarks(scores: pl.DataFrame, publish: Publish) -> None:
    predict = pl.when(pl.col("user_id") == 2).then(0.0).otherwise("score")
    manifest = publish(scores.with_columns(score=predict), remarks=("mine",))
    assert manifest.remarks[0] == "mine"
    assert manifest.remarks[1].startswith("constant groups: 1 of 6 groups")


def test_a_failure_on_the_way_leaves_nothing(
    runs: Runs, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(self: pl.DataFrame, *_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full_disk)
    with pytest.raises(SubmissionError, match="No space left"):
        publish()
    assert [p for p in runs.root.iterdir() if p.is_dir()] == []


def test_what_is_no_run_is_not_listed_and_what_a_killed_process_left_is_swept_away(
    runs: Runs, publish: Publish
) -> None:
    left, noted, link = (f"20260101-000000-00000{n}-abcd" for n in range(3))
    for run, name in ((left, "scores.parquet"), (noted, "ledger.json")):
        (runs.root / run).mkdir(parents=True)
        (runs.root / run / name).write_bytes(b"half")
    runs.out.mkdir()
    for name in (f"{left}.csv", f".{left}.csv.12345678.part", "mine.csv"):
        (runs.out / name).write_text("x")
    assert runs.ids() == ()
    manifest = publish()
    (runs.root / link).symlink_to(runs.root / manifest.run)
    assert runs.ids() == (manifest.run,)
    assert not (runs.root / left).exists()
    assert (runs.root / noted).exists()  # a ledger is never swept
    assert sorted(p.name for p in runs.out.iterdir()) == [manifest.file.name, "mine.csv"]


def test_a_damaged_manifest_says_so(runs: Runs, publish: Publish) -> None:
    run = publish().run
    path = runs.root / run / "manifest.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(SubmissionError, match=r"manifest.json cannot be read"):
        runs.manifest(run)


def test_the_manifest_is_plain_json(runs: Runs, publish: Publish) -> None:
    run = publish().run
    found = json.loads((runs.root / run / "manifest.json").read_text())
    assert found["version"] == 1
    assert found["cv"][0]["folds"] == {"fold1": 0.7, "fold2": 0.72}
    assert found["git"] == {"commit": "0123abcd", "is_dirty": False, "reason": ""}


def test_the_last_score_counts_and_the_others_stay(runs: Runs, publish: Publish) -> None:
    run = publish().run
    assert runs.ledger(run).score("public") is None
    runs.add(run, Entry(kind="public", when=NOW, value=0.5), Entry(kind="private", when=NOW, value=0.4))
    runs.add(run, Entry(kind="public", when=NOW, value=0.7), Entry(kind="note", when=NOW, text="good"))
    ledger = runs.ledger(run)
    assert (ledger.score("public"), ledger.score("private"), ledger.notes) == (0.7, 0.4, ("good",))
    assert len(ledger.entries) == 4


@given(MOMENTS, MOMENTS)
def test_names_sort_by_time(a: datetime, b: datetime) -> None:
    if a < b:
        assert new_run_id(a) < new_run_id(b)


@given(MOMENTS, st.timedeltas(timedelta(days=-400), timedelta(days=400)))
def test_a_new_name_sorts_last_even_when_the_clock_was_set_back(first: datetime, step: timedelta) -> None:
    older = new_run_id(first)
    assert new_run_id(first + step, after=older) > older


def test_the_same_microsecond_does_not_give_the_same_name() -> None:
    run = new_run_id(NOW)
    assert run.startswith("20261121-201530-123456-")
    names = [run := new_run_id(NOW, after=run) for _ in range(100)]
    assert names == sorted(set(names))
    assert all(map(is_run_id, names))


@pytest.mark.parametrize(
    "name", ["", "latest", "20261121", "../20261121-201530-123456-ab12", RUNS[0] + "\n", "٢" * 8]
)
def test_what_is_no_name(name: str) -> None:
    assert not is_run_id(name)


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        (RUNS[0], 0),
        ("20261122", 2),
        ("20261121-201530-123457", 1),
        ("latest", 2),
        ("20261121-201530-123456-a", 0),
    ],
)
def test_names_prefixes_and_latest(typed: str, found: int) -> None:
    assert resolve_run(typed, RUNS[::-1]) == RUNS[found]


NO_PATHS = ("", ".", "..", "../runs", "/etc", "*", "2026*", "~", "\0", f"{RUNS[0]}/../{RUNS[1]}")


@pytest.mark.parametrize(
    ("typed", "known", "words"),
    [
        ("20261121", RUNS, r"2 runs start with '20261121'.*ab12, .*0000"),
        ("latst", RUNS, r"no run 'latst'\. Did you mean 'latest'"),
        (RUNS[0][:-1] + "3", RUNS, f"Did you mean '{RUNS[0]}'"),
        ("latest", [], "no run yet"),
        *((typed, RUNS, "There is no run") for typed in NO_PATHS),
    ],
)
def test_what_names_no_run(typed: str, known: list[str], words: str) -> None:
    with pytest.raises(SubmissionError, match=words):
        resolve_run(typed, known)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_commit_and_changes(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(tmp_path), *IDENTITY, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    empty = git_facts(tmp_path)
    assert empty.commit is None
    assert empty.reason
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-qm", "first")
    clean = git_facts(tmp_path)
    assert (clean.commit, clean.is_dirty) == (git("rev-parse", "HEAD"), False)
    (tmp_path / "file").write_text("2")
    assert git_facts(tmp_path).is_dirty


def test_no_repository_and_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    facts = git_facts(tmp_path)
    assert (facts.commit, facts.is_dirty) == (None, None)
    assert facts.reason
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_facts(tmp_path).reason == "git is not installed"


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
    there.close()  # so that the end of the process is the end of the pipe
    return process, here


def tell(*pipes: Connection) -> None:
    assert [pipe.recv() for pipe in pipes] == ["ready"] * len(pipes)
    for pipe in pipes:
        pipe.send("go")


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
    assert left < first == runs.ids()[0]
    for run in runs.ids():
        manifest = runs.manifest(run)
        content = (runs.out / manifest.file.name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == manifest.file.sha256
        assert runs.scores(run).height == manifest.file.n_rows
    assert publish().run == runs.ids()[-1]
    assert sorted(p.name for p in runs.root.iterdir() if p.is_dir()) == list(runs.ids())
    assert sorted(p.name for p in runs.out.iterdir()) == [f"{run}.csv" for run in runs.ids()]
