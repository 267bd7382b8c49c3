"""A new competition is one new file in the room."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

import competitions as room
from competitions import competitions, get_competition, open_dataset
from engine import ConfigError, Settings
from tests.competitions.shop import collected, raises_with

MINE = """
    from dataclasses import replace
    from competitions.movielens import MOVIELENS

    MINE = replace(MOVIELENS, name="{name}")
"""


WHOLE = """
    from pathlib import Path
    import dataframely as dy
    import polars as pl
    from competitions import Clock, Competition, Metric, RawTables, SubmissionFormat

    class Plays(dy.Schema):
        user_id = dy.UInt32()
        item_id = dy.UInt32()
        liked = dy.UInt8(max=1)

    class Items(dy.Schema):
        item_id = dy.UInt32(primary_key=True)
        artist = dy.Enum(("a", "b"))

    def read(folder: Path) -> RawTables:
        plays, items = (pl.scan_csv(folder / f"{name}.csv") for name in ("plays", "items"))
        return RawTables(plays, items=items)

    MUSIC = Competition(
        name="music", title="Songs", licence="free", read=read, interactions=Plays, items=Items,
        outcomes=("liked",), clock=Clock("row"), relevance=pl.col("liked"),
        metric=Metric("user_auc"), submission=SubmissionFormat({"row": "pair_id", "score": "score"}), horizon=2,
        source="artist",
    )
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


def test_a_new_file_is_a_new_competition(folder: Path) -> None:
    write(folder, "mine.py", MINE.format(name="my_films"))
    assert get_competition("my_films").clock.kind == "per_user"
    assert list(competitions()) == ["movielens", "my_films", "vk2024", "vk2024_order"]


def test_a_file_that_is_read_while_importing_is_refused(folder: Path) -> None:
    (folder / "genres.csv").write_text("genre\nrock\n")
    reads = f"import polars as pl\nGENRES = pl.read_csv('{folder}/genres.csv')\n"
    write(folder, "mine.py", reads)
    with raises_with(f"reads {folder}/genres.csv while it is imported"):
        competitions()


def test_a_whole_competition_in_one_file_is_opened(folder: Path, settings: Settings) -> None:
    write(folder, "music.py", WHOLE)
    settings.data.mkdir()
    write(settings.data, "plays.csv", "user_id,item_id,liked\n1,7,1\n2,7,0\n1,8,0\n2,8,1\n")
    write(settings.data, "items.csv", "item_id,artist\n7,a\n8,b\n")
    dataset = open_dataset(settings.model_copy(update={"competition": "music"}))
    assert collected(dataset.log).rows() == [(0, 0, 1, 7, 1, 1), (1, 1, 2, 7, 0, 0)]
    assert collected(dataset.test_pairs).rows() == [(2, 1, 8), (3, 2, 8)]
    (settings.data / "items.csv").unlink()
    with raises_with("Table 'items' of competition 'music' cannot be read"):
        open_dataset(settings.model_copy(update={"competition": "music"}))


def test_a_mistake_in_a_competition_is_told_by_file_and_line(folder: Path, settings: Settings) -> None:
    broken = WHOLE.replace("return RawTables(plays", "return RawTables({}['plays']")
    write(folder, "music.py", broken)
    write(folder, "also.py", "from competitions.music import MUSIC")
    settings.data.mkdir()
    (settings.data / "plays.csv").touch()
    line = 1 + dedent(broken).splitlines().index("    return RawTables({}['plays'], items=items)")
    with raises_with(f"'music' failed (music.py, line {line}): KeyError: 'plays'"):
        open_dataset(settings.model_copy(update={"competition": "music"}))


def test_an_unknown_name() -> None:
    with pytest.raises(ConfigError, match=r"There is no competition 'movielenz'. Did you mean 'movielens'\?"):
        get_competition("movielenz")


def test_a_broken_file_is_named(folder: Path) -> None:
    write(folder, "broken.py", "def broken(:")
    with raises_with("competitions/broken.py cannot be imported: SyntaxError"):
        competitions()


def test_two_of_the_same_name_are_refused(folder: Path) -> None:
    write(folder, "zweite.py", MINE.format(name="movielens"))
    with raises_with("Two competitions are called 'movielens': one in movielens.py, one in zweite.py"):
        competitions()


def test_a_contradiction_is_found_when_the_file_is(folder: Path) -> None:
    write(folder, "wrong.py", MINE.format(name='wrong", source="studio'))
    with raises_with("Competition 'wrong' contradicts itself"):
        competitions()
