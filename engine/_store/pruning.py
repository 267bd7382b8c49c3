"""How much the store holds, and what of it may go."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine._store.artifact import LABEL, Damage, Label, read_label
from engine._store.recipe import N_HEX

DAMAGED = "damaged"

_DAY = 86_400.0
_KEY = re.compile(rf"\b[0-9a-f]{{{N_HEX}}}\b")


@dataclass(frozen=True)
class StoredArtifact:
    """One artifact of the store, or one that was set aside as damaged (kind ``damaged``).

    ``unused_days``: days since a process last read or made it.
    """

    kind: str
    name: str
    key: str
    folder: Path
    n_bytes: int
    unused_days: float
    is_needed: bool


@dataclass(frozen=True)
class KindSize:
    """Number and bytes of the artifacts of one kind."""

    kind: str
    n_artifacts: int
    n_bytes: int


def stored_artifacts(root: Path) -> list[StoredArtifact]:
    """Every artifact, by kind and name. ``is_needed``: a pointer or the newest of some name leads to it."""
    labels = dict(_labels(root))
    needed = _needed(root, labels)
    now = time.time()
    found = []
    for folder, label in labels.items():
        unused = (now - (folder / LABEL).stat().st_mtime) / _DAY
        name = (label.kind, label.name, folder.name)
        found.append(StoredArtifact(*name, folder, label.n_bytes, unused, folder.name in needed))
    for folder in [path for path in (root / DAMAGED).glob("*") if path.is_dir()]:
        n_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        unused = (now - folder.stat().st_mtime) / _DAY
        found.append(StoredArtifact(DAMAGED, folder.name, folder.name, folder, n_bytes, unused, False))
    return sorted(found, key=lambda a: (a.kind, a.name, a.key))


def _labels(root: Path) -> Iterator[tuple[Path, Label]]:
    for file in (root / "artifacts").glob(f"*/*/{LABEL}"):
        with suppress(Damage, FileNotFoundError):  # set aside by the next process that asks for it
            yield file.parent, read_label(file.parent)


def _needed(root: Path, labels: Mapping[Path, Label]) -> set[str]:
    """Keys that pointers and the newest artifact of each name lead to, through the keys in their parts."""
    upstream: dict[str, Any] = {folder.name: label.parts for folder, label in labels.items()}
    waiting: list[str] = []
    for file in [*(root / "pointers").glob("*.json"), *(root / "names").rglob("*.json")]:
        with suppress(
            OSError, ValueError, KeyError, TypeError, RecursionError
        ):  # an unreadable pointer leads nowhere
            waiting.append(str(json.loads(file.read_text(encoding="utf-8"))["key"]))
    needed: set[str] = set()
    while waiting:
        key = waiting.pop()
        if key in upstream and key not in needed:
            needed.add(key)
            waiting += _KEY.findall(json.dumps(upstream[key]))
    return needed
