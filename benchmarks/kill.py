"""Does a killed run lose anything? ``python -m benchmarks.kill --times 10``.

Makes a submission in a fresh store for reference. Then, in another fresh store, kills it with SIGKILL at random moments
(in turn the whole process group and the main process alone), and lets it end. Checks that the file is the same byte for
byte, that workers ended with their main process, and that no artifact that was finished at a kill was made again.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from uuid import uuid4

PATIENCE = 10.0  # seconds that workers have to end


def main() -> int:
    """Run the check; exit code 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        reference, tried = Path(folder, "reference"), Path(folder, "tried")
        began = time.perf_counter()
        wait(start(reference, arguments.overrides, ""))
        seconds = time.perf_counter() - began
        print(f"a run that is left alone: {seconds:.0f} s")
        problems = kill_and_resume(
            tried, arguments.overrides, arguments.times, seconds, random.Random(arguments.seed)
        )
        if submission(reference) != submission(tried):
            problems.append("the file differs from that of the run that was left alone")
    print("\n".join(problems) or "nothing was lost")
    return 1 if problems else 0


def start(place: Path, overrides: list[str], mark: str) -> subprocess.Popen[bytes]:
    """Start ``submissions make`` in a process group of its own, with all that it writes under ``place``."""
    folders = {"store": place / "store", "runs": place / "runs", "out": place / "out"}
    settings = [*overrides, *(f'{name}="{path}"' for name, path in folders.items())]
    command = [
        sys.executable,
        "-m",
        "submissions",
        *(part for s in settings for part in ("--set", s)),
        "make",
    ]
    environment = {**os.environ, "KILL_MARK": mark}
    return subprocess.Popen(
        command, start_new_session=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def wait(process: subprocess.Popen[bytes]) -> None:
    """Wait for a run that must end well."""
    if process.wait() != 0:
        raise SystemExit("a run that nobody killed failed")


def kill_and_resume(
    place: Path, overrides: list[str], times: int, seconds: float, moments: random.Random
) -> list[str]:
    """Kill so many runs, resume the last, and say what went wrong."""
    problems: list[str] = []
    finished: dict[Path, int] = {}
    for number in range(times):
        mark = uuid4().hex
        process = start(place, overrides, mark)
        moment = moments.uniform(1.0, max(seconds / 4, 5.0))
        try:
            process.wait(moment)
            print(f"kill {number + 1}: the run had ended before {moment:.1f} s")
        except subprocess.TimeoutExpired:
            is_group = number % 2 == 0
            (os.killpg if is_group else os.kill)(process.pid, signal.SIGKILL)
            process.wait()
            left = survivors(mark)
            print(
                f"kill {number + 1}: {'group' if is_group else 'main process'} after {moment:.1f} s, {left} left"
            )
            if left:
                problems.append(f"{left} processes outlived kill {number + 1}")
        problems += made_again(finished, artifacts(place))
        finished = artifacts(place)
    wait(start(place, overrides, ""))
    return problems + made_again(finished, artifacts(place))


def survivors(mark: str) -> int:
    """Count the processes that carry the mark, once they have had time to end."""
    deadline = time.monotonic() + PATIENCE
    while (
        left := sum(has_mark(p, mark) for p in Path("/proc").glob("[0-9]*"))
    ) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


def has_mark(process: Path, mark: str) -> bool:
    """Tell whether a living process was started with the mark in its environment."""
    try:
        return mark.encode() in (process / "environ").read_bytes()
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return False


def artifacts(place: Path) -> dict[Path, int]:
    """Every file of a finished artifact and its inode: a file that is written anew has another."""
    return {p: p.stat().st_ino for p in (place / "store" / "artifacts").rglob("*") if p.is_file()}


def made_again(before: dict[Path, int], after: dict[Path, int]) -> list[str]:
    """Say which finished artifacts were lost or written anew."""
    return [
        f"{path.parent.name} was made again" for path, written in before.items() if after.get(path) != written
    ]


def submission(place: Path) -> bytes:
    """Bytes of the newest submission file."""
    return max((place / "out").iterdir()).read_bytes()


if __name__ == "__main__":
    sys.exit(main())
