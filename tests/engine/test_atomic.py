from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine import write_atomically


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("is_durable", [True, False])
def test_a_file_is_made_and_replaced(tmp_path: Path, is_durable: bool) -> None:
    file = tmp_path / "new" / "folder" / "file.txt"
    write_atomically(file, "größer\n", is_durable=is_durable)
    assert file.read_bytes() == "größer\n".encode()
    write_atomically(file, b"\x00\r\n", is_durable=is_durable)
    assert file.read_bytes() == b"\x00\r\n"
    assert left(file.parent) == ["file.txt"]


def test_what_fails_leaves_the_old_content_and_no_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / "file.txt"
    write_atomically(file, "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(file, "new")
    assert file.read_text() == "old"
    assert left(tmp_path) == ["file.txt"]


def test_the_unfinished_file_lies_where_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temp").mkdir()
    seen: list[list[str]] = []
    flush = os.fsync

    def looking(handle: int) -> None:
        seen.append(left(tmp_path / "temp"))
        flush(handle)

    monkeypatch.setattr(os, "fsync", looking)
    write_atomically(tmp_path / "file.txt", "text", unfinished=tmp_path / "temp")
    assert len(seen[0]) == 1
    assert seen[0][0].endswith(".part")
    assert left(tmp_path / "temp") == []
