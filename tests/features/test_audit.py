"""Planted defects are caught and named, with their place; the catalogue itself is without defects."""

from __future__ import annotations

import inspect
import os
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl
import pytest

from competitions import (
    Clock,
    Competition,
    Dataset,
    LogShare,
    Metric,
    RawTables,
    SubmissionFormat,
    get_competition,
    open_dataset,
    random_tables,
    take_in,
)
from engine import SampleSettings, Settings
from features import (
    Catalogue,
    Log,
    Registry,
    aggregate,
    bind_catalogue,
    count,
    decayed,
    horizon,
    load_catalogue,
    per_pair,
    std,
)
from features._audit import Audit, audit_generated, run_audit
from tests.features.planted_defects import DEFECTS, WARNINGS, plant
from tests.features.planting import audited, one_aggregate, one_fitted, one_table
from validation import plan_folds

DAY = 86_400_000_000  # of microseconds


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


def line_of(column: str) -> int:
    """Where the feature that gives a column is written: the line of its decorator."""
    lines = Path(inspect.getfile(plant)).read_text(encoding="utf-8").splitlines()
    stem = column.partition("__")[0]
    at = next(i for i, text in enumerate(lines) if f'{{"{stem}": pl.' in text or f"def {stem}(" in text)
    return at + 1 if lines[at].lstrip().startswith("@") else at


@pytest.mark.parametrize(("column", "check"), (DEFECTS | WARNINGS).items())
def test_planted_defect_is_caught_and_named(column: str, check: str, planted: Audit) -> None:
    """What only these data tell is a warning."""
    found = {f.check: f for f in planted.findings if f.column == column}
    assert check in found, found
    finding = found[check]
    assert finding.severity == ("defect" if column in DEFECTS else "warning")
    assert finding.place == f"planted_defects.py:{line_of(column)}"
    assert finding.evidence
    assert finding.todo


def test_honest_features_beside_them_are_left_alone(planted: Audit) -> None:
    assert {f.column for f in planted.defects} == set(DEFECTS)


def test_scope_declared_too_narrow_is_caught(generated: Dataset, movielens_settings: Settings) -> None:
    registry = one_fitted(
        lambda pairs: {"crowd": pl.repeat(pairs.height, pairs.height, eager=True)}, {"crowd": pl.UInt32}
    )

    @per_pair(scope="user", registry=registry)
    def popularity_here(item_id: pl.Expr) -> pl.Expr:
        """Number of pairs of the item in the window: looks at all users, not at the one declared."""
        return item_id.len().over(item_id)

    found = {(f.column, f.check) for f in audited(generated, registry, movielens_settings)}
    assert found >= {
        ("popularity_here", "a few pairs"),
        ("crowd", "a few pairs"),
        ("crowd", "one pair alone"),
    }


def test_another_value_in_another_process_is_caught(generated: Dataset, movielens_settings: Settings) -> None:
    registry = one_fitted(
        lambda pairs: {"process": pl.repeat(os.getpid(), pairs.height, eager=True)}, {"process": pl.Int64}
    )
    settings = movielens_settings.model_copy(update={"backend": "processes"})
    found = {(f.column, f.check) for f in audited(generated, registry, settings)}
    assert found == {("process", "in another process with one thread")}


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

    some = movielens_settings.model_copy(update={"sample": SampleSettings(users=0.5)})
    (finding,) = audited(generated, registry, some)
    assert (finding.column, finding.check) == ("n_rows__item_id", "depends on users left out")
    assert finding.severity == "warning"
    assert finding.evidence.endswith("so do 1 that read it")
    assert audited(generated, registry, movielens_settings) == []


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


@pytest.mark.parametrize(
    ("ids", "lengths"),
    [
        (dy.UInt8, {}),
        (dy.Int8, {}),
        (dy.String, {}),
        (dy.Int64, {"gap": DAY}),
        (dy.UInt16, {"gap": DAY, "horizon": LogShare(1, of=6)}),
        (dy.UInt32, {"gap": 40 * DAY}),
        (dy.UInt32, {"clock": Clock("row"), "horizon": 50, "gap": 3_000}),
        (dy.UInt32, {"clock": Clock("row"), "horizon": LogShare(2, of=7), "gap": 1}),
        (dy.UInt32, {"clock": Clock("per_user", "at", steps=8), "horizon": 1, "gap": 1}),
    ],
)
def test_logs_of_other_kinds_are_generated_and_audited(
    ids: type[dy.Column], lengths: dict[str, Any], movielens_settings: Settings, tmp_path: Path
) -> None:
    """Narrow and wide ids, texts, gaps, horizons that are shares: decayed sums among what must not differ."""
    columns = {"user_id": ids(), "item_id": ids(), "at": dy.Datetime(time_unit="us"), "like": dy.Bool()}
    columns |= {"seconds": dy.UInt32()}
    competition = Competition(
        name="other",
        title="Another log",
        licence="none",
        read=lambda folder: RawTables(pl.LazyFrame()),
        interactions=type("Rows", (dy.Schema,), columns),
        outcomes=("like", "seconds"),
        relevance=pl.col("like"),
        metric=Metric("user_auc"),
        submission=SubmissionFormat({"id": "pair_id", "score": "score"}),
        **{"clock": Clock("time", "at"), "horizon": 2 * DAY, **lengths},
    )
    n = 400
    log = pl.LazyFrame({"user_id": [i % 7 for i in range(n)], "item_id": [i * 3 % 11 for i in range(n)]})
    log = log.cast({"user_id": ids().dtype, "item_id": ids().dtype}).with_columns(
        like=pl.int_range(n) % 3 == 0,
        seconds=pl.lit(7, pl.UInt32),
        at=datetime(2024, 1, 1) + pl.duration(days=pl.int_range(n)),
    )
    dataset = take_in(replace(competition, gap=0), RawTables(log), tmp_path, fingerprint="other")
    registry = Registry()

    @aggregate(keys=["item_id", "user_id", ()], lookbacks=[None, horizon(1)], registry=registry)
    def faded(log: Log) -> object:
        """Rows of late."""
        return decayed(log.like, half_life=horizon(1))

    @aggregate(keys=["user_id"], registry=registry)
    def spread(log: Log) -> object:
        """Spread of numbers that are drawn from all that 32 bits hold: too large for exact sums of squares."""
        return std(log.seconds)

    catalogue = bind_catalogue(replace(dataset, competition=competition), registry)
    assert audit_generated(catalogue, catalogue.columns, movielens_settings) == []


def test_outcomes_may_be_numbers_of_any_size(generated: Dataset, movielens_settings: Settings) -> None:
    """Turning them upside down in the window must not need a wider number."""
    huge = pl.lit(2**64 - 1, pl.UInt64) - pl.col("rating").cast(pl.UInt64)
    registry = Registry()

    @aggregate(keys=["item_id"], registry=registry)
    def n_rows(log: Log) -> object:
        """Rows of the item."""
        return count()

    dataset = replace(generated, log=generated.log.with_columns(rating=huge))
    assert audited(dataset, registry, movielens_settings) == []


def test_vectors_are_compared_too(generated: Dataset, movielens_settings: Settings) -> None:
    def newest(history: pl.LazyFrame) -> pl.LazyFrame:
        log = open_dataset(movielens_settings).log
        return log.group_by("item_id").agg(pl.col("row").cast(pl.Int64).alias("last_rows"))

    registry = one_table(newest, {"last_rows": pl.List(pl.Int64)}, key="item_id")
    findings = audited(generated, registry, movielens_settings)
    assert {f.check for f in findings} >= {"future truncated", "rows of the log reordered"}


def test_outcomes_of_any_size_are_altered(generated: Dataset, movielens_settings: Settings) -> None:
    """The worlds of a log whose outcomes lie at the ends of 64 bits are laid, too."""
    ends = pl.when(pl.col("row") % 3 == 0).then(pl.lit(2**64 - 1, pl.UInt64)).otherwise(pl.lit(0, pl.UInt64))
    log = generated.log.with_columns(rating=ends)
    registry = one_aggregate(lambda log: count(), keys=("item_id",))
    assert audited(replace(generated, log=log, partitioned=None), registry, movielens_settings) == []
