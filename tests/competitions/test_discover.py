"""A new competition is one new file in the room."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

import competitions as room
from competitions import competitions, get_competition
from engine import ConfigError, DataError

MINE = """
    from dataclasses import replace
    from competitions.movielens import MOVIELENS

    MINE = replace(MOVIELENS, name="{name}")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A second folder of the room, gone after the test."""
    monkeypatch.setattr(room, "__path__", [*room.__path__, str(tmp_path)])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("competitions."):
            del sys.modules[name]
            monkeypatch.delattr(room, name.removeprefix("competitions."), raising=False)


def write(folder: Path, file: str, text: str) -> None:
    (folder / file).write_text(dedent(text))


def test_movielens_is_found() -> None:
    assert competitions()["movielens"].title.startswith("MovieLens")


def test_a_new_file_is_a_new_competition(folder: Path) -> None:
    write(folder, "mine.py", MINE.format(name="my_films"))
    assert get_competition("my_films").clock.kind == "per_user"
    assert list(competitions()) == ["movielens", "my_films"]


def test_files_with_an_underscore_are_not_looked_at(folder: Path) -> None:
    write(folder, "_mine.py", "raise RuntimeError")
    assert list(competitions()) == ["movielens"]


def test_an_unknown_name(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"There is no competition 'movielenz'. Did you mean 'movielens'\?"):
        get_competition("movielenz")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import nothing_of_that_name", r"ModuleNotFoundError: .* \(line 1\)"),
        ("x = 1\ny = 1 / 0", r"ZeroDivisionError: division by zero \(line 2\)"),
        ("def broken(:", r"SyntaxError: .*line 1\)"),
    ],
)
def test_a_broken_file_is_named(folder: Path, text: str, reason: str) -> None:
    write(folder, "broken_one.py", text)
    with pytest.raises(DataError, match=r"competition file broken_one.py cannot be imported: " + reason):
        competitions()


def test_a_broken_file_that_was_corrected_is_read(folder: Path) -> None:
    write(folder, "broken_two.py", "1 / 0")
    with pytest.raises(DataError):
        competitions()
    write(folder, "broken_two.py", MINE.format(name="corrected"))
    assert "corrected" in competitions()


def test_two_of_the_same_name_are_refused(folder: Path) -> None:
    write(folder, "zweite.py", MINE.format(name="movielens"))
    with pytest.raises(
        DataError, match=r"Two competitions are called 'movielens': one in movielens.py, one in zweite.py"
    ):
        competitions()


def test_a_contradiction_is_found_when_the_file_is(folder: Path) -> None:
    write(
        folder, "wrong.py", MINE.format(name="wrong").replace('name="wrong"', 'name="wrong", source="studio"')
    )
    with pytest.raises(DataError, match="Competition 'wrong' contradicts itself"):
        competitions()
