"""Run every command on drawn competitions in one process of a copy of the checkout; a line of JSON for each."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from benchmarks._fuzz_world import draw
from engine import SamewiseError

LIMIT = 240  # seconds that a command may take
RAW = re.compile(
    r"failed (in window|with|while it was read)|Traceback|Resolved plan|context stack|\bpyo3|polars_"
)


def main() -> None:
    """Run the commands on the competitions of the seeds that are named as arguments."""
    for seed in map(int, sys.argv[1:]):
        for line in outcomes(seed):
            print(json.dumps({"seed": seed, **line}), flush=True)


def outcomes(seed: int) -> Iterator[dict[str, Any]]:
    """Draw a competition, run every command on it, and tell what became of each."""
    world, here = draw(seed), Path.cwd()
    with tempfile.TemporaryDirectory(prefix="fuzz_") as folder:
        file = here / "competitions" / f"{world.name}.py"
        try:
            world.write(file.parent, Path(folder))
            os.chdir(folder)
            yield {"command": "begin"}
            for room, arguments in commands(random.Random(seed), Path(folder)):
                found = attempted(room, arguments)
                yield {"command": f"{room} {' '.join(arguments)}", **found}
                if arguments in (["check"], ["folds"]) and found["outcome"] != "ok":
                    break  # every other command would say the same
        finally:
            os.chdir(here)
            file.unlink(missing_ok=True)


def commands(r: random.Random, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Name the commands one after the other; what an earlier one made is named in a later one."""
    yield "competitions", ["check"]
    yield "competitions", ["show", f"fuzz_{draw_name(folder)}"]
    yield "validation", ["folds"]
    yield "features", ["list"]
    yield "features", ["explain"]
    if r.random() < 0.1:
        yield "features", ["audit"]
    yield "models", ["list"]
    yield "stacking", ["cv"]
    yield "stacking", ["blends"]
    yield "validation", ["report"]
    yield "features", ["card", "taste_score"]
    if r.random() < 0.15:
        yield "stacking", ["gain", "taste_score"]
        yield "stacking", ["ablate"]
        yield "stacking", ["select"]
    yield "submissions", ["make"]
    yield "submissions", ["list"]
    yield "submissions", ["show", "latest"]
    yield "submissions", ["score", "latest"]
    for file in sorted((folder / "submissions" / "out").glob("*"))[:1]:
        yield "submissions", ["check", str(file)]
    yield "submissions", ["make", "--note", "again"]
    runs = sorted(path.name for path in (folder / "runs").glob("*") if path.is_dir())
    if len(runs) > 1:
        yield "submissions", ["compare", *runs[:2]]
        yield "submissions", ["blend", *runs[:2]]
    yield "features", ["card", "*"]
    yield "engine", ["store", "size"]
    yield "engine", ["store", "prune", "--unneeded"]


def draw_name(folder: Path) -> str:
    """Name the competition of config.toml by its number."""
    return str(
        re.findall(r'competition = "fuzz_(\d+)"', (folder / "config.toml").read_text(encoding="utf-8"))[0]
    )


def attempted(room: str, arguments: list[str]) -> dict[str, Any]:
    """Run a command as its room does: ``ok``, ``message``, or ``raw`` with the error and the last place in our code."""
    app = import_module(f"{room}.__main__").app
    started, printed = time.monotonic(), io.StringIO()
    try:
        with limited(), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            app(args=arguments, standalone_mode=False)
        found = {"outcome": "ok"}
    except SamewiseError as error:
        notes = "\n".join(getattr(error, "__notes__", []))
        is_raw = RAW.search(str(error))
        found = {"outcome": "raw" if is_raw else "message", "error": f"{type(error).__name__}: {error}"}
        found |= {"where": notes or traceback.format_exc()} if is_raw else {}
    except typer.Exit as end:
        found = {"outcome": "ok" if end.exit_code in (0, 1) else "raw", "error": f"exit {end.exit_code}"}
    except (Exception, SystemExit) as error:
        found = {
            "outcome": "raw",
            "error": f"{type(error).__name__}: {error}",
            "where": traceback.format_exc(),
        }
    return {**found, "seconds": round(time.monotonic() - started, 1)}


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """End a command that takes too long."""

    def ended(*_: object) -> None:
        raise TimeoutError(f"it took more than {LIMIT} seconds")

    before: Callable[..., Any] | int | None = signal.signal(signal.SIGALRM, ended)
    signal.alarm(LIMIT)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    main()
