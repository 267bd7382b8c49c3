"""python -m competitions list | show | check; what these import; the examples in the docstrings."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import competitions
from competitions.__main__ import app
from engine import ConfigError

ROOT = Path(__file__).parents[2]


def run(*arguments: str, data: Path, store: Path) -> subprocess.CompletedProcess[str]:
    options = ["--set", f"data={data}", "--set", f"store={store}"]
    command = [sys.executable, "-m", "competitions", *arguments, *options]
    environment = {**os.environ, "COLUMNS": "160", "NO_COLOR": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", ["--help", "list"])
def test_heavy_libraries_are_not_imported(command: str) -> None:
    command_line = [sys.executable, "-X", "importtime", "-m", "competitions", command]
    told = subprocess.run(command_line, cwd=ROOT, capture_output=True, text=True, check=True).stderr
    imported = set(re.findall(r"\| +(\S+)$", told, flags=re.M))
    assert "polars" in imported
    assert imported & {"torch", "catboost", "sklearn", "scipy.stats", "altair", "implicit", "gensim"} == set()


def test_the_examples_in_docstrings_are_true() -> None:
    names = {name: getattr(competitions, name) for name in competitions.__all__}
    n_attempted = 0
    for value in names.values():
        known = {**vars(sys.modules[value.__module__]), **names}
        for example in doctest.DocTestFinder().find(value, "example", globs=known):
            found = doctest.DocTestRunner().run(example)
            assert found.failed == 0
            n_attempted += found.attempted
    assert n_attempted >= 6


def test_list() -> None:
    result = CliRunner().invoke(app, ["list"])
    assert result.exit_code == 0
    assert "movielens" in result.stdout


def test_show() -> None:
    result = CliRunner(env={"COLUMNS": "160"}).invoke(app, ["show", "movielens"])
    assert result.exit_code == 0
    words = ["main_genre", "timestamp", "observed", "outcome", "key", "user_auc", "GroupLens"]
    for text in (*words, "10 equal steps"):
        # Lines wrap at the width of the terminal.
        assert text in " ".join(result.stdout.replace("│", " ").split())


def test_check(wheel: Path, tmp_path: Path) -> None:
    checked = run("check", data=wheel.parent, store=tmp_path / "store")
    assert checked.returncode == 0, checked.stderr
    for text in ("90,404", "9,596 pairs", "943", "1,682", "may be later in the calendar"):
        assert text in " ".join(checked.stdout.split())
    assert "GroupLens" in checked.stderr


def test_show_of_an_unknown_name() -> None:
    result = CliRunner().invoke(app, ["show", "movielenz"])
    assert isinstance(result.exception, ConfigError)
    assert "Did you mean 'movielens'?" in str(result.exception)


def test_a_missing_file_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "u.data").touch()
    failed = run("check", data=tmp_path, store=tmp_path / "store")
    assert failed.returncode == 1
    assert "but not u.user, u.item" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_mistyped_folder_is_one_message_and_no_download(tmp_path: Path) -> None:
    failed = run("check", data=tmp_path / "nothere", store=tmp_path / "store")
    assert failed.returncode == 1
    assert "nothere does not exist" in " ".join(failed.stderr.split())
    assert "Traceback" not in failed.stderr
    assert not (tmp_path / "nothere").exists()
