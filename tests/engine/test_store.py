"""The store in one process: whole or not at all, verified on read; it says why, and what of it may go."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import Json, Recipe, Store, StoreError, write_atomically

RECIPE = Recipe("fit", "net @ w7", {"code": "aa", "depth": 6, "upstream": {"rate": "k1"}})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def elsewhere(store: Store) -> Store:
    """A copy of the store, of which this process has not verified anything yet."""
    root = store.root.with_name(f"{store.root.name} copied")
    shutil.copytree(store.root, root)
    return Store(root)


def build(folder: Path) -> None:
    (folder / "a.txt").write_text("first", encoding="utf-8")
    (folder / "inner").mkdir()
    (folder / "inner" / "b.bin").write_bytes(bytes(range(256)))
    (folder / "empty").touch()


def files_of(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def leftovers(store: Store) -> list[str]:
    return [f for f in files_of(store.root) if not f.endswith((".lock", "alive"))]


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


def breaks(folder: Path) -> None:
    raise KeyError("mine")


def reads_what_is_not_there(folder: Path) -> None:
    (folder.parent / "absent" / "file").read_text(encoding="utf-8")


def fills_the_disk(folder: Path) -> None:
    Path("/dev/full").write_text("x" * 10_000, encoding="utf-8")


def fills_the_disk_with_a_table(folder: Path) -> None:
    pl.DataFrame({"x": range(10_000)}).write_parquet("/dev/full")


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (breaks, KeyError, "mine"),
        (reads_what_is_not_there, FileNotFoundError, "absent"),
        (fills_the_disk, StoreError, "disk is full"),
        (fills_the_disk_with_a_table, StoreError, "disk is full"),
    ],
)
def test_a_failed_build_leaves_nothing_and_errors_not_of_the_store_are_raised_as_they_are(
    store: Store, wrong: Callable[[Path], None], error: type[Exception], message: str
) -> None:
    def half(folder: Path) -> None:
        (folder / "half").write_text("half", encoding="utf-8")
        wrong(folder)

    with pytest.raises(error, match=message):
        store.make(RECIPE, half)
    assert leftovers(store) == []
    assert store.find(RECIPE) is None
    assert store.make(RECIPE, build)


def no_space(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_fills_while_flushing_leaves_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(StoreError, match="disk is full"):
        store.make(RECIPE, build)
    assert leftovers(store) == []
    assert store.find(RECIPE) is None


def test_a_store_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be written"):
        Store(tmp_path / "file" / "store").make(RECIPE, build)


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
    store: Store, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], object]
) -> None:
    damage(store.make(RECIPE, build))
    store = elsewhere(store)
    with caplog.at_level(logging.WARNING):
        assert store.find(RECIPE) is None
    assert "damaged" in caplog.text
    assert "made again" in caplog.text
    assert len(list((store.root / "damaged").iterdir())) == 1
    assert (store.make(RECIPE, build) / "a.txt").read_text(encoding="utf-8") == "first"


def test_files_are_hashed_once_a_process(store: Store) -> None:
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


def test_why_tells_what_changed(store: Store) -> None:
    assert store.why(RECIPE) == "never made before"
    made = store.make(RECIPE, build)
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
    made.rename(store.root / "gone")
    assert store.find(RECIPE) is None
    assert store.why(RECIPE) == "made before, but no longer in the store"


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


def test_nothing_on_disk_is_a_pickle(store: Store) -> None:
    store.make(RECIPE, build)
    store.point("cv", RECIPE)
    for name in files_of(store.root):
        content = (store.root / name).read_bytes()
        assert not content.startswith(b"\x80"), name
        assert name.endswith((".json", ".lock", "alive", "a.txt", "b.bin", "empty"))


def test_size_and_pruning(store: Store) -> None:
    assert store.size() == ()
    assert store.prune(unused_days=0) == ()
    old = Recipe("feature", "rate", {"code": "1"})
    new = Recipe("feature", "rate", {"code": "2"})
    fit = Recipe("fit", "net", {"upstream": {"rate": new.key}})
    older_fit = Recipe("fit", "net", {"upstream": {"rate": old.key}})
    for recipe in (old, new, older_fit, fit):
        store.make(recipe, build)
    assert [(s.kind, s.n_artifacts, s.n_bytes) for s in store.size()] == [
        ("feature", 2, 522),
        ("fit", 2, 522),
    ]  # "first", 256 bytes and nothing, twice

    with pytest.raises(StoreError, match="what to prune"):
        store.prune()
    listed = store.prune(is_unneeded_only=True)
    assert {a.key for a in listed} == {old.key, older_fit.key}
    assert store.find(old)
    store.prune(is_unneeded_only=True, is_dry_run=False)
    assert [store.find(r) is not None for r in (old, older_fit, new, fit)] == [False, False, True, True]
    assert store.prune(unused_days=1) == ()
    assert {a.kind for a in store.prune(kinds=["fit"], is_dry_run=False)} == {"fit"}
    assert store.find(fit) is None
    assert store.make(fit, build)


def test_a_pointer_keeps_what_it_leads_to(store: Store) -> None:
    feature = Recipe("feature", "rate", {"code": "1"})
    cv = Recipe("cv", "cv", {"features": [feature.key]})
    newer = (Recipe("feature", "rate", {"code": "2"}), Recipe("cv", "cv", {"features": []}))
    for recipe in (feature, cv, *newer):
        store.make(recipe, build)
    store.point("cv", cv)
    assert store.prune(is_unneeded_only=True) == ()


def test_days_without_use_count_from_the_last_read(store: Store) -> None:
    made = store.make(RECIPE, build)
    long_ago = time.time() - 10 * 86_400
    os.utime(made / "artifact.json", (long_ago, long_ago))
    assert len(store.prune(unused_days=9)) == 1
    store = elsewhere(store)
    store.find(RECIPE)
    assert store.prune(unused_days=9) == ()


def test_damaged_artifacts_are_a_kind_of_their_own(store: Store) -> None:
    made = store.make(RECIPE, build)
    (made / "a.txt").write_bytes(b"y" * 10)
    assert store.find(RECIPE) is None
    assert [(s.kind, s.n_artifacts) for s in store.size()] == [("damaged", 1)]
    store.prune(kinds=["damaged"], is_dry_run=False)
    assert store.size() == ()


@pytest.mark.parametrize("is_durable", [True, False])
def test_a_file_is_made_and_replaced(tmp_path: Path, is_durable: bool) -> None:
    file = tmp_path / "new" / "folder" / "file.txt"
    write_atomically(file, "größer\n", is_durable=is_durable)
    assert file.read_bytes() == "größer\n".encode()
    write_atomically(file, b"\x00\r\n", is_durable=is_durable)
    assert file.read_bytes() == b"\x00\r\n"
    assert files_of(file.parent) == ["file.txt"]


@pytest.mark.parametrize("place", ["", "temp"])
def test_an_unfinished_file_lies_where_it_is_told_and_goes_where_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    seen: list[str] = []

    def full(descriptor: int) -> None:
        seen.extend(path.suffix for path in (tmp_path / place).iterdir() if path.suffix == ".part")
        no_space(descriptor)

    (tmp_path / "temp").mkdir()
    write_atomically(tmp_path / "file.txt", "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "file.txt", "new", unfinished=tmp_path / place if place else None)
    assert seen == [".part"]
    assert (tmp_path / "file.txt").read_text() == "old"
    assert files_of(tmp_path) == ["file.txt"]


def test_an_artifact_that_is_discarded_is_gone_and_can_be_made_again(store: Store) -> None:
    store.make(RECIPE, build)
    store.discard(RECIPE)
    store.discard(RECIPE)
    assert store.find(RECIPE) is None
    assert store.size() == ()
    assert store.make(RECIPE, build) == store.find(RECIPE)


def test_scratch_is_empty_and_gone_after_the_block(store: Store) -> None:
    with store.scratch() as first, store.scratch() as second:
        assert first != second
        assert list(first.iterdir()) == []
        (first / "some").mkdir()
    assert not first.exists()
    assert leftovers(store) == []
