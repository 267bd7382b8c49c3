"""How long does a request take without Python? ``python -m benchmarks.serving BUNDLE`` (100 pairs a request).

The server of examples/serve beside a small Python server with the same graphs and the same onnxruntime: a thousand
requests at once, and one after the other. Rounds of both take turns. Wanted: no request lost, a 99th percentile of a
thousand at once that is at most Python's, and time outside onnxruntime, one after the other, of at most 0.3 of
Python's.

A request at once waits for those before it: these times are about those that all of them take together. Time outside
is from the last byte of a request to its answer, as both say it in ``Server-Timing``; CPU time is of the whole
process, what the system does for it included.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._figures import keep
from engine import out
from models import graphs

ROOT = Path(__file__).resolve().parents[1]
N_ALONE = 200
MOST_OUTSIDE = 0.3
_TIMING = re.compile(
    rb"Server-Timing: read;dur=([\d.]+), onnxruntime;dur=([\d.]+), total;dur=([\d.]+)", re.IGNORECASE
)


@dataclass(frozen=True)
class Answer:
    """Seconds that a request took as its sender saw it, milliseconds within and beside onnxruntime, the scores.

    ``outside``: from the last byte of the request to the first of the answer, without onnxruntime.
    """

    seconds: float
    inside: float
    outside: float
    scores: list[float] | None


async def ask(port: int, body: bytes, begin: asyncio.Event | None) -> Answer:
    """Connect, send a request and read its answer; no scores if it was lost.

    With a beginning that others wait for, too, all but the last byte is sent before it: what it costs to send a
    thousand requests is then none of the server's time.
    """
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /score HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        if begin is not None:
            writer.write(head.encode() + body[:-1])
            await begin.wait()
            head, body = "", body[-1:]
        began = time.perf_counter()
        writer.write(head.encode() + body)
        await writer.drain()
        reply = await reader.read()
        seconds = time.perf_counter() - began
        writer.close()
        top, _, data = reply.partition(b"\r\n\r\n")
        found = _TIMING.search(top)
        if not top.startswith(b"HTTP/1.1 200") or found is None:
            return Answer(seconds, 0, 0, None)
        read, inside, total = map(float, found.groups())
        return Answer(seconds, inside, total - inside - read, json.loads(data)["scores"])
    except (OSError, ValueError):
        return Answer(float("nan"), 0, 0, None)


async def at_once(port: int, body: bytes, n: int, settle: float = 2.0) -> list[Answer]:
    """Send ``n`` requests at the same time, over as many connections, ``settle`` seconds after they were opened."""
    begin = asyncio.Event()
    asked = [asyncio.create_task(ask(port, body, begin)) for _ in range(n)]
    await asyncio.sleep(settle + n * len(body) / 100e6)  # all is sent by then but the last bytes
    begin.set()
    return list(await asyncio.gather(*asked))


async def one_by_one(port: int, body: bytes, n: int) -> list[Answer]:
    """Send requests one after the other."""
    return [await ask(port, body, None) for _ in range(n)]


@contextmanager
def started(command: list[str], word: str) -> Iterator[int]:
    """Run a server until the block ends; it listens once it has said ``word``. Gives its process number."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)
        try:
            end = time.monotonic() + 60
            while word.encode() not in os.pread(log.fileno(), 2**16, 0):
                if process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(
                        f"{command[0]} did not start: {os.pread(log.fileno(), 2**16, 0).decode()}"
                    )
                time.sleep(0.02)
            yield process.pid
        finally:
            process.kill()
            process.wait()


def cpu_seconds(process: int) -> float:
    """CPU seconds that a process has used, the system's work for it included (Linux only)."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def commands(bundle: Path, program: Path, port: int) -> dict[str, tuple[list[str], str]]:
    """How each server is started, and what it says when it listens."""
    library = str(graphs.runtime_library())
    go = [str(program), "-bundle", str(bundle), "-lib", library, "-addr", f"127.0.0.1:{port}"]
    python = [sys.executable, "-m", "benchmarks._serving_child", str(bundle), str(port)]
    return {"server": (go, "listening"), "python": (python, "listening")}


def measured(bundle: Path, program: Path, n: int, rounds: int) -> dict[str, Any]:
    """Rounds of both servers in turn: figures of each by name."""
    case = next(c for c in json.loads((bundle / "cases.json").read_text("utf-8")) if c["name"] == "many")
    chosen = json.loads((bundle / "manifest.json").read_text("utf-8"))["chosen"]
    body = json.dumps({"columns": case["columns"]}).encode()
    many: dict[str, list[Answer]] = {"server": [], "python": []}
    alone: dict[str, list[Answer]] = {"server": [], "python": []}
    used = dict.fromkeys(many, 0.0)
    for _ in range(rounds):
        for name in many:
            port = free_port()
            command, word = commands(bundle, program, port)[name]
            with started(command, word) as process:
                asyncio.run(one_by_one(port, body, 20))
                before = cpu_seconds(process)
                alone[name] += asyncio.run(one_by_one(port, body, N_ALONE))
                used[name] += cpu_seconds(process) - before
                many[name] += asyncio.run(at_once(port, body, n))
    expected = case["scores"][chosen]
    return {
        "requests": n * rounds,
        "pairs": case["n_pairs"],
        "bytes": len(body),
        **{
            name: {**figures(many[name], alone[name], expected), "cpu": 1e3 * used[name] / len(alone[name])}
            for name in many
        },
    }


def figures(many: list[Answer], alone: list[Answer], expected: list[float]) -> dict[str, float]:
    """Milliseconds of a server's requests; a request is lost unless its scores are the expected ones."""
    lost = sum(a.scores is None or not np.allclose(a.scores, expected, rtol=0, atol=1e-5) for a in many)
    seconds = 1e3 * np.array([a.seconds for a in many if a.scores is not None])
    own = np.array([(a.inside, a.outside) for a in alone])
    return {
        "lost": lost,
        "p50": float(np.percentile(seconds, 50)),
        "p99": float(np.percentile(seconds, 99)),
        "alone p50": float(np.percentile([1e3 * a.seconds for a in alone], 50)),
        "alone p99": float(np.percentile([1e3 * a.seconds for a in alone], 99)),
        "inside": float(np.median(own[:, 0])),
        "outside": float(np.median(own[:, 1])),
    }


def in_words(found: dict[str, Any]) -> list[str]:
    """Lines for the terminal: both servers, and what is wanted of the first."""
    server, python = found["server"], found["python"]
    names = ("lost", "p50", "p99", "alone p50", "alone p99", "inside", "outside", "cpu")
    lines = [
        f"{found['requests']:,} requests at once, in turns, of {found['pairs']} pairs, {found['bytes']:,} bytes; ms",
        " " * 10 + "".join(f"{name:>12}" for name in names),
    ]
    for name in ("server", "python"):
        lines.append(f"{name:<10}" + "".join(f"{found[name][column]:>12.2f}" for column in names))
    share = server["outside"] / python["outside"]
    wanted = {
        f"lost: {server['lost']} (none wanted)": server["lost"] == 0,
        f"p99 at once: {server['p99'] / python['p99']:.2f} of Python's (at most 1)": server["p99"]
        <= python["p99"],
        f"outside onnxruntime: {share:.2f} of Python's (at most {MOST_OUTSIDE})": share <= MOST_OUTSIDE,
    }
    return [*lines, *(text if holds else f"{text}: MISSED" for text, holds in wanted.items())]


def main() -> None:
    """Measure both servers and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path, nargs="?", default=Path("bundles/served"))
    parser.add_argument(
        "--server", type=Path, default=ROOT / "examples/serve/serve", help="`make server` builds it"
    )
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    a = parser.parse_args()
    if not a.server.is_file() or not a.bundle.is_dir():
        out.print(f"Skipped: there is no {a.server} or no {a.bundle}. `make serve` makes both.")
        return
    found = measured(a.bundle.resolve(), a.server.resolve(), a.requests, a.rounds)
    keep("serving", found)
    for line in in_words(found):
        out.print(line)


if __name__ == "__main__":
    main()
