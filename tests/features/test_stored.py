"""Nothing twice: columns are computed when they are new, edited, lost or damaged, and at no other time."""

from __future__ import annotations

import shutil
from typing import Any

import polars as pl
import pytest

from competitions import Dataset
from engine import Settings, Store
from features import (
    Catalogue,
    bind_catalogue,
    compute_features,
    compute_window,
    missing_columns,
    per_pair,
    read_features,
)
from tests.features import storing
from tests.features.storing import ALL, column_file, halve, registry, third
from validation import Folds, window_pairs


@pytest.fixture
def catalogue(timed: Dataset) -> Catalogue:
    return bind_catalogue(timed, registry())


def test_a_second_run_computes_nothing(
    catalogue: Catalogue, folds: Folds, store: Store, settings: Settings
) -> None:
    n = compute_features(catalogue, folds.windows, ALL, store, settings)
    assert n == len(ALL) * len(folds.windows)
    assert compute_features(catalogue, folds.windows, ALL, store, settings) == 0
    assert compute_features(catalogue, folds.windows, ["twice"], store, settings) == 0


def test_what_is_read_is_computed_and_stored_too(
    catalogue: Catalogue, folds: Folds, store: Store, settings: Settings
) -> None:
    window = folds.final.eval
    assert compute_features(catalogue, [window], ["twice"], store, settings) == 4
    assert set(missing_columns(catalogue, window, ALL, store)) == ALL - {
        "twice",
        "gap",
        "rate__user_id",
        "rate__item_id",
    }


def test_windows_are_shared_between_folds(
    catalogue: Catalogue, folds: Folds, store: Store, settings: Settings
) -> None:
    first, second = ((*fold.train, fold.eval) for fold in folds.folds)
    shared = set(first) & set(second)
    assert shared
    assert compute_features(catalogue, first, ["rate__user_id"], store, settings) == len(first)
    assert compute_features(catalogue, second, ["rate__user_id"], store, settings) == len(second) - len(
        shared
    )


def test_an_added_feature_computes_itself_only(
    timed: Dataset, folds: Folds, store: Store, settings: Settings
) -> None:
    compute_features(bind_catalogue(timed, registry()), folds.windows, ALL, store, settings)
    more = registry()

    @per_pair(registry=more)
    def mine(gap: pl.Expr) -> pl.Expr:
        """A new one that reads an old one."""
        return gap.abs()

    names = {*ALL, "mine"}
    n = compute_features(bind_catalogue(timed, more), folds.windows, names, store, settings)
    assert n == len(folds.windows)


@pytest.mark.parametrize(
    ("edit", "recomputed"),
    [
        ({"strength": 11}, {"rate__user_id", "rate__item_id", "gap", "twice"}),
        ({"strength": 10.5}, {"rate__user_id", "rate__item_id", "gap", "twice"}),
        ({"factor": 3}, {"gap", "twice"}),
        ({"limit": 2}, {"n_good__user_id"}),
        ({"helper": third}, {"half__item_id"}),
        ({"argument": 2}, {"c__a"}),
        ({"fill": 0.0}, {"stars__user_id"}),
        ({"step": 20}, {"seen"}),
        ({"refine": 1}, {"seen"}),
        ({"meaning": "Said in other words."}, set()),
    ],
    ids=lambda value: "+".join(sorted(value)) or "nothing",
)
def test_an_edited_feature_recomputes_itself_and_what_reads_it(
    timed: Dataset, folds: Folds, store: Store, settings: Settings, edit: dict[str, Any], recomputed: set[str]
) -> None:
    window = folds.final.eval
    compute_features(bind_catalogue(timed, registry()), [window], ALL, store, settings)
    edited = bind_catalogue(timed, registry(**edit))
    assert set(missing_columns(edited, window, ALL, store)) == recomputed
    assert compute_features(edited, [window], ALL, store, settings) == len(recomputed)
    stored = read_features(edited, [window], ALL, store).sort("pair_id").select(sorted(ALL))
    fresh = compute_window(edited, window, list(edited.columns), window_pairs(timed, window))
    assert stored.equals(fresh.select(sorted(ALL)))
    assert compute_features(bind_catalogue(timed, registry()), [window], ALL, store, settings) == 0


def test_an_edited_constant_recomputes_what_uses_it(
    timed: Dataset, folds: Folds, store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = folds.final.eval
    compute_features(bind_catalogue(timed, registry()), [window], ALL, store, settings)
    monkeypatch.setattr(storing, "STEP", 2)
    assert missing_columns(bind_catalogue(timed, registry()), window, ALL, store) == ("c__a", "c__b")


def test_an_edited_helper_recomputes_what_calls_it(
    timed: Dataset, folds: Folds, store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = folds.final.eval
    compute_features(bind_catalogue(timed, registry()), [window], ALL, store, settings)
    monkeypatch.setattr(halve, "__code__", third.__code__)
    assert missing_columns(bind_catalogue(timed, registry()), window, ALL, store) == ("half__item_id",)


def test_another_log_is_another_column(
    timed: Dataset, catalogue: Catalogue, folds: Folds, store: Store, settings: Settings
) -> None:
    from dataclasses import replace

    window = folds.final.eval
    compute_features(catalogue, [window], ALL, store, settings)
    other = bind_catalogue(replace(timed, fingerprint="other"), registry())
    assert set(missing_columns(other, window, ALL, store)) == ALL


@pytest.mark.parametrize("how", ["deleted", "damaged", "cut short"])
@pytest.mark.parametrize("name", ["gap", "half__item_id"])
def test_a_lost_or_damaged_column_is_rebuilt_by_itself(
    how: str, name: str, catalogue: Catalogue, folds: Folds, store: Store, settings: Settings
) -> None:
    window = folds.final.eval
    compute_features(catalogue, [window], ALL, store, settings)
    before = read_features(catalogue, [window], ALL, store)
    file = column_file(catalogue, window, name, store)
    content = file.read_bytes()
    if how == "deleted":
        shutil.rmtree(file.parent)
    else:
        file.chmod(0o644)
        middle = len(content) // 2
        file.write_bytes(
            content[:middle] + (b"" if how == "cut short" else b"\0\1\2\3" + content[middle + 4 :])
        )
    assert compute_features(catalogue, [window], ALL, store, settings) == 1
    assert read_features(catalogue, [window], ALL, store).equals(before)


def test_a_lost_stepping_stone_is_not_missed_until_it_is_read(
    catalogue: Catalogue, folds: Folds, store: Store, settings: Settings
) -> None:
    window = folds.final.eval
    compute_features(catalogue, [window], ["twice"], store, settings)
    shutil.rmtree(column_file(catalogue, window, "gap", store).parent)
    assert missing_columns(catalogue, window, ["twice"], store) == ()
    shutil.rmtree(column_file(catalogue, window, "twice", store).parent)
    assert missing_columns(catalogue, window, ["twice"], store) == ("gap", "twice")
