"""``python -m validation report``: what it prints and the file it writes."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from competitions import Dataset, opened, pointer_to, take_in
from engine import Recipe, Store, StoreError
from tests.competitions.shop import SHOP, shop_tables
from tests.validation.conftest import EVIL, RunReport, make_bundle
from validation import CvBundle
from validation.__main__ import app


class Elements(HTMLParser):
    """The page's elements with their attributes, and the text outside of scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: dict[str, str] = {}
        self._open = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._open = f"script:{dict(attrs).get('id', '')}" if tag == "script" else tag

    def handle_data(self, data: str) -> None:
        if self._open.startswith("script:"):
            self.scripts[self._open.removeprefix("script:")] = data
        elif self._open != "style":
            self.text.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._open = ""


@pytest.fixture(scope="module")
def printed_and_page(
    bundle: CvBundle, run_report: RunReport, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, str]:
    printed, path = run_report(bundle, tmp_path_factory.mktemp("report"))
    return printed, path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(printed_and_page: tuple[str, str]) -> str:
    return printed_and_page[1]


@pytest.fixture(scope="module")
def elements(page: str) -> Elements:
    return Elements(page)


def test_terminal_shows_every_part(printed_and_page: tuple[str, str]) -> None:
    printed, _ = printed_and_page
    for words in ("mean_of_ranks", "Segments", "features", "Flagged features", "Fits", "Chosen:", "cv.html"):
        assert words in printed
    assert "[bold]" in printed  # a name with rich markup is text


def test_page_loads_nothing(page: str, elements: Elements) -> None:
    loading = {"src", "srcset", "data", "action", "poster", "background"}
    for tag, attributes in elements.found:
        assert not loading & set(attributes), (tag, attributes)
        assert tag not in ("link", "iframe", "object", "embed", "img", "base"), tag
        assert not (attributes.get("href") or "#").startswith(("http:", "https:", "//")), attributes
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    assert not re.search(r"url\(|@import", style[1])
    assert len(page.encode()) < 1_500_000


def test_page_forbids_everything_but_what_is_inline(elements: Elements) -> None:
    (policy,) = [a["content"] or "" for _, a in elements.found if a.get("http-equiv")]
    rules = dict(rule.split(maxsplit=1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'unsafe-inline'"
    assert not re.search(r"https?:|\*|eval", policy)


def test_names_are_escaped(page: str, elements: Elements) -> None:
    assert EVIL not in page
    assert "<b>Co</b>" not in page
    assert [tag for tag, _ in elements.found].count("script") == 3
    assert "".join(elements.text).count(EVIL) >= 5
    assert "Cinema & <b>Co</b>" in "".join(elements.text)
    assert EVIL in json.dumps(json.loads(elements.scripts["chart-specs"]))


def test_tables_have_captions_and_headings_are_in_order(elements: Elements) -> None:
    tags = [tag for tag, _ in elements.found]
    assert tags.count("caption") == tags.count("table") == 4
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert levels == [1, 2, 2, 2, 2, 2, 2]
    assert ("html", {"lang": "en"}) in elements.found


def test_the_same_bundle_gives_the_same_page(run_report: RunReport, page: str, tmp_path: Path) -> None:
    _, path = run_report(make_bundle(), tmp_path)
    assert path.read_text(encoding="utf-8") == page


def test_no_cross_validation_yet(cinema: Dataset, tmp_path: Path) -> None:
    folder = f"--set=store={str(tmp_path)!r}"
    with (
        opened(cinema),
        pytest.raises(
            StoreError, match="no cross-validation of cinema with the files in data in the store"
        ) as caught,
    ):
        CliRunner().invoke(app, [folder, "report"], catch_exceptions=False)
    assert "make cv" in caught.value.todo


def test_folds_lists_windows_with_their_sizes(cinema: Dataset) -> None:
    with opened(cinema):
        result = CliRunner().invoke(app, ["--set=folds.n_folds=2", "folds"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "w8-8-9" in result.stdout
    n_rows = cinema.log.collect().filter(cinema.log.collect()["clock"] < 8).height
    assert f"{n_rows:,}" in result.stdout


def test_windows_have_instants_for_names_on_a_clock_of_time(tmp_path: Path) -> None:
    """The shop's log has a click an hour from 2024-01-01; its windows are of four hours, just after a click each."""
    shop = take_in(SHOP, shop_tables(), tmp_path, fingerprint="shop")
    with opened(shop):
        options = ["--set=folds.n_folds=1", "--set=folds.n_train_windows=1", "folds"]
        result = CliRunner().invoke(app, options, catch_exceptions=False)
    assert result.exit_code == 0
    assert "2024-01-01 15:00 to" in result.stdout  # a narrow table has the end on a line of its own
    assert "2024-01-01 19:00" in result.stdout
    assert "start to until, UTC" in result.stdout


def test_metrics_are_listed_with_their_policies() -> None:
    result = CliRunner().invoke(app, ["metrics"], catch_exceptions=False)
    assert "user_auc" in result.stdout
    assert "one_class = 'skip'" in result.stdout


def test_the_report_of_another_competition_is_not_taken(
    bundle: CvBundle, cinema: Dataset, tmp_path: Path
) -> None:
    """A store holds the runs of several competitions: each has its own last cross-validation."""
    store, recipe = Store(tmp_path / "store"), Recipe("cv", "other: cross-validation", {})
    store.put(recipe, bundle.write)
    store.point(pointer_to("cv", "other", Path("data")), recipe)
    with opened(cinema), pytest.raises(StoreError, match="no cross-validation of cinema"):
        CliRunner().invoke(app, [f"--set=store={str(store.root)!r}", "report"], catch_exceptions=False)


def test_competitions_and_data_folders_have_reports_of_their_own(
    cinema: Dataset, run_report: RunReport, tmp_path: Path
) -> None:
    """The same name with files in two folders: each shows its own scores; the page names the folder it is of."""
    first, other = make_bundle(), make_bundle(models=("popularity", "als"), blends=("mean_of_ranks",))
    printed, path = run_report(first, tmp_path)
    page = path.read_text(encoding="utf-8")
    _, same = run_report(other, tmp_path, "elsewhere")
    assert path == same
    assert "<dt>Data</dt><dd>elsewhere</dd>" in same.read_text(encoding="utf-8")
    with opened(cinema):
        folders = [f"--set={name}={str(tmp_path / name)!r}" for name in ("store", "reports")]
        again = CliRunner().invoke(app, [*folders, "--set=data='data'", "report"], catch_exceptions=False)
        assert again.stdout == printed
        assert path.read_text(encoding="utf-8") == page
        with pytest.raises(StoreError, match="with the files in nowhere"):
            CliRunner().invoke(app, [*folders, "--set=data='nowhere'", "report"], catch_exceptions=False)


def test_a_link_to_the_data_is_the_same_folder(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "link").symlink_to("files")
    names = {pointer_to("cv", "shop", tmp_path / folder) for folder in ("files", "link", "files/../link")}
    assert len(names) == 1
    assert names.isdisjoint(
        {pointer_to("cv", "shop", tmp_path), pointer_to("cv", "kiosk", tmp_path / "files")}
    )
