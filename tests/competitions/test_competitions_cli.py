"""python -m competitions list | show | check; the examples in the docstrings."""

from __future__ import annotations

import doctest
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import competitions
from competitions import Dataset
from competitions.__main__ import app
from engine import Settings
from tests.processes import python


def test_the_examples_in_docstrings_are_true() -> None:
    names = {name: getattr(competitions, name) for name in competitions.__all__ if not name.isupper()}
    n_attempted = 0
    for value in names.values():
        known = {**vars(sys.modules[value.__module__]), **names}
        for example in doctest.DocTestFinder().find(value, "example", globs=known):
            found = doctest.DocTestRunner().run(example)
            assert found.failed == 0
            n_attempted += found.attempted
    assert n_attempted >= 6


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["list"], ["movielens", "vk2024"]),
        (
            ["show", "movielens"],
            [
                "main_genre",
                "timestamp",
                "observed",
                "outcome",
                "key",
                "user_auc",
                "GroupLens",
                "10 equal steps",
            ],
        ),
    ],
)
def test_list_and_show(command: list[str], words: list[str]) -> None:
    result = CliRunner(env={"COLUMNS": "160"}).invoke(app, command)
    assert result.exit_code == 0
    shown = " ".join(result.stdout.replace("│", " ").split())  # lines wrap at the width of the terminal
    assert [word for word in words if word not in shown] == []


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("models={}", "No model is enabled"),
        ("models.column.depth=3", "[models.column]: unknown parameter 'depth'"),
        ("blenders.weights.of='rank'", "[blenders.weights]: of = 'rank' is not valid"),
        ("blender=weight", "Did you mean 'weights'?"),
    ],
)
def test_check_looks_at_models_and_blenders_before_it_reads_any_data(
    tmp_path: Path, setting: str, message: str
) -> None:
    options = ["--set", f"data={tmp_path / 'nowhere'}", "--set", f"store={tmp_path}", "--set", setting]
    result = CliRunner().invoke(app, [*options, "check"])
    assert message in str(result.exception)


def test_check(movielens: Dataset, movielens_settings: Settings, tmp_path: Path) -> None:
    options = ["--set", f"data={movielens_settings.data}", "--set", f"store={tmp_path / 'store'}"]
    checked = python("-m", "competitions", "check", *options, COLUMNS="160", NO_COLOR="1")
    assert checked.returncode == 0, checked.stderr
    dense = "Dense outcome: rating (chosen, not declared: rank correlation with relevance +"
    for text in ("90,404", "9,596 pairs", "943", "1,682", dense, "may be later in the calendar"):
        assert text in " ".join(checked.stdout.split())
    assert "GroupLens" in checked.stderr
