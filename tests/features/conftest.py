"""A small competition of every clock kind, with all that is awkward in a log: nulls, ties, Enums, lists, cold keys."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import dataframely as dy
import polars as pl
import pytest

from competitions import (
    Clock,
    ClockKind,
    Competition,
    Dataset,
    Metric,
    RawTables,
    SubmissionFormat,
    get_competition,
    random_tables,
    take_in,
)
from engine import FoldSettings, Settings, Store
from tests.features.feed_world import World, feed_world
from validation import Folds, plan_folds

HOUR = 3_600_000_000  # of microseconds
HORIZON = {"time": 4 * HOUR, "row": 40, "per_user": 1}


class Plays(dy.Schema):
    user_id = dy.UInt32()
    item_id = dy.UInt32()
    at = dy.Datetime(time_unit="us")
    device = dy.Enum(("phone", "tv", "web"), nullable=True)
    stars = dy.UInt8(min=1, max=5)
    value = dy.Float64(min=-1000.0, max=1000.0, nullable=True)


class Users(dy.Schema):
    user_id = dy.UInt32(primary_key=True)
    age = dy.UInt8(max=100, nullable=True)


class Items(dy.Schema):
    item_id = dy.UInt32(primary_key=True)
    kind = dy.Enum(("film", "series"), nullable=True)
    tags = dy.List(dy.Enum(("new", "old")), nullable=True)


def _not_read(folder: Path) -> RawTables:
    raise NotImplementedError(folder)


def _competition(kind: ClockKind) -> Competition:
    return Competition(
        name=f"small_{kind}",
        title="A small one",
        licence="none",
        read=_not_read,
        interactions=Plays,
        users=Users,
        items=Items,
        outcomes=("stars", "value"),
        derived={"like": pl.col("stars") >= 4},
        relevance=pl.col("like").cast(pl.Int8),
        clock=Clock(kind, column=None if kind == "row" else "at", steps=8),
        horizon=HORIZON[kind],
        metric=Metric("user_auc", policy={"one_class": "skip"}),
        submission=SubmissionFormat({"id": "pair_id", "predict": "score"}),
        source="kind",
    )


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Callable[[ClockKind], Dataset]:
    """The small competition's generated log, by the kind of its clock."""

    @cache
    def taken_in(kind: ClockKind) -> Dataset:
        competition = _competition(kind)
        tables = random_tables(competition, n_users=12, n_items=15, n_rows=300, seed=11)
        return take_in(competition, tables, tmp_path_factory.mktemp(kind), fingerprint=f"small {kind}")

    return taken_in


@pytest.fixture(scope="session")
def timed(small: Callable[[ClockKind], Dataset]) -> Dataset:
    """The small log on a time clock."""
    return small("time")


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A generated log in the layout of MovieLens, to audit."""
    competition = get_competition("movielens")
    tables = random_tables(competition, n_users=40, n_items=50, n_rows=1500, seed=5)
    return take_in(competition, tables, tmp_path_factory.mktemp("generated"), fingerprint="generated")


@pytest.fixture(scope="session")
def folds(timed: Dataset) -> Folds:
    """Two folds of the small log on a time clock that share windows."""
    return plan_folds(timed, FoldSettings(n_folds=2, n_train_windows=2))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with a store of their own; jobs run in this process."""
    return Settings(store=tmp_path / "store", backend="inline")


@pytest.fixture
def store(settings: Settings) -> Store:
    """The store of those settings."""
    return Store(settings.store)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A generated feed of clips with the features of its families on one window."""
    return feed_world(tmp_path_factory.mktemp("feed"))
