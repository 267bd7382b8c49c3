"""The report in a real browser: charts are drawn, nothing is logged, nothing is asked of the network."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.validation.conftest import RunReport, make_bundle
from validation import CvBundle

SECONDS = 20.0
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
]
# Chromium looks for its pipes at 3 and 4, one of which may be the other's number here.
START = 'exec 10<&$0 11>&$1 && shift && exec "$@" 3<&10 4>&11'


class Browser:
    """Headless Chromium spoken to by the DevTools protocol over two pipes: one JSON text per NUL byte."""

    def __init__(self, program: str, profile: Path) -> None:
        command_out, command_in = os.pipe()
        event_out, event_in = os.pipe()
        arguments = [program, *FLAGS, f"--user-data-dir={profile}"]
        self.process = subprocess.Popen(
            ["bash", "-c", START, str(command_out), str(event_in), *arguments],
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
        self.wait(lambda: self.value("document.documentElement?.dataset.charts") == "drawn")

    def wait(self, is_done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not is_done():
            assert time.monotonic() < deadline, f"the page is not so far after {SECONDS} s: {self.logged()}"
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


SEGMENTS = {"segment-0", "segment-1", "segment-2"}
CHARTS = {"scores", "differences", "importance", "single", "drift", "nulls", *SEGMENTS}
MARKS = """[...document.querySelectorAll('[data-chart]')].map(place => [
    place.dataset.chart,
    place.querySelectorAll('svg path, svg line').length,
    place.querySelector('svg').getBoundingClientRect().width])"""
LOOK = """[
    getComputedStyle(document.body).backgroundColor,
    document.querySelector('.role-axis-label text').getAttribute('fill')]"""
SHOWN_FEATURES = """[...document.querySelectorAll('#features-table tbody tr:not([hidden])')].map(
    row => row.cells[0].innerText.split('\\n')[0])"""
SEARCH = """(text => {
    const search = document.getElementById('feature-search');
    search.value = text;
    search.dispatchEvent(new Event('input'));
})"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        reason = "Chromium is not installed (looked for chromium, chromium-browser, google-chrome)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    browser = Browser(program, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def page(bundle: CvBundle, run_report: RunReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_report(bundle, tmp_path_factory.mktemp("report"))[1]


def drawn(browser: Browser, width: int = 1280) -> set[str]:
    """Names of the charts that the open page draws as it should."""
    marks = browser.value(MARKS)
    assert all(n_marks > 3 and 150 < chart_width <= width for _, n_marks, chart_width in marks), marks
    assert browser.logged() == []
    return {name for name, _, _ in marks}


@pytest.mark.parametrize("width", [360, 1280])
def test_charts_are_drawn_and_names_from_the_data_are_text(browser: Browser, page: Path, width: int) -> None:
    browser.open(page, width=width)
    assert drawn(browser, width) == CHARTS
    assert browser.requested() == [page.as_uri()]
    # Nothing but tables and navigation, which scroll by themselves, may be wider than the screen.
    assert browser.value("document.documentElement.scrollWidth") <= width
    labels = browser.value(
        "[...document.querySelectorAll('[data-chart=importance] text')].map(t => t.textContent)"
    )
    assert any(label.startswith("<script>alert") for label in labels)
    assert browser.value("document.scripts.length") == 3


def test_a_dark_page_and_its_charts_turn_light_when_the_reader_switches(browser: Browser, page: Path) -> None:
    browser.open(page, scheme="dark")
    dark = browser.value(LOOK)
    browser.prefer("light")
    browser.wait(lambda: not set(dark) & set(browser.value(LOOK)))
    assert drawn(browser) == CHARTS


def test_features_can_be_searched_and_sorted(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert len(browser.value(SHOWN_FEATURES)) == 20
    browser.value("document.getElementById('feature-more').click()")
    assert len(browser.value(SHOWN_FEATURES)) == 39
    browser.value(f"{SEARCH}('EMPTY__')")
    assert browser.value(SHOWN_FEATURES) == ["empty__user_id always null"]
    browser.value(f"{SEARCH}('')")
    browser.value("document.querySelectorAll('#features-table thead button')[3].click()")
    assert browser.value("document.querySelector('#features-table th[aria-sort]').textContent") == "PSI"
    psi = browser.value(
        "[...document.querySelectorAll('#features-table tbody tr')].map(r => r.cells[3].dataset.value)"
    )
    known = [float(text) for text in psi if text]
    assert known == sorted(known, reverse=True)
    assert psi[-1] == ""


def test_reports_of_one_model_and_of_no_score_lack_some_charts(
    browser: Browser, bundle: CvBundle, run_report: RunReport, tmp_path: Path
) -> None:
    one_model = make_bundle(models=("popularity",), blends=())
    browser.open(run_report(one_model, tmp_path / "model")[1])
    assert drawn(browser) == CHARTS - {"differences", "importance"}
    one_class = replace(bundle, oof=bundle.oof.with_columns(relevance=pl.lit(1, pl.Int8)))
    browser.open(run_report(one_class, tmp_path / "class")[1])
    assert drawn(browser) == CHARTS - {"scores", "differences", *SEGMENTS}
