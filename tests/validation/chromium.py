"""Headless Chromium for the tests of pages, spoken to by its DevTools protocol."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SECONDS = 20.0
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
START = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
for pipe, wanted in zip(pipes, (3, 4)):  # where Chromium looks for them
    os.dup2(pipe, wanted)
os.execvp(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """Headless Chromium spoken to by the DevTools protocol over two pipes: one JSON text per NUL byte."""

    def __init__(self, program: str, profile: Path) -> None:
        command_out, command_in = os.pipe()
        event_out, event_in = os.pipe()
        arguments = [program, *FLAGS, f"--user-data-dir={profile}"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, str(command_out), str(event_in), *arguments],
            pass_fds=(command_out, event_in),
            stderr=subprocess.DEVNULL,
        )
        os.close(command_out)
        os.close(event_in)
        self._write, self._read = command_in, event_out
        self._rest, self._number, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], SECONDS)
            assert ready, f"the browser has been silent for {SECONDS} s"
            part = os.read(self._read, 65536)
            assert part, "the browser has ended"
            self._rest += part
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message

    def prefer(self, scheme: str) -> None:
        """Switch the reader's preference to ``light`` or ``dark``."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, page: Path, *, width: int = 1280, scheme: str = "light") -> None:
        """Load a page in a window of that width and wait until its charts are drawn."""
        self.events.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        self.prefer(scheme)
        self.call("Page.navigate", url=page.as_uri())
        deadline = time.monotonic() + SECONDS
        while self.value("document.documentElement?.dataset.charts") != "drawn":
            assert time.monotonic() < deadline, f"charts are not drawn after {SECONDS} s: {self.logged()}"
            time.sleep(0.05)

    def value(self, expression: str) -> Any:
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def logged(self) -> list[dict[str, Any]]:
        kinds = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [event["params"] for event in self.events if event.get("method") in kinds]

    def requested(self) -> list[str]:
        sent = [event["params"] for event in self.events if event["method"] == "Network.requestWillBeSent"]
        urls = [parameters["request"]["url"] for parameters in sent]
        return [url for url in urls if not url.startswith("data:")]

    def close(self) -> None:
        self.call("Browser.close")
        self.process.wait(timeout=SECONDS)
        os.close(self._write)
        os.close(self._read)
