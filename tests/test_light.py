"""Help and lists of every room start without the libraries that only computing needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from competitions import simulate

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "catboost", "sklearn", "scipy.stats", "altair", "implicit")
ROOMS = ("engine", "competitions", "validation", "features", "models", "stacking", "submissions")

RUN = """
import json, runpy, sys
room, *arguments = sys.argv[1:]
sys.argv = [room, *arguments]
try:
    runpy.run_module(room, run_name="__main__", alter_sys=True)
except SystemExit as ended:
    code = ended.code or 0
print(json.dumps([code, sorted(sys.modules)]))
"""


def modules_of(*arguments: str) -> set[str]:
    """Run a room's command in a process of its own; the modules that are loaded when it ends."""
    ran = subprocess.run(
        [sys.executable, "-c", RUN, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    code, modules = json.loads(ran.stdout.splitlines()[-1])
    assert code == 0, ran.stdout
    return set(modules)


def heavy_for(room: str) -> set[str]:
    """Runs are looked at without what makes them."""
    return {*HEAVY, "models", "stacking"} if room == "submissions" else set(HEAVY)


@pytest.mark.parametrize("room", ROOMS)
def test_help_is_light(room: str) -> None:
    assert modules_of(room, "--help") & heavy_for(room) == set()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options that lead to a small simulated competition, with folders of its own."""
    folder = tmp_path_factory.mktemp("light")
    simulate("vk2024", n_rows=10_000, seed=1, folder=folder / "data")
    places = {name: folder / name for name in ("data", "store", "runs", "out", "reports")}
    values = {"competition": "vk2024", **places}
    return [part for key, value in values.items() for part in ("--set", f'{key}="{value}"')]


LISTS = ("competitions list", "features list", "models list", "submissions list")
SHOWN = ("models show catboost", "models show channel_net")


@pytest.mark.parametrize("command", [*LISTS, *SHOWN])
def test_lists_are_light(command: str, settings: list[str]) -> None:
    room, *asked = command.split()
    assert modules_of(room, *settings, *asked) & heavy_for(room) == set()
