"""Planted defects are caught and named, with their place; the catalogue itself is without defects."""

from __future__ import annotations

import inspect
import os
from pathlib import Path

import polars as pl
import pytest

from competitions import Dataset, get_competition, open_dataset, random_tables, take_in
from engine import SampleSettings, Settings
from features import (
    Catalogue,
    Log,
    Registry,
    Window,
    aggregate,
    bind_catalogue,
    count,
    fitted,
    load_catalogue,
    per_pair,
    table,
)
from features._audit import Audit, Finding, audit_generated, audit_window, run_audit
from tests.features.planted_defects import DEFECTS, WARNINGS, plant
from validation import plan_folds


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    competition = get_competition("movielens")
    tables = random_tables(competition, n_users=40, n_items=50, n_rows=1500, seed=5)
    return take_in(competition, tables, tmp_path_factory.mktemp("generated"), fingerprint="generated")


def last_eval(dataset: Dataset, settings: Settings) -> Window:
    return plan_folds(dataset, settings.folds).folds[-1].eval


@pytest.fixture(scope="module")
def planted(
    generated: Dataset, movielens_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Audit:
    """One audit of all planted defects together."""
    registry = Registry()
    plant(registry, movielens_settings, tmp_path_factory.mktemp("file") / "scores.parquet")
    catalogue = bind_catalogue(generated, registry)
    folds = plan_folds(generated, movielens_settings.folds)
    return run_audit(catalogue, folds, catalogue.columns, movielens_settings)


def named(audit: Audit, column: str) -> dict[str, Finding]:
    return {f.check: f for f in audit.findings if f.column == column}


def line_of(column: str) -> int:
    """Where the feature that gives a column is written: the line of its decorator."""
    lines = Path(inspect.getfile(plant)).read_text(encoding="utf-8").splitlines()
    stem = column.partition("__")[0]
    at = next(i for i, text in enumerate(lines) if f'{{"{stem}": pl.' in text or f"def {stem}(" in text)
    return at + 1 if lines[at].lstrip().startswith("@") else at


@pytest.mark.parametrize(("column", "check"), DEFECTS.items())
def test_planted_defect_is_caught_and_named(column: str, check: str, planted: Audit) -> None:
    found = named(planted, column)
    assert check in found, found
    finding = found[check]
    assert finding.severity == "defect"
    assert finding.place == f"planted_defects.py:{line_of(column)}"
    assert finding.evidence
    assert finding.todo


@pytest.mark.parametrize(("column", "check"), WARNINGS.items())
def test_what_only_these_data_tell_is_a_warning(column: str, check: str, planted: Audit) -> None:
    finding = named(planted, column)[check]
    assert finding.severity == "warning"
    assert finding.place == f"planted_defects.py:{line_of(column)}"


def test_honest_features_beside_them_are_left_alone(planted: Audit) -> None:
    assert {f.column for f in planted.defects} == set(DEFECTS)


def test_scope_declared_too_narrow_is_caught(generated: Dataset, movielens_settings: Settings) -> None:
    registry = Registry()

    @per_pair(scope="user", registry=registry)
    def popularity_here(item_id: pl.Expr) -> pl.Expr:
        """Number of pairs of the item in the window: looks at all users, not at the one declared."""
        return item_id.len().over(item_id)

    @fitted(columns={"crowd": pl.UInt32}, registry=registry)
    class Crowd:
        """Number of pairs that are computed together."""

        def fit(self, history: pl.LazyFrame, window: Window) -> None:
            return None

        def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
            return pairs.select("pair_id", pl.lit(pairs.height, pl.UInt32).alias("crowd"))

    catalogue = bind_catalogue(generated, registry)
    window = last_eval(generated, movielens_settings)
    findings = audit_window(catalogue, [window], catalogue.columns, movielens_settings)
    found = {(f.column, f.check) for f in findings}
    assert found >= {
        ("popularity_here", "a few pairs"),
        ("crowd", "a few pairs"),
        ("crowd", "one pair alone"),
    }


def test_another_value_in_another_process_is_caught(generated: Dataset, movielens_settings: Settings) -> None:
    registry = Registry()

    @fitted(columns={"process": pl.Int64}, registry=registry)
    class Process:
        """Number of the process."""

        def fit(self, history: pl.LazyFrame, window: Window) -> None:
            self.number = os.getpid()

        def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
            return pairs.select("pair_id", pl.lit(self.number, pl.Int64).alias("process"))

    catalogue = bind_catalogue(generated, registry)
    window = last_eval(generated, movielens_settings)
    settings = movielens_settings.model_copy(update={"backend": "processes"})
    findings = audit_window(catalogue, [window], catalogue.columns, settings)
    assert {(f.column, f.check) for f in findings} == {("process", "in another process with one thread")}


def test_with_a_sample_of_users_it_is_told_what_depends_on_the_others(
    generated: Dataset, movielens_settings: Settings
) -> None:
    registry = Registry()

    @aggregate(keys=["user_id", "item_id"], registry=registry)
    def n_rows(log: Log) -> object:
        """Number of rows; 0 if none."""
        return count()

    @per_pair(registry=registry)
    def again(n_rows__item_id: pl.Expr) -> pl.Expr:
        """Number of rows of the item; 0 if none."""
        return n_rows__item_id

    catalogue = bind_catalogue(generated, registry)
    window = last_eval(generated, movielens_settings)
    some = movielens_settings.model_copy(update={"sample": SampleSettings(users=0.5)})
    (finding,) = audit_window(catalogue, [window], catalogue.columns, some)
    assert (finding.column, finding.check) == ("n_rows__item_id", "depends on users left out")
    assert finding.severity == "warning"
    assert finding.evidence.endswith("so do 1 that read it")
    assert audit_window(catalogue, [window], catalogue.columns, movielens_settings) == []


def test_no_registered_feature_has_a_defect(
    movielens_catalogue: Catalogue, movielens_settings: Settings
) -> None:
    """On a part of the real log and on a generated one."""
    folds = plan_folds(movielens_catalogue.dataset, movielens_settings.folds)
    names = movielens_catalogue.columns
    audit = run_audit(movielens_catalogue, folds, names, movielens_settings, n_rows=4_000)
    assert audit.defects == ()
    assert audit.about["features"] == len(names)


def test_no_feature_of_vk2024_has_a_defect(movielens_settings: Settings, tmp_path: Path) -> None:
    """On a generated log; the command audits the simulated one."""
    competition = get_competition("vk2024")
    tables = random_tables(competition, n_users=30, n_items=40, n_rows=1_200, seed=3)
    catalogue = load_catalogue(take_in(competition, tables, tmp_path, fingerprint="generated"))
    assert audit_generated(catalogue, catalogue.columns, movielens_settings) == []


def test_vectors_are_compared_too(generated: Dataset, movielens_settings: Settings) -> None:
    registry = Registry()

    @table(key="item_id", columns={"last_rows": pl.List(pl.Int64)}, registry=registry)
    def newest(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """Numbers of the item's rows as they lie in the file."""
        log = open_dataset(movielens_settings).log
        return log.group_by("item_id").agg(pl.col("row").cast(pl.Int64).alias("last_rows"))

    catalogue = bind_catalogue(generated, registry)
    window = last_eval(generated, movielens_settings)
    findings = audit_window(catalogue, [window], catalogue.columns, movielens_settings)
    assert {f.check for f in findings} >= {"future truncated", "rows of the log reordered"}
