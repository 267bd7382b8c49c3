"""The store among processes: kills, races, and the folders that dead ones leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine import Recipe, Store

ROOT = Path(__file__).parents[2]

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


def start(store: Path, log: Path, flag: Path, seconds: float) -> subprocess.Popen[bytes]:
    arguments = [str(a) for a in (store, log, flag, seconds)]
    return subprocess.Popen([sys.executable, "-c", MAKER, *arguments], cwd=ROOT, stderr=subprocess.PIPE)


def wait_for(flag: Path, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not flag.exists():
        assert time.monotonic() < end, "the other process did not come so far"
        time.sleep(0.01)


def whole(folder: Path) -> bool:
    return {p.name: p.read_text() for p in folder.glob("*.txt")} == {"a.txt": "whole", "b.txt": "whole"}


def test_kill_9_in_the_middle_of_a_build_leaves_nothing_half_made(tmp_path: Path) -> None:
    root, log, flag = tmp_path / "store", tmp_path / "log", tmp_path / "flag"
    store, recipe = Store(root), Recipe("k", "n", {"x": 1})
    victim = start(root, log, flag, 60)
    wait_for(flag)
    victim.kill()
    victim.communicate()
    assert store.find(recipe) is None
    assert list(root.rglob("b.txt")), "the victim left its temporary folder"
    next_one = start(root, log, tmp_path / "flag2", 0)
    assert next_one.communicate()[1] == b""
    made = store.find(recipe)
    assert made is not None
    assert whole(made)
    assert list(root.rglob("b.txt")) == [made / "b.txt"], "the dead process's folder was not removed"


@pytest.mark.parametrize("moment", range(4))
def test_kill_9_at_any_moment_is_followed_by_a_whole_artifact(tmp_path: Path, moment: int) -> None:
    root, log, flag = tmp_path / "store", tmp_path / "log", tmp_path / "flag"
    victim = start(root, log, flag, 0)
    wait_for(flag)
    time.sleep(moment * 0.003)
    victim.kill()
    victim.communicate()
    store, recipe = Store(root), Recipe("k", "n", {"x": 1})

    def build(folder: Path) -> None:
        (folder / "a.txt").write_text("whole")
        (folder / "b.txt").write_text("whole")

    assert whole(store.make(recipe, build))


def test_two_processes_that_want_the_same_artifact_build_it_once(tmp_path: Path) -> None:
    root, log = tmp_path / "store", tmp_path / "log"
    makers = [start(root, log, tmp_path / f"flag{n}", 0.4) for n in range(3)]
    errors = [maker.communicate()[1] for maker in makers]
    assert errors == [b"", b"", b""]
    assert log.read_text() == "built\n"


def test_a_living_process_keeps_its_temporary_folder(tmp_path: Path) -> None:
    root, log, flag = tmp_path / "store", tmp_path / "log", tmp_path / "flag"
    slow = start(root, log, flag, 1.0)
    wait_for(flag)
    Store(root).make(Recipe("k", "other", {}), lambda folder: (folder / "c").touch())
    assert list((root / "temp").rglob("a.txt")), "the folder of a living process was removed"
    assert slow.communicate()[1] == b""
    found = Store(root).find(Recipe("k", "n", {"x": 1}))
    assert found is not None
    assert whole(found)


def test_a_lock_is_free_after_its_holder_was_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time, pathlib; from engine import Store\n"
        "with Store(pathlib.Path(sys.argv[1])).lock('run'):\n"
        "    pathlib.Path(sys.argv[2]).touch(); time.sleep(60)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "s"), str(tmp_path / "flag")], cwd=ROOT
    )
    wait_for(tmp_path / "flag")
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    started = time.monotonic()
    with Store(tmp_path / "s").lock("run"):
        assert time.monotonic() - started < 5
