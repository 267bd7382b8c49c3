"""The server of examples/serve: built, started, and asked."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from models import graphs

SOURCES = Path(__file__).resolve().parents[2] / "examples" / "serve"


def build_server(folder: Path) -> Path:
    """Build the server; skips the test where there is no compiler, which is an error in CI."""
    missing = [tool for tool in ("go", "cc") if shutil.which(tool) is None]
    if missing:
        reason = f"the server is built with {' and '.join(missing)}, which this machine does not have"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    program = folder / "serve"
    command = ["go", "build", "-buildvcs=false", "-o", str(program), "."]
    own = {"CGO_ENABLED": "1", "GOFLAGS": "-mod=mod", "GOPROXY": "off"}
    built = subprocess.run(
        command, cwd=SOURCES, env={**os.environ, **own}, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return program


def arguments(program: Path, bundle: Path, *more: str) -> list[str]:
    return [str(program), "-bundle", str(bundle), "-lib", str(graphs.runtime_library()), *more]


def checked(program: Path, bundle: Path) -> subprocess.CompletedProcess[str]:
    """Let the server check a bundle and stop, with nothing of Python in its environment."""
    command = arguments(program, bundle, "-check")
    return subprocess.run(command, env={}, capture_output=True, text=True, check=False, timeout=60)


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True)
class Server:
    """A server that listens. ``log``: the file that it writes to."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def ask(self, path: str, body: Any = None, method: str = "") -> Answer:
        """GET a path, or POST a body: a text, bytes, or what is written as JSON."""
        data = body if isinstance(body, str | bytes) or body is None else json.dumps(body)
        data = data.encode() if isinstance(data, str) else data
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method or ("GET" if body is None else "POST"), path, data)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read().decode(), dict(answer.headers))
        finally:
            connection.close()

    def hang_up(self, until: str) -> None:
        """Send the signal to reload, and wait until the log says so."""
        before = self.log.read_text().count(until)
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.log.read_text().count(until) > before)


def wait_for(holds: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


@contextmanager
def serving(program: Path, bundle: Path, folder: Path, *more: str) -> Iterator[Server]:
    """Start a server at a free port; it is ended by SIGTERM, and must end well."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "serve.log"
    with log.open("wb") as output:
        command = arguments(program, bundle, "-addr", f"127.0.0.1:{port}", *more)
        process = subprocess.Popen(command, env={}, stdout=output, stderr=output)
    try:
        wait_for(lambda: process.poll() is not None or "listening" in log.read_text())
        assert process.poll() is None, log.read_text()
        yield Server(port, process, log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
