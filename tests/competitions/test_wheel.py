"""A wheel is downloaded once, whole or not at all, and checked; pip is played by a script."""

from __future__ import annotations

import hashlib
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from competitions import fetch_wheel
from tests.competitions.shop import raises_with

CONTENT = b"a wheel"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SCRIPT = """#!/bin/sh
echo "$@" >> "{calls}"
for last; do :; done
printf "a wheel" > "$last/toy.whl"
"""


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a script in the place of Python; it counts its calls in the file that is returned."""
    calls, script = tmp_path / "calls", tmp_path / "python"
    script.write_text(SCRIPT.format(calls=calls))
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    return calls


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder."""
    (tmp_path / "films").mkdir()
    return tmp_path / "films"


def fetch(folder: Path, sha256: str = SHA256) -> Path:
    return fetch_wheel("toy==1.0", "toy.whl", sha256, folder, instead_of="films.csv")


def test_it_is_downloaded_once_beside_other_wheels_and_hidden_files(pip: Path, folder: Path) -> None:
    (folder / ".toy.whl-killed.part").mkdir()
    for name in (".gitkeep", "other-1.0-py3-none-any.whl"):
        (folder / name).touch()
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(fetch, [folder] * 4))
    assert {path.read_bytes() for path in paths} == {CONTENT}
    assert fetch(folder) == folder / "toy.whl"
    assert pip.read_text().count("\n") == 1
    assert "pip download" in pip.read_text()
    assert "--no-deps" in pip.read_text()
    names = [path.name for path in folder.iterdir() if path.suffix != ".lock"]
    assert sorted(names) == [".gitkeep", "other-1.0-py3-none-any.whl", "toy.whl"]


def test_other_contents_are_refused_and_not_kept(pip: Path, folder: Path) -> None:
    with raises_with(f"its SHA-256 is {SHA256}"):
        fetch(folder, sha256="0" * 64)
    assert not (folder / "toy.whl").exists()


def test_a_changed_file_is_refused(pip: Path, folder: Path) -> None:
    fetch(folder).write_bytes(b"torn")
    with raises_with("toy.whl is not the file it should be ... delete it"):
        fetch(folder)


def test_no_network(pip: Path, folder: Path) -> None:
    Path(sys.executable).write_text("#!/bin/sh\necho 'ERROR: no route to host' >&2\nexit 1\n")
    with raises_with("toy.whl could not be downloaded: ERROR: no route to host ... put toy.whl"):
        fetch(folder)


class TestFolder:
    def test_the_default_folder_is_made_in_the_working_directory(
        self, pip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert fetch(Path("data")) == Path("data/toy.whl")
        assert (tmp_path / "data" / "toy.whl").read_bytes() == CONTENT

    @pytest.mark.parametrize("name", ["dat", "films/data", "data/films"])
    def test_no_other_folder_is_made(
        self, pip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        expected = "Expected: films.csv; or an empty folder, into which toy.whl is downloaded"
        with raises_with(f"The data folder {name} does not exist ... {expected}"):
            fetch(Path(name))
        assert not pip.exists()
        assert not (tmp_path / name.split("/")[0]).exists()

    def test_other_files_are_named(self, pip: Path, folder: Path) -> None:
        (folder / "subfolder").mkdir()
        for name in "abcdef":
            (folder / f"{name}.csv").touch()
        with raises_with("films holds a.csv, b.csv, c.csv, d.csv, e.csv and 2 more, but no known"):
            fetch(folder)
        assert not pip.exists()

    def test_other_files_beside_the_wheel(self, pip: Path, folder: Path) -> None:
        fetch(folder)
        (folder / "film.csv").touch()
        with raises_with("holds film.csv, but no known data set"):
            fetch(folder)

    def test_a_file_in_the_place_of_the_folder(self, pip: Path, tmp_path: Path) -> None:
        (tmp_path / "films").touch()
        with raises_with("films is no folder"):
            fetch(tmp_path / "films")
