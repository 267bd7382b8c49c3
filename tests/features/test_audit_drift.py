"""What audits say of drift: against scikit-learn, and only where a model reads it and train windows do not drift so."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from competitions import Dataset
from engine import Settings, Store
from features import (
    Registry,
    bind_catalogue,
    compute_features,
    drift_of,
    feature_keys,
    joint_warnings,
    per_pair,
)
from features._audit import JointDrift, drift_findings, joint_findings
from features._compute import Drift, Rows, adversarial_auc
from tests.features.planting import pair_features
from validation import Folds, psi

NUMBERS = st.lists(st.sampled_from([None, 0.0, 1.0, 1.5, 7.0]), min_size=1, max_size=12)


@given(NUMBERS, NUMBERS)
def test_adversarial_auc_is_that_of_scikit_learn(train: list[float | None], test: list[float | None]) -> None:
    values = [-1.0 if value is None else value for value in (*train, *test)]
    auc = roc_auc_score([0] * len(train) + [1] * len(test), values)
    found = adversarial_auc(pl.Series(train, dtype=pl.Float64), pl.Series(test, dtype=pl.Float64))
    assert found == pytest.approx(max(auc, 1 - auc))


def drifting(n: int = 400) -> Rows:
    """Train and test rows of many users: ``moves`` is far higher in the test, ``stays`` is not."""
    table = pl.DataFrame({"pair_id": range(2 * n), "user_id": range(2 * n), "window": [0] * n + [1] * n})
    noise = pl.int_range(pl.len()).shuffle(seed=5).cast(pl.Float32)
    later = pl.when(pl.col("window") == 1).then(10.0 * n).otherwise(0.0)
    table = table.with_columns(relevance=pl.lit(None, pl.Int8), stays=noise, moves=(noise + later))
    return Rows(table.filter(window=0), table.filter(window=1), ("stays", "moves"), "a test")


@pytest.mark.parametrize("is_input", [True, False])
def test_only_what_models_read_is_warned_of_for_its_drift(is_input: bool, timed: Dataset) -> None:
    catalogue = bind_catalogue(timed, pair_features(stays={}, moves={}))
    found = drifting()
    drifts = {name: drift_of(found, name, "user_id", is_input=is_input) for name in found.names}
    assert drifts["moves"].psi == psi(found.train["moves"], found.test["moves"])
    named = [(f.column, f.check) for f in drift_findings(catalogue, drifts)]
    assert named == ([("moves", "drifts from train to test")] if is_input else [])


def test_a_limit_that_no_auc_can_pass_is_not_told() -> None:
    """Of few users every AUC may be chance, and so may any but the farthest PSI."""
    many = drifting()
    few = [f.with_columns(user_id=pl.col("user_id") % 7) for f in (many.train, many.test)]
    for rows, is_told in ((many, True), (replace(many, train=few[0], test=few[1]), False)):
        said = drift_of(rows, "moves", "user_id", is_input=True).moves
        assert ("AUC 1.000 (limit 0.7" in said) == is_told
        assert ("AUC" in said) == is_told
        assert said


def test_what_cannot_be_counted_or_has_no_rows_has_no_drift() -> None:
    rows = drifting()
    numbers = replace(rows, test=rows.test.clear())
    assert drift_of(numbers, "moves", "user_id", is_input=True) == Drift()
    vectors = pl.concat_list("moves").list.to_array(1).alias("moves")
    arrays = replace(rows, train=rows.train.with_columns(vectors), test=rows.test.with_columns(vectors))
    assert drift_of(arrays, "moves", "user_id", is_input=True) == Drift(0.0, 0.0)


@pytest.mark.parametrize(("train", "n_warnings"), [(0.6, 1), (0.94, 0), (None, 1)])
def test_all_together_are_warned_of_unless_train_windows_are_told_apart_as_well(
    train: float | None, n_warnings: int, timed: Dataset
) -> None:
    catalogue = bind_catalogue(timed, pair_features(planted={}))
    found = joint_findings(catalogue, JointDrift(0.95, train, ("planted",)))
    assert [f.severity for f in found] == ["warning"] * n_warnings


def test_stored_columns_that_tell_the_test_window_are_warned_of_without_an_audit(
    timed: Dataset, folds: Folds, settings: Settings, store: Store
) -> None:
    """A column that jumps at the test is told, one that does not is not, and both are measured once."""
    registry, at = Registry(), timed.test_start

    @per_pair(registry=registry)
    def jumps(timestamp: pl.Expr) -> pl.Expr:
        """Planted: later than the log."""
        return (timestamp.cast(pl.Int64) >= at).cast(pl.Float32)

    @per_pair(registry=registry)
    def stays(item_id: pl.Expr) -> pl.Expr:
        """Planted: the same in all windows."""
        return item_id * 2

    catalogue = bind_catalogue(timed, registry)
    compute_features(catalogue, folds.windows, catalogue.columns, store, settings)
    keys = feature_keys(catalogue, folds.windows, catalogue.columns)
    (found,) = joint_warnings(catalogue, folds, catalogue.columns, store, keys)
    assert found.startswith("all features tell train from test: AUC 1.000 for pairs of users held out")
    assert "most by jumps (" in found
    assert joint_warnings(catalogue, folds, ["stays"], store, keys) == []
    n_kept = len(list(store.root.rglob("told_apart.json")))
    assert joint_warnings(catalogue, folds, catalogue.columns, store, keys) == [found]
    assert len(list(store.root.rglob("told_apart.json"))) == n_kept == 2
