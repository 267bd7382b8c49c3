"""The examples of docs/adapters.md: each takes the files of its layout in, has folds, opens what the page says."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from competitions import Competition, Dataset, simulate, take_in
from engine import FoldSettings
from features import load_catalogue
from validation import metrics, plan_folds, window_pairs, window_relevance

PAGE = (Path(__file__).parents[1] / "docs" / "adapters.md").read_text(encoding="utf-8")
RATINGS, CLICKS, LATE, LISTS = re.findall(r"```python\n(.*?)```", PAGE, re.S)
EXAMPLES = {
    "ratings": RATINGS,
    "clicks": CLICKS,
    "late clicks": CLICKS + LATE,
    "lists": LISTS,
}  # LATE goes on


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    """The generated files of each layout, as its example takes them in."""
    found = {}
    for name, code in EXAMPLES.items():
        folder = tmp_path_factory.mktemp(name)
        simulate(name.split()[-1], folder / "files", n_rows=20_000, seed=1)
        module = ModuleType(f"adapter_of_{name.replace(' ', '_')}")
        sys.modules[module.__name__] = module
        exec(code, vars(module))
        *_, competition = (value for value in vars(module).values() if isinstance(value, Competition))
        (folder / "taken").mkdir()
        found[name] = take_in(
            competition, competition.read(folder / "files"), folder / "taken", fingerprint=name
        )
    return found


@pytest.mark.parametrize("code", [RATINGS, CLICKS, LATE, LISTS])
def test_an_example_is_short(code: str) -> None:
    lines = code.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 110


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_takes_its_files_in_and_has_folds(name: str, taken: dict[str, Dataset]) -> None:
    dataset = taken[name]
    folds = plan_folds(dataset, FoldSettings())
    assert len(folds.folds) == 3
    for fold in folds.folds:
        relevance = window_relevance(dataset, fold.eval)
        assert relevance["relevance"].n_unique() > 1
    assert not window_pairs(dataset, folds.final.eval).is_empty()


def test_the_windows_of_the_late_feed_are_like_its_test(taken: dict[str, Dataset]) -> None:
    """Twelve hours lie between the history and the targets; the pairs are those of a brute force over all rows."""
    dataset, hours = taken["late clicks"], 3_600_000_000
    folds = plan_folds(dataset, FoldSettings())
    log = dataset.log.collect()
    assert dataset.test_until - dataset.test_start == 24 * hours
    assert folds.final.eval.start == dataset.test_start >= log["clock"].max() - 1  # type: ignore[operator]
    for fold in (*folds.folds, folds.final):
        assert {window.start - window.cutoff for window in (*fold.train, fold.eval)} == {12 * hours}
        assert all(window.until <= fold.eval.cutoff for window in fold.train)
    for window in (fold.eval for fold in folds.folds):
        rows = log.filter(pl.col("clock").is_between(window.start, window.until, closed="left"))
        expected = []
        for own in rows.sort("row").partition_by("viewer", maintain_order=True):
            reactions = own.select(pl.any_horizontal("click", "like", "hate").any()).item()
            expected += own["row"].to_list()[:5] if own.height >= 5 and reactions else []
        pairs = window_pairs(dataset, window)
        keys = ["viewer", "document", "clock"]
        chosen = rows.filter(pl.col("row").is_in(expected)).select(keys[:2]).sort(keys[:2])
        assert 0 < pairs.height < rows.height
        assert pairs.select(keys[:2]).sort(keys[:2]).equals(chosen)


def test_columns_open_the_families_that_the_page_says(taken: dict[str, Dataset]) -> None:
    table = PAGE.split("## Which column opens which family")[1].split("\n## ")[0]
    columns = re.findall(r"^\| .*? \| `(\w+)` \|", table, re.M)
    assert len(columns) == 9
    known = {name: set(load_catalogue(dataset).columns) for name, dataset in taken.items()}
    assert [column for column in columns if not any(column in names for names in known.values())] == []
    for column, name in (("like_rate__item_id", "lists"), ("dislike_rate__item_id", "clicks")):
        assert column in known[name]
    assert "dislike_rate__item_id" not in known["lists"]
    assert "genre_taste" not in known["clicks"]


def test_what_the_page_says_of_columns(taken: dict[str, Dataset]) -> None:
    catalogue = load_catalogue(taken["lists"])
    inputs = {"given__price", "given_rank__price", "given_share__price", "given__device", "given__pool", "given__city",
              "given_rank__position", "given_hour__shown_at"}  # fmt: skip
    assert inputs <= set(catalogue.columns)
    assert not {"price", "position", "device", "city"} & set(catalogue.unread(catalogue.columns))
    log = taken["ratings"].log.select((pl.col("rating") == pl.col("stars")).all()).collect()
    assert log.item()


def test_every_metric_is_in_the_table() -> None:
    table = PAGE.split("| Metric | Policies |")[1].split("\n## ")[0]
    assert set(metrics()) == set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (.*?) \|", table, re.M))))


def test_columns_that_are_the_same_for_every_test_pair_are_not_computed(taken: dict[str, Dataset]) -> None:
    """Where all users of the test are new, what is counted by user is left out, and what reads that; items stay."""
    new, known = (load_catalogue(taken[name]) for name in ("lists", "clicks"))
    assert (taken["lists"].all_new, taken["clicks"].all_new) == (("session",), ())
    by_user = [name for name, column in known.columns.items() if "user_id" in column.key]
    assert {"n_exposures__user_id", "like_rate__user_id", "like_rate__user_id_x_source_id"} <= set(by_user)
    assert not set(by_user) & set(new.columns)
    reason = (
        "needs a 'user_id' with a past, and no test pair has one: every value of the test would be the same"
    )
    assert new.unavailable["n_exposures__user_id"] == reason
    assert "n_exposures__user_id" in new.unavailable["share_of_user__n_exposures__user_id_x_source_id"]
    assert {"like_rate__item_id", "like_rate__source_id", "given_rank__price", "n_pairs"} <= set(new.columns)
