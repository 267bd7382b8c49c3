"""All states of a folder of the store: an artifact is made again, what lies around it is a message at most."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import Recipe, Store, StoreError

RECIPE, OTHER = Recipe("fit", "net", {"depth": 6}), Recipe("fit", "other", {"depth": 7})
ENTRIES = ["", "artifact.json", "a.txt", "inner", "inner/b.bin", "empty", "stray"]
AROUND = [
    "",
    "artifacts",
    "artifacts/fit",
    "damaged",
    "names",
    "names/fit",
    "names/fit/*.json",
    "pointers",
    "pointers/cv.json",
    "locks",
    "locks/*.lock",
    "temp",
    "temp/sweep.lock",
    "temp/*/alive",
]


def build(folder: Path) -> None:
    (folder / "a.txt").write_text("first", encoding="utf-8")
    (folder / "inner").mkdir()
    (folder / "inner" / "b.bin").write_bytes(bytes(range(256)))
    (folder / "empty").touch()


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name != "artifact.json"
    }


BUILT = {"a.txt": b"first", "inner/b.bin": bytes(range(256)), "empty": b""}


def cut(path: Path, old: bytes) -> None:
    path.write_bytes(old[: len(old) // 2])


def alter(path: Path, old: bytes) -> None:
    path.write_bytes(old[:-1] + b"?")


def of_another(path: Path, old: bytes) -> None:
    """The label of another artifact."""
    other = Store(path.parent / "another").make(OTHER, build)
    path.write_bytes((other / "artifact.json").read_bytes())
    shutil.rmtree(path.parent / "another")


def fill_folder(path: Path, old: bytes) -> None:
    path.mkdir()
    (path / "within").write_bytes(old)


# Each puts something else in the place of a file or folder, which is gone by then; `old` was in the file.
STATES: dict[str, Callable[[Path, bytes], object]] = {
    "missing": lambda path, old: None,
    "empty": lambda path, old: path.touch(),
    "cut": cut,
    "altered": alter,
    "of another": of_another,
    "null": lambda path, old: path.write_text("null"),
    "not finite": lambda path, old: path.write_text('{"checksum": "", "label": {"seconds": NaN}}'),
    "nested": lambda path, old: path.write_text("[" * 100_000),
    "folder": lambda path, old: path.mkdir(),
    "full folder": fill_folder,
    "link to nowhere": lambda path, old: path.symlink_to("nowhere"),
    "link to itself": lambda path, old: path.symlink_to(path.name),
    "pipe": lambda path, old: os.mkfifo(path),
}


OF_LABEL = {"altered", "of another", "null", "not finite", "nested"}  # other files are bytes to the store


def put_in_place(path: Path, state: str) -> None:
    old = path.read_bytes() if path.is_file() else b"some bytes"
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    STATES[state](path, old)


@pytest.fixture(autouse=True)
def disk_that_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def elsewhere(store: Store, name: str) -> Store:
    """A copy of the store, of which this process has not verified anything yet."""
    return Store(shutil.copytree(store.root, store.root.with_name(name), symlinks=True))


@pytest.mark.parametrize(
    ("entry", "state"),
    [
        (entry, state)
        for entry in ENTRIES
        for state in STATES
        if entry == "artifact.json" or state not in OF_LABEL
    ],
)
def test_an_artifact_in_any_state_is_made_again(tmp_path: Path, entry: str, state: str) -> None:
    fresh = Store(tmp_path / "store")
    fresh.make(RECIPE, build)
    ways: dict[str, Callable[[Store], object]] = {
        "made": lambda store: store.make(RECIPE, build),
        "put": lambda store: store.put(RECIPE, build),
        "discarded": lambda store: store.discard(RECIPE),
        "verified before": lambda store: store.find(RECIPE),
    }
    for way, use in ways.items():
        store = elsewhere(fresh, way)
        if way == "verified before":
            assert store.find(RECIPE)
        put_in_place(store.root / "artifacts" / "fit" / RECIPE.key / entry, state)
        assert store.why(RECIPE)
        store.size()
        use(store)
        assert content(store.make(RECIPE, build)) == BUILT, way
        assert store.find(RECIPE)
        store.prune(kinds=["damaged"], is_dry_run=False)
        assert "damaged" not in {size.kind for size in store.size()}


@pytest.mark.parametrize(
    "state", ["missing", "empty", "nested", "full folder", "link to nowhere", "link to itself"]
)
@pytest.mark.parametrize("place", AROUND)
def test_what_lies_around_artifacts_costs_a_message_at_most(tmp_path: Path, place: str, state: str) -> None:
    store = Store(tmp_path / "store")
    store.make(RECIPE, build)
    store.point("cv", RECIPE)
    (store.root / "damaged").mkdir()
    put_in_place(next(store.root.glob(place)) if place else store.root, state)
    calls: list[Callable[[], object]] = [
        lambda: content(store.make(RECIPE, build)),
        lambda: content(store.make(OTHER, build)),
        lambda: store.pointed("cv") and BUILT,
        lambda: store.find(RECIPE) and BUILT,
    ]
    rest: list[Callable[[], object]] = [
        lambda: store.point("cv", RECIPE),
        lambda: store.discard(RECIPE),
        lambda: store.why(RECIPE),
        lambda: store.size(),
        lambda: store.prune(unused_days=0, is_dry_run=False),
    ]
    for call in calls + rest:
        try:
            answer = call()
        except StoreError as error:
            answer = str(error)
        assert call in rest or answer in (BUILT, None) or "cannot be written" in str(answer)
