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
from tests.validation.conftest import RunReport, make_bundle
from validation import CvBundle

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
    deadline = time.monotonic() + SECONDS
    while any(a == b for a, b in zip(dark, browser.value(LOOK), strict=True)):
        assert time.monotonic() < deadline, (dark, browser.value(LOOK))
        time.sleep(0.05)
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
