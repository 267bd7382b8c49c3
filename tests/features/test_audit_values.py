"""What audits measure of values: ranges, duplicates, drift, scores; against small cases by hand and scikit-learn."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pytest

from competitions import Dataset, pointer_to
from engine import Settings, Store, code_digest
from features import (
    Column,
    FeatureError,
    Log,
    bind_catalogue,
    compute_features,
    count,
    mean,
    smoothed,
    std,
    total,
)
from features._audit import (
    NOT_NEGATIVE,
    RATE,
    Finding,
    audit_recipe,
    first_of_each,
    range_of,
    run_audit,
    sampled_pairs,
    small_dataset,
    stored_audit,
    stored_names,
    value_findings,
)
from features._compute import Rows
from tests.features.planting import audited, one_aggregate, one_pair_feature, one_table, pair_features
from validation import Folds, window_pairs

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (lambda log: count(), NOT_NEGATIVE),
        (lambda log: count(log.like), NOT_NEGATIVE),
        (lambda log: smoothed(log.like, strength=3), RATE),
        (lambda log: mean(log.like), RATE),
        (lambda log: mean(log.stars), None),
        (lambda log: total(log.value), None),
        (lambda log: std(log.value), None),
        (lambda log: smoothed(log.like, strength=3) - mean(log.like), None),
    ],
)
def test_counts_and_rates_of_booleans_have_a_range(
    body: Callable[[Log], Any], expected: object, timed: Dataset
) -> None:
    catalogue = bind_catalogue(timed, one_aggregate(body))
    (column,) = catalogue.columns.values()
    assert range_of(column, timed.history_schema) == expected


def rows(frame: pl.DataFrame, names: tuple[str, ...]) -> Rows:
    keys = {"window": pl.lit(0, pl.Int64), "relevance": pl.lit(None, pl.Int8)}
    whole = frame.with_row_index("pair_id").with_columns(**keys, user_id=pl.lit(1, pl.UInt32))
    return Rows(whole, whole.clear(), names, "a test")


def test_declared_range_is_held_to(timed: Dataset) -> None:
    registry = one_pair_feature(lambda item_id: item_id.cast(pl.Float64), range=(0, 2))
    catalogue = bind_catalogue(timed, registry)
    frame = pl.DataFrame({"planted": pl.Series([0.0, 2.0, 2.5, None], dtype=pl.Float32)})
    (finding,) = value_findings(catalogue, rows(frame, ("planted",)))
    assert (finding.check, finding.severity) == ("range", "defect")
    assert finding.evidence == "1 of 4 values; pair 2 has 2.5, expected 0 to 2"


def test_what_is_not_finite_in_a_vector_is_found(timed: Dataset) -> None:
    catalogue = bind_catalogue(timed, one_table(lambda history: history, {"vector": pl.List(pl.Float64)}))
    frame = pl.DataFrame({"vector__user_id": [[1.0, 2.0], None, [float("inf")]]})
    (finding,) = value_findings(catalogue, rows(frame, ("vector__user_id",)))
    assert finding.check == "range"
    assert "pair 2 has inf" in finding.evidence


def test_wrong_ranges_are_refused() -> None:
    with pytest.raises(FeatureError, match=r"has the range \(1, 0\)"):
        one_aggregate(lambda log: count(), range=(1, 0))
    with pytest.raises(FeatureError, match=r"has the range \(1, 0\)"):
        one_table(lambda history: history, {"size": Column(pl.Int64, range=(1, 0))})


def duplicate(timed: Dataset, first: pl.Series, second: pl.Series, is_input: bool = True) -> Finding:
    """What is found of two columns; ``is_input``: whether models read the first one."""
    registry = pair_features(first_one={"model_input": is_input}, second_one={})
    frame = pl.DataFrame({"first_one": first, "second_one": second})
    (finding,) = value_findings(bind_catalogue(timed, registry), rows(frame, ("first_one", "second_one")))
    assert (finding.check, finding.severity) == ("near-duplicate", "warning")
    return finding


def test_near_duplicate_names_the_one_it_repeats(timed: Dataset) -> None:
    x = pl.Series(range(50))
    finding = duplicate(timed, x * 2, 5 - x)
    assert finding.column == "second_one"
    assert "-1.00000 with first_one (planting.py:" in finding.evidence
    assert finding.evidence.endswith("other values in the opposite order; pair 0 has 5 here and 0 there")
    assert duplicate(timed, x, x).evidence.endswith("its values are the same, all of them")


def test_the_worst_is_told_first() -> None:
    said: list[tuple[str, str, Literal["defect", "warning"]]] = [
        ("a", "constant", "warning"), ("b", "range", "defect"), ("c", "range", "defect"), ("a2", "odd", "defect"),
        ("c", "too good", "defect"),
    ]  # fmt: skip
    findings = (Finding(name, "", check, "", "", "", severity) for name, check, severity in said)
    found = first_of_each(findings, ["too good"])
    assert [(f.column, f.check) for f in found] == [
        ("c", "too good"), ("c", "range"), ("a2", "odd"), ("b", "range"), ("a", "constant"),
    ]  # fmt: skip


def test_what_no_model_reads_is_told_to_repeat_what_models_read(timed: Dataset) -> None:
    x = pl.Series(range(50))
    finding = duplicate(timed, x * 2, x * 2, is_input=False)
    assert finding.column == "first_one"
    assert finding.todo == "no model reads it: if it is the same number, read second_one in its place"


def test_small_log_keeps_users_whole_and_windows_filled(timed: Dataset, folds: Folds) -> None:
    window = folds.final.train[-1]
    small = small_dataset(timed, [window, folds.final.eval], n_rows=150)
    log, whole = small.log.collect(), timed.log.collect()
    assert 0 < log.height < whole.height
    kept = whole.join(log.select("user_id").unique(), on="user_id", how="semi")
    assert log.sort("row").equals(kept.sort("row").select(log.columns))
    assert window_pairs(small, window).height
    some = sampled_pairs(timed, window, 3)
    of_users = window_pairs(timed, window).join(some.select("user_id").unique(), on="user_id", how="semi")
    assert some.sort("pair_id").equals(of_users.sort("pair_id"))


def test_audit_is_stored_and_judges_stored_values(timed: Dataset, folds: Folds, settings: Settings) -> None:
    catalogue = bind_catalogue(timed, one_aggregate(lambda log: smoothed(log.like, strength=3)))
    windows, store = folds.windows, Store(settings.store)
    assert stored_names(catalogue, windows, ["planted__user_id"], store) is None
    first = stored_audit(catalogue, folds, catalogue.columns, settings)
    assert first.about["values from"] == "the small log"
    compute_features(catalogue, windows, catalogue.columns, store, settings)
    second = stored_audit(catalogue, folds, catalogue.columns, settings)
    assert second.about["values from"] == "the stored columns of all rows"
    again = stored_audit(catalogue, folds, catalogue.columns, settings)
    assert again.about["created"] == second.about["created"]
    assert again.findings == second.findings
    assert store.pointed(pointer_to("audit", timed.competition.name, settings.data)) is not None


def test_another_process_finds_the_stored_audit() -> None:
    imports = "from engine import code_digest; from features._audit import run_audit"
    script = f"{imports}; print(code_digest(run_audit))"
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == code_digest(run_audit)


def test_an_audit_is_made_anew_where_its_findings_would_be_others(
    timed: Dataset, folds: Folds, settings: Settings
) -> None:
    def key(**options: Any) -> str:
        registry = one_pair_feature(lambda item_id: item_id.cast(pl.Float64), **options)
        catalogue = bind_catalogue(timed, registry)
        return audit_recipe(catalogue, folds, catalogue.columns, settings, full=False).key

    assert key() == key()
    assert key(range=(0, 2)) != key()
    assert key(uses_ids=True) != key()


def test_the_small_log_has_the_pairs_of_the_real_one(timed: Dataset, folds: Folds) -> None:
    window = folds.final.train[-1]
    competition = replace(timed.competition, select_pairs=_first_of_each_user)
    dataset = replace(timed, competition=competition)
    small = small_dataset(dataset, [window, folds.final.eval], n_rows=40)
    rows = small.log.select("row").collect()
    whole = window_pairs(dataset, window)
    found = window_pairs(small, window)
    assert found.height < whole.height
    assert found.equals(whole.join(rows, left_on="pair_id", right_on="row", how="semi"))


def _first_of_each_user(targets: pl.LazyFrame) -> pl.LazyFrame:
    return targets.filter(pl.col("row") == pl.col("row").min().over("user_id"))


def test_a_sum_that_falls_below_zero_by_so_much_a_row_is_no_overflow(
    generated: Dataset, movielens_settings: Settings
) -> None:
    """The row that is repeated is a liked one, which counts against the others of a user."""
    registry = one_aggregate(lambda log: total(pl.when(log.rating > 3).then(-1).otherwise(9)), dtype=pl.Int64)
    assert audited(generated, registry, movielens_settings) == []
