"""The store among processes: kills, races, and the folders that dead ones leave."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine import Recipe, Store
from tests.processes import ROOT, wait_until

RECIPE = Recipe("k", "n", {"x": 1})

MAKER = """
import sys, time
from pathlib import Path
from engine import Recipe, Store

def build(folder):
    with open(sys.argv[2], "a") as log:
        log.write("built\\n")
    (folder / "a.txt").write_text("whole")
    (folder / "b.txt").write_text("half")
    Path(sys.argv[3]).touch()
    time.sleep(float(sys.argv[4]))
    (folder / "b.txt").write_text("whole")

Store(Path(sys.argv[1])).make(Recipe("k", "n", {"x": 1}), build)
"""


def start(folder: Path, seconds: float, n: int = 0) -> subprocess.Popen[bytes]:
    """Let another process make the artifact in ``seconds`` seconds; it writes into ``log``, and touches a flag."""
    arguments = [folder / "store", folder / "log", folder / f"flag{n}", seconds]
    command = [sys.executable, "-c", MAKER, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)


def wait_for(flag: Path) -> None:
    wait_until(flag.exists, seconds=30, otherwise="the other process did not come so far")


def start_and_kill(folder: Path, seconds: float, moment: float = 0) -> None:
    """Kill a process that makes the artifact, ``moment`` seconds after it began to."""
    victim = start(folder, seconds)
    wait_for(folder / "flag0")
    time.sleep(moment)
    victim.kill()
    victim.communicate()


def whole(folder: Path | None) -> bool:
    assert folder is not None
    return {p.name: p.read_text() for p in folder.glob("*.txt")} == {"a.txt": "whole", "b.txt": "whole"}


def test_kill_9_in_the_middle_of_a_build_leaves_nothing_half_made(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    start_and_kill(tmp_path, seconds=60)
    assert store.find(RECIPE) is None
    assert list(store.root.rglob("b.txt")), "the victim left its temporary folder"
    assert start(tmp_path, seconds=0, n=1).communicate()[1] == b""
    made = store.find(RECIPE)
    assert made is not None
    assert whole(made)
    assert list(store.root.rglob("b.txt")) == [made / "b.txt"], "the dead process's folder was not removed"


@pytest.mark.parametrize("moment", range(4))
def test_kill_9_at_any_moment_is_followed_by_a_whole_artifact(tmp_path: Path, moment: int) -> None:
    def build(folder: Path) -> None:
        (folder / "a.txt").write_text("whole")
        (folder / "b.txt").write_text("whole")

    start_and_kill(tmp_path, seconds=0, moment=moment * 0.003)
    assert whole(Store(tmp_path / "store").make(RECIPE, build))


def test_processes_that_want_the_same_artifact_build_it_once(tmp_path: Path) -> None:
    makers = [start(tmp_path, seconds=0.4, n=n) for n in range(3)]
    assert [maker.communicate()[1] for maker in makers] == [b"", b"", b""]
    assert (tmp_path / "log").read_text() == "built\n"


def test_a_living_process_keeps_its_temporary_folder(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    slow = start(tmp_path, seconds=1.0)
    wait_for(tmp_path / "flag0")
    store.make(Recipe("k", "other", {}), lambda folder: (folder / "c").touch())
    assert list((store.root / "temp").rglob("a.txt")), "the folder of a living process was removed"
    assert slow.communicate()[1] == b""
    assert whole(store.find(RECIPE))


HOLDER = """
import sys, time
from pathlib import Path
from engine import Store

with Store(Path(sys.argv[1])).lock("run"):
    Path(sys.argv[2]).touch()
    time.sleep(60)
"""


def test_a_lock_is_free_after_its_holder_was_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "store"), str(tmp_path / "flag")]
    holder = subprocess.Popen(command, cwd=ROOT)
    wait_for(tmp_path / "flag")
    holder.kill()
    holder.wait()
    started = time.monotonic()
    with Store(tmp_path / "store").lock("run"):
        assert time.monotonic() - started < 5
