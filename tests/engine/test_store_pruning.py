"""What the store holds, and what of it may go."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import Recipe, Store, StoreError

RECIPE = Recipe("fit", "net", {})


def build(folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"x" * 261)


def test_size_and_pruning(store: Store) -> None:
    old = Recipe("feature", "rate", {"code": "1"})
    new = Recipe("feature", "rate", {"code": "2"})
    fit = Recipe("fit", "net", {"upstream": {"rate": new.key}})
    older_fit = Recipe("fit", "net", {"upstream": {"rate": old.key}})
    for recipe in (old, new, older_fit, fit):
        store.make(recipe, build)
    assert [(s.kind, s.n_artifacts, s.n_bytes) for s in store.size()] == [
        ("feature", 2, 522),
        ("fit", 2, 522),
    ]

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
    feature, cv = Recipe("feature", "rate", {"code": "1"}), None
    store.make(feature, build)
    cv = Recipe("cv", "cv", {"features": [feature.key]})
    store.make(cv, build)
    store.point("cv", cv)
    store.make(Recipe("feature", "rate", {"code": "2"}), build)
    store.make(Recipe("cv", "cv", {"features": []}), build)
    assert store.prune(is_unneeded_only=True) == ()


def test_days_without_use_count_from_the_last_read(store: Store, elsewhere: Callable[[Store], Store]) -> None:
    made = store.make(RECIPE, build)
    long_ago = time.time() - 10 * 86_400
    os.utime(made / "artifact.json", (long_ago, long_ago))
    assert len(store.prune(unused_days=9)) == 1
    store = elsewhere(store)
    store.find(RECIPE)
    assert store.prune(unused_days=9) == ()


def test_damaged_artifacts_are_a_kind_of_their_own(store: Store) -> None:
    made = store.make(RECIPE, build)
    (made / "a.bin").write_bytes(b"y" * 10)
    assert store.find(RECIPE) is None
    assert [(s.kind, s.n_artifacts) for s in store.size()] == [("damaged", 1)]
    store.prune(kinds=["damaged"], is_dry_run=False)
    assert store.size() == ()


def test_an_empty_store_has_no_size(store: Store) -> None:
    assert store.size() == ()
    assert store.prune(unused_days=0) == ()
