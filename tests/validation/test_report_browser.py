"""The report in a real browser: charts are drawn, nothing is logged, nothing is asked of the network."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from tests.validation.chromium import SECONDS, Browser
from tests.validation.conftest import MakeBundle, RunReport

PHONE, DESKTOP = 360, 1280

CHARTS = {
    "scores",
    "differences",
    "importance",
    "single",
    "drift",
    "nulls",
    "segment-0",
    "segment-1",
    "segment-2",
}
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
def page(make_bundle: MakeBundle, run_report: RunReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_report(make_bundle(), tmp_path_factory.mktemp("report"))[1]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_charts_are_drawn_and_nothing_is_logged(browser: Browser, page: Path, width: int, dark: bool) -> None:
    browser.open(page, width=width, dark=dark)
    marks = browser.value(MARKS)
    names = [name for name, _, _ in marks]
    assert set(names) == CHARTS
    assert all(n_marks > 3 and 150 < chart_width <= width for _, n_marks, chart_width in marks), marks
    assert browser.logged() == []
    assert browser.requested() == [page.as_uri()]
    # Nothing but tables and navigation, which scroll by themselves, may be wider than the screen.
    assert browser.value("document.documentElement.scrollWidth") <= width


def test_names_from_the_data_are_text(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.value("document.scripts.length") == 3
    assert browser.value("document.querySelector('h1').textContent") == "Cinema & <b>Co</b>"
    labels = browser.value(
        "[...document.querySelectorAll('[data-chart=importance] text')].map(t => t.textContent)"
    )
    assert "<script>alert('x')</script>" in labels


def test_dark_mode_changes_page_and_charts_when_the_reader_switches(browser: Browser, page: Path) -> None:
    browser.open(page)
    light = browser.value(LOOK)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    deadline = time.monotonic() + SECONDS
    while any(a == b for a, b in zip(light, browser.value(LOOK), strict=True)):
        assert time.monotonic() < deadline, (light, browser.value(LOOK))
        time.sleep(0.05)
    assert browser.logged() == []


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


def test_the_smallest_report_is_drawn_too(
    browser: Browser, make_bundle: MakeBundle, run_report: RunReport, tmp_path: Path
) -> None:
    _, path = run_report(make_bundle(models=("popularity",), blends=()), tmp_path)
    browser.open(path)
    assert browser.logged() == []
    assert browser.value("document.querySelectorAll('[data-chart=scores] svg').length") == 1
    assert (
        browser.value("document.querySelectorAll('[data-chart=differences], [data-chart=importance]').length")
        == 0
    )


def test_a_report_without_any_score_is_a_page_too(
    browser: Browser, make_bundle: MakeBundle, run_report: RunReport, tmp_path: Path
) -> None:
    bundle = make_bundle()
    one_class = replace(bundle, oof=bundle.oof.with_columns(relevance=pl.lit(1, pl.Int8)))
    browser.open(run_report(one_class, tmp_path)[1])
    assert browser.logged() == []
    assert (
        browser.value("document.querySelectorAll('[data-chart=scores], [data-chart^=segment]').length") == 0
    )
    assert browser.value("document.querySelectorAll('[data-chart=drift] svg').length") == 1
