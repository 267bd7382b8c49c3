"""One artifact on disk: its files, and the label that says what they are and what their checksums are."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3

from engine._errors import StoreError
from engine._store.disk import sync, sync_folder
from engine._store.recipe import N_HEX, Recipe, as_plain, digest_json

LABEL = "artifact.json"

Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class Label:
    """What lies in an artifact's folder beside its files.

    ``files`` maps each path to blake3 (32 hex digits) of its content; ``created`` is in seconds since 1970.
    """

    kind: str
    name: str
    parts: Mapping[str, Any]
    files: Mapping[str, str]
    n_bytes: int
    seconds: float
    created: float

    @property
    def recipe(self) -> Recipe:
        """The recipe that the artifact was made from."""
        return Recipe(self.kind, self.name, self.parts)


class Damage(Exception):
    """A file of an artifact is missing, unknown or altered; the text says which. Never leaves the store."""


def seal(folder: Path, recipe: Recipe, *, seconds: float, created: float) -> None:
    """Label a finished folder and flush it to the disk: files first, then the label, then the folders."""
    paths = _files(folder)
    files = {name: _checksum(folder / name) for name in paths}
    n_bytes = sum((folder / name).stat().st_size for name in paths)
    label = Label(recipe.kind, recipe.name, recipe.parts, files, n_bytes, seconds, created)
    body: dict[str, Any] = {**asdict(label), "parts": as_plain(recipe.parts)}
    text = json.dumps({"checksum": digest_json(body), "label": body}, indent=1)
    (folder / LABEL).write_text(text, encoding="utf-8")
    for path in [folder / name for name in paths] + [folder / LABEL]:
        sync(path)
    for parent in {(folder / name).parent for name in paths} | {folder}:
        sync_folder(parent)


def read_label(folder: Path) -> Label:
    """Read the label. Raises FileNotFoundError if there is no such folder, Damage if it is not as it was written."""
    if not stat.S_ISDIR(os.lstat(folder).st_mode):
        raise Damage("it is no folder")
    if not _is_file(folder / LABEL):
        raise Damage(f"{LABEL} is missing")
    try:
        sealed = json.loads((folder / LABEL).read_bytes())
        body = sealed["label"]
        if digest_json(body) != sealed["checksum"]:
            raise Damage(f"{LABEL} is altered")
        return Label(**body)
    except (ValueError, KeyError, TypeError, RecursionError, StoreError) as error:
        raise Damage(f"{LABEL} is unreadable ({error})") from error


def verify(folder: Path, key: str) -> Label:
    """Compare every file with its checksum. Raises Damage that names the first file that differs."""
    label = read_label(folder)
    if label.recipe.key != key:
        raise Damage(f"{LABEL} belongs to {label.recipe.key}")
    found = set(_files(folder))
    for name in sorted(found ^ set(label.files)):
        raise Damage(f"{name} is missing" if name in label.files else f"{name} does not belong to it")
    for name, checksum in label.files.items():
        if not _is_file(folder / name):
            raise Damage(f"{name} is no file")
        if _checksum(folder / name) != checksum:
            raise Damage(f"{name} is altered")
    return label


def stamps(folder: Path) -> tuple[tuple[str, Stamp], ...]:
    """Size, modification time and inode of every file: equal as long as nobody touched the folder; () if it is none."""
    rows = []
    with suppress(OSError):
        for name, entry in sorted(_entries(str(folder))):
            status = entry.stat(follow_symlinks=False)
            rows.append((name, (status.st_size, status.st_mtime_ns, status.st_ino)))
    return tuple(rows)


def _files(folder: Path) -> list[str]:
    """Paths of the files below a folder, without the label, sorted."""
    return sorted(name for name, _ in _entries(str(folder)))


def _entries(folder: str, below: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """What is no folder below a folder, without the label, by its path: a run looks at thousands of artifacts."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = below + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(entry.path, f"{name}/")
            elif name != LABEL:
                yield name, entry


def _is_file(path: Path) -> bool:
    """Whether a regular file lies there: no link, no folder, no pipe that would be waited for."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def _checksum(path: Path) -> str:
    hasher = blake3(max_threads=1)
    hasher.update_mmap(path)
    return hasher.hexdigest()[:N_HEX]
