"""Run every command on drawn competitions in one process of a copy of the checkout; a line of JSON for each."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
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

import features
from benchmarks._fuzz_world import draw
from competitions import open_dataset
from engine import SamewiseError, load_settings

LIMIT = 600  # seconds that a command may take
RAW = re.compile(
    r"failed (in window|with|while it was read)|Traceback|Resolved plan|context stack|\bpyo3|polars_|\bdyn (int|float)|"
    r"This error occurred|conversion from|<class |object at 0x|"
    r"(Compute|InvalidOperation|Schema|Shape|ColumnNotFound|StructFieldNotFound|Panic)(Error|Exception)"
)
KINDS = ("aggregate", "per_pair", "table", "fitted", "streamed")


def main() -> None:
    """Run the commands on the competitions of the seeds that are named as arguments."""
    for seed in map(int, sys.argv[1:]):
        for line in outcomes(seed):
            print(json.dumps({"seed": seed, **line}), flush=True)


def outcomes(seed: int) -> Iterator[dict[str, Any]]:
    """Draw a competition, run every command on it, and tell what became of each."""
    world, here, r = draw(seed), Path.cwd(), random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="fuzz_") as folder:
        file = here / "competitions" / f"{world.name}.py"
        try:
            world.write(file.parent, Path(folder))
            os.utime(file, ns=(0, 0))  # workers refuse code that is newer than this process
            os.chdir(folder)
            yield {"command": "begin"}
            refused = ""
            for room, arguments in commands(r, Path(folder)):
                if refused and room in ("stacking", "submissions") and r.random() < 0.8:
                    continue  # it says the same again, or that there is no run
                found = attempted(room, arguments)
                if found["outcome"] == "message" and (room, *arguments[:1]) in RUNS:
                    found["outcome"], refused = "late", found["error"]  # than `competitions check`
                yield {"command": f"{room} {' '.join(arguments)}", **found}
                if arguments[-1:] == ["check"] and found["outcome"] != "ok":
                    break  # every other command would say the same
        finally:
            os.chdir(here)
            file.unlink(missing_ok=True)


RUNS = (("stacking", "cv"), ("submissions", "make"), ("validation", "folds"))


def commands(r: random.Random, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Name the commands one after the other; what an earlier one made is named in a later one."""
    yield "competitions", ["check"]
    yield from _looks(r, draw_name(folder))
    yield "stacking", ["cv"]
    yield "stacking", ["blends"]
    yield "validation", ["report"]
    if r.random() < 0.5:
        yield "features", ["card", r.choice(["taste_score", "taste_*", "*__item_id", "*user_id*", "n_*"])]
    if r.random() < 0.25:
        few = r.choice(["taste_*", "*rate*", "*__user_id", "last_*", "n_*", "*age*"])
        yield "features", ["audit", few if r.random() < 0.9 else "*"]
        yield "validation", ["report"]
    if r.random() < 0.15:
        yield "stacking", ["gain", "taste_score", "--seeds", "1"]
        yield "stacking", ["ablate", "--only", "taste_*", "--repeats", "2", *r.choice([[], ["--refit"]])]
        yield "stacking", ["select", "--budget", "0"]
    yield from _submissions(r, folder)
    if r.random() < 0.08:
        yield "features", ["card", "*"]
    if r.random() < 0.1:
        yield "features", ["--sample-users", "0.5", "list", "--json"]
        yield "stacking", ["--sample-pairs", "0.5", "cv"]
    yield "engine", ["store", "size"]
    yield "engine", ["store", "prune", "--unneeded", *r.choice([[], ["--yes"]])]
    if r.random() < 0.3:
        yield "features", ["new", "drawn", "--kind", r.choice(KINDS)]


def _looks(r: random.Random, number: str) -> Iterator[tuple[str, list[str]]]:
    """Name what only looks at the declaration, the catalogue and the settings."""
    yield "competitions", ["show", f"fuzz_{number}"]
    yield "validation", ["folds"]
    yield "features", ["list", *r.choice([[], ["--json"]])]
    yield "features", ["explain", *r.choice([[], ["taste_score"], ["*__item_id*", "--json"]])]
    yield "models", ["list"]
    yield "models", ["show", r.choice(["catboost", "column", "channel_net"])]
    if r.random() < 0.1:
        yield "competitions", ["list"]
        yield "validation", ["metrics"]


def _submissions(r: random.Random, folder: Path) -> Iterator[tuple[str, list[str]]]:
    yield "submissions", ["make"]
    yield "submissions", ["list", *r.choice([[], ["--json"]])]
    yield "submissions", ["show", "latest", *r.choice([[], ["--json"]])]
    yield "submissions", ["score", "latest"]
    for file in sorted((folder / "submissions" / "out").glob("*"))[:1]:
        yield "submissions", ["check", str(file)]
    yield "submissions", ["make", "--note", "again"]
    runs = sorted(path.name for path in (folder / "runs").glob("*") if path.is_dir())
    if len(runs) > 1:
        yield "submissions", ["note", "latest", 'a "note", [bold] and more']
        yield "submissions", ["record", "latest", "--public", "0.5"]
        yield "submissions", ["compare", *runs[:2]]
        yield "submissions", ["blend", *runs[:2], *r.choice([[], ["--ranks"], ["--weights", "0.7,0.3"]])]


def draw_name(folder: Path) -> str:
    """Name the competition of config.toml by its number."""
    return str(
        re.findall(r'competition = "fuzz_(\d+)"', (folder / "config.toml").read_text(encoding="utf-8"))[0]
    )


def attempted(room: str, arguments: list[str]) -> dict[str, Any]:
    """Run a command as its room does: what became of it, with the error and the last place in our code.

    ``ok``; ``message``; ``failed``: it found what it looks for, and ends with code 1; or ``raw``.
    """
    app = import_module(f"{room}.__main__").app
    started, printed = time.monotonic(), io.StringIO()
    try:
        with (
            limited(),
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
            fresh_files(),
        ):
            code = app(args=arguments, standalone_mode=False)  # what `typer.Exit` says, which is not raised
            check_file(room, arguments)
        found = (
            {"outcome": "ok"}
            if printed.getvalue().strip()
            else {"outcome": "raw", "error": "it says nothing"}
        )
        if code:
            text = " ".join(printed.getvalue().split())[-6000:]
            found = {"outcome": "failed" if code == 1 else "raw", "error": f"exit {code}", "where": text}
    except SamewiseError as error:
        notes = "\n".join(getattr(error, "__notes__", []))
        is_raw = RAW.search(str(error))
        found = {"outcome": "raw" if is_raw else "message", "error": f"{type(error).__name__}: {error}"}
        found |= {"where": notes or traceback.format_exc()} if is_raw else {}
    except (Exception, SystemExit) as error:
        found = {
            "outcome": "raw",
            "error": f"{type(error).__name__}: {error}",
            "where": traceback.format_exc(),
        }
    return {**found, "seconds": round(time.monotonic() - started, 1)}


@contextlib.contextmanager
def fresh_files() -> Iterator[None]:
    """Take away the feature that `features new` wrote into this copy of the checkout."""
    before, folder = {*sys.modules}, Path(features.__file__).parent
    try:
        yield
    finally:
        (folder / "drawn.py").unlink(missing_ok=True)
        if "features.drawn" in {*sys.modules} - before:
            del sys.modules["features.drawn"]
            delattr(features, "drawn")
            declarations = features.load_registry().declarations
            for name in [n for n, d in declarations.items() if d.body.__module__ == "features.drawn"]:
                del declarations[name]


def check_file(room: str, arguments: list[str]) -> None:
    """Read the newest submission with another reader: every test pair once, with a finite score."""
    if (room, *arguments[:1]) not in (("submissions", "make"), ("submissions", "blend")):
        return
    dataset = open_dataset(load_settings())
    form, pairs = dataset.competition.submission, dataset.test_pairs.collect()
    newest = max(Path("submissions/out").glob("*"), key=lambda path: path.stat().st_mtime_ns)
    with newest.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file, delimiter=form.separator)
    at = {source: i for i, source in enumerate(form.columns.values())}
    keys = [n for n in at if n != "score"]
    expected = [tuple(map(str, row)) for row in pairs.select(keys).rows()] if keys else [()] * pairs.height
    found = [tuple(row[at[n]] for n in keys) for row in rows]
    if header != [*form.columns] or not all(math.isfinite(float(row[at["score"]])) for row in rows):
        raise AssertionError(f"{newest.name} has another header, or scores that are no numbers")
    if (found if form.ordered else sorted(found)) != (expected if form.ordered else sorted(expected)):
        raise AssertionError(f"{newest.name} holds other pairs than those to score")


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
