"""python -m competitions list | show | check."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments: str, data: Path, store: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "competitions",
        *arguments,
        "--set",
        f"data={data}",
        "--set",
        f"store={store}",
    ]
    environment = {**os.environ, "COLUMNS": "160", "NO_COLOR": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_list_and_show(tmp_path: Path) -> None:
    listed = run("list", data=tmp_path, store=tmp_path)
    assert listed.returncode == 0, listed.stderr
    assert "movielens" in listed.stdout
    shown = run("show", "movielens", data=tmp_path, store=tmp_path)
    assert shown.returncode == 0, shown.stderr
    for text in (
        "main_genre",
        "timestamp",
        "observed",
        "outcome",
        "key",
        "user_auc",
        "GroupLens",
        "10 equal steps",
    ):
        assert text in shown.stdout
    assert not list(tmp_path.iterdir()), "show reads no data"


def test_check(wheel: Path, tmp_path: Path) -> None:
    checked = run("check", data=wheel.parent, store=tmp_path / "store")
    assert checked.returncode == 0, checked.stderr
    for text in ("90,404", "9,596 pairs", "943", "1,682", "may be later in the calendar"):
        assert text in " ".join(checked.stdout.split())
    assert "GroupLens" in checked.stderr


@pytest.mark.parametrize("arguments", [("show", "movielenz"), ("check", "--set", "competition=movielenz")])
def test_an_error_is_one_message(arguments: tuple[str, ...], tmp_path: Path) -> None:
    failed = run(*arguments, data=tmp_path, store=tmp_path)
    assert failed.returncode == 1
    assert "Did you mean 'movielens'?" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_missing_file_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "u.data").touch()
    failed = run("check", data=tmp_path, store=tmp_path / "store")
    assert failed.returncode == 1
    assert "but not u.user, u.item" in failed.stderr
    assert "Traceback" not in failed.stderr
