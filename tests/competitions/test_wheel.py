"""A wheel is downloaded once, whole or not at all, and checked; pip is played by a script."""

from __future__ import annotations

import hashlib
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from competitions import fetch_wheel
from engine import DataError

CONTENT = b"a wheel"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a script in the place of Python; it counts its calls in the file that is returned."""
    calls, script = tmp_path / "calls", tmp_path / "python"
    script.write_text(
        '#!/bin/sh\necho "$@" >> '
        + f'"{calls}"\n'
        + 'for last; do :; done\nprintf "a wheel" > "$last/toy.whl"\n'
    )
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    return calls


def fetch(folder: Path, sha256: str = SHA256) -> Path:
    return fetch_wheel("toy==1.0", "toy.whl", sha256, folder)


def test_it_is_downloaded_once(pip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    assert fetch(folder).read_bytes() == CONTENT
    assert fetch(folder) == folder / "toy.whl"
    assert pip.read_text().count("\n") == 1
    assert "pip download" in pip.read_text()
    assert "--no-deps" in pip.read_text()


def test_two_at_once_download_once(pip: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(fetch, [tmp_path / "data"] * 4))
    assert {path.read_bytes() for path in paths} == {CONTENT}
    assert pip.read_text().count("\n") == 1


def test_nothing_is_left_beside_it(pip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / ".toy.whl-killed.part").mkdir(parents=True)
    fetch(folder)
    assert [p.name for p in folder.iterdir() if p.suffix != ".lock"] == ["toy.whl"]


def test_other_contents_are_refused_and_not_kept(pip: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"its SHA-256 is {SHA256}"):
        fetch(tmp_path / "data", sha256="0" * 64)
    assert not (tmp_path / "data" / "toy.whl").exists()


def test_a_changed_file_is_refused(pip: Path, tmp_path: Path) -> None:
    fetch(tmp_path).write_bytes(b"torn")
    with pytest.raises(DataError, match=r"toy.whl is not the file it should be(.|\n)*delete it"):
        fetch(tmp_path)


def test_no_network(pip: Path, tmp_path: Path) -> None:
    Path(sys.executable).write_text("#!/bin/sh\necho 'ERROR: no route to host' >&2\nexit 1\n")
    with pytest.raises(
        DataError, match=r"toy.whl could not be downloaded: ERROR: no route to host(.|\n)*put toy.whl"
    ):
        fetch(tmp_path / "data")
