"""The store in one process: whole or not at all, verified on read, and it says why."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import Json, Recipe, Store, StoreError

Copier = Callable[[Store], Store]

RECIPE = Recipe("fit", "net @ w7", {"code": "aa", "depth": 6, "upstream": {"rate": "k1"}})


def build(folder: Path) -> None:
    (folder / "a.txt").write_text("first", encoding="utf-8")
    (folder / "inner").mkdir()
    (folder / "inner" / "b.bin").write_bytes(bytes(range(256)))
    (folder / "empty").touch()


def files_of(store: Store) -> list[str]:
    return sorted(str(p.relative_to(store.root)) for p in store.root.rglob("*") if p.is_file())


def leftovers(store: Store) -> list[str]:
    return [f for f in files_of(store) if not f.endswith((".lock", "alive"))]


def test_what_was_made_is_found_and_not_made_again(store: Store) -> None:
    assert store.find(RECIPE) is None
    made = store.make(RECIPE, build)
    assert (made / "a.txt").read_text(encoding="utf-8") == "first"
    assert store.find(RECIPE) == made

    def never(folder: Path) -> None:
        raise AssertionError("built twice")

    assert store.make(RECIPE, never) == made
    assert store.put(RECIPE, build) == made


def test_a_key_follows_from_kind_name_and_parts_and_not_from_their_order() -> None:
    same = Recipe("fit", "net @ w7", {"upstream": {"rate": "k1"}, "depth": 6, "code": "aa"})
    assert same.key == RECIPE.key
    assert len(RECIPE.key) == 32
    assert int(RECIPE.key, 16) >= 0
    others = [
        Recipe("cv", RECIPE.name, RECIPE.parts),
        Recipe("fit", "net @ w8", RECIPE.parts),
        Recipe("fit", RECIPE.name, {**RECIPE.parts, "depth": 7}),
        Recipe("fit", RECIPE.name, {**RECIPE.parts, "depth": "6"}),
        Recipe("fit", RECIPE.name, {**RECIPE.parts, "depth": True}),
    ]
    assert len({r.key for r in [RECIPE, *others]}) == 6


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40)
@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_the_key_survives_a_trip_through_json(parts: dict[str, object]) -> None:
    again = json.loads(json.dumps(parts))
    assert Recipe("k", "n", parts).key == Recipe("k", "n", again).key  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [float("nan"), {1: 2}, {1, 2}, Path("x"), b"x", object()])
def test_parts_that_json_cannot_say_are_refused(value: object) -> None:
    with pytest.raises(StoreError, match=r"parts\.inner"):
        _ = Recipe("k", "n", {"inner": value}).key  # type: ignore[dict-item]


def test_a_failed_build_leaves_nothing_and_raises_as_itself(store: Store) -> None:
    def fails(folder: Path) -> None:
        (folder / "half").write_text("half", encoding="utf-8")
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        store.make(RECIPE, fails)
    assert leftovers(store) == []
    assert store.find(RECIPE) is None
    assert store.make(RECIPE, build)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "a.txt").write_text("fjrst", encoding="utf-8"),
        lambda folder: (folder / "a.txt").unlink(),
        lambda folder: (folder / "inner" / "b.bin").write_bytes(b""),
        lambda folder: (folder / "more.txt").touch(),
        lambda folder: (folder / "artifact.json").write_text("{", encoding="utf-8"),
        lambda folder: (folder / "artifact.json").write_text(
            (folder / "artifact.json").read_text(encoding="utf-8").replace("w7", "w8"), encoding="utf-8"
        ),
    ],
    ids=["altered", "missing", "cut short", "added", "label broken", "label altered"],
)
def test_a_damaged_artifact_is_set_aside_and_made_again(
    store: Store, elsewhere: Copier, caplog: pytest.LogCaptureFixture, damage: object
) -> None:
    made = store.make(RECIPE, build)
    damage(made)  # type: ignore[operator]
    store = elsewhere(store)
    with caplog.at_level(logging.WARNING):
        assert store.find(RECIPE) is None
    assert "damaged" in caplog.text
    assert "made again" in caplog.text
    assert len(list((store.root / "damaged").iterdir())) == 1
    assert (store.make(RECIPE, build) / "a.txt").read_text(encoding="utf-8") == "first"


def test_files_are_hashed_once_a_process(store: Store, elsewhere: Copier) -> None:
    store.make(RECIPE, build)
    store = elsewhere(store)
    found = store.find(RECIPE)
    assert found is not None
    file = found / "a.txt"
    status = file.stat()
    file.write_text("fjrst", encoding="utf-8")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert store.find(RECIPE) == found
    assert elsewhere(store).find(RECIPE) is None


def test_an_artifact_that_is_removed_is_not_found(store: Store) -> None:
    made = store.make(RECIPE, build)
    made.rename(store.root / "gone")
    assert store.find(RECIPE) is None
    assert store.why(RECIPE) == "made before, but no longer in the store"


def test_why_tells_what_changed(store: Store) -> None:
    assert store.why(RECIPE) == "never made before"
    store.make(RECIPE, build)
    assert store.why(RECIPE) == "in the store"

    def why(**parts: Json) -> str:
        return store.why(Recipe("fit", "net @ w7", {**RECIPE.parts, **parts}))

    assert why(code="bb") == "code changed"
    assert why(depth=8) == "depth changed from 6 to 8"
    assert why(upstream={"rate": "k2"}) == "upstream rate changed"
    assert why(upstream={"rate": "k1", "count": "k3"}) == "upstream count is new"
    assert why(upstream={}) == "upstream rate is gone"
    assert why(code="bb", depth=8) == "code changed, depth changed from 6 to 8"
    assert store.why(Recipe("fit", "other", RECIPE.parts)) == "never made before"


def test_seconds_are_known_by_key_and_by_name(store: Store) -> None:
    assert store.seconds(RECIPE) is None
    store.put(RECIPE, build, seconds=12.5)
    assert store.seconds(RECIPE) == 12.5
    assert store.seconds(Recipe("fit", "net @ w7", {"code": "other"})) == 12.5


def test_a_pointer_leads_to_the_artifact_it_was_set_to_last(store: Store) -> None:
    assert store.pointed("cv") is None
    other = Recipe("fit", "other", {})
    first, second = store.make(RECIPE, build), store.make(other, build)
    store.point("cv", RECIPE)
    assert store.pointed("cv") == first
    store.point("cv", other)
    assert store.pointed("cv") == second
    (store.root / "pointers" / "cv.json").write_text("{", encoding="utf-8")
    assert store.pointed("cv") is None


def write_text_to(path: str) -> None:
    Path(path).write_text("x" * 10_000, encoding="utf-8")


def write_parquet_to(path: str) -> None:
    pl.DataFrame({"x": range(10_000)}).write_parquet(path)


@pytest.mark.parametrize("write", [write_text_to, write_parquet_to])
def test_a_full_disk_is_said_and_leaves_nothing(store: Store, write: Callable[[str], None]) -> None:
    def fills(folder: Path) -> None:
        (folder / "half").write_text("half", encoding="utf-8")
        write("/dev/full")

    with pytest.raises(StoreError, match="disk is full"):
        store.make(RECIPE, fills)
    assert leftovers(store) == []
    assert store.make(RECIPE, build)


def test_a_disk_that_fills_while_flushing_leaves_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="disk is full"):
            store.make(RECIPE, build)
    assert leftovers(store) == []
    assert store.find(RECIPE) is None


def test_a_store_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be written"):
        Store(tmp_path / "file" / "store").make(RECIPE, build)


def test_errors_of_the_builder_s_own_files_are_not_the_store_s(store: Store, tmp_path: Path) -> None:
    def reads(folder: Path) -> None:
        (tmp_path / "absent" / "file").read_text(encoding="utf-8")

    with pytest.raises(FileNotFoundError):
        store.make(RECIPE, reads)


def test_nothing_on_disk_is_a_pickle(store: Store) -> None:
    store.make(RECIPE, build)
    store.point("cv", RECIPE)
    for name in files_of(store):
        content = (store.root / name).read_bytes()
        assert not content.startswith(b"\x80"), name
        assert name.endswith((".json", ".lock", "alive", "a.txt", "b.bin", "empty"))
