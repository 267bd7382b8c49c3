"""What comes from outside of the history is found, however it comes; and what is meant to show ids or time may."""

from __future__ import annotations

import gc
import inspect
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module, invalidate_caches
from typing import Any

import polars as pl
import pytest

from competitions import Dataset, opened
from engine import Settings
from features import (
    Aggregate,
    Log,
    Registry,
    Window,
    aggregate,
    fitted,
    last,
    per_pair,
    table,
)
from features._audit import Finding
from tests.features.planted_outside import LEAKS, write_files
from tests.features.planting import audited


@pytest.fixture(scope="module")
def found(
    generated: Dataset, movielens_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Finding]]:
    """One audit of all leaks, each in a file of its own with an honest feature beside it."""
    place, registry = tmp_path_factory.mktemp("planted"), Registry()
    items = generated.log.select(pl.col("item_id").unique()).collect()["item_id"]
    variables = write_files(place, items.to_list(), cold=max(items.to_list()) + 1)
    with pytest.MonkeyPatch.context() as patch, opened(generated):
        patch.syspath_prepend(place)
        for name, text in variables.items():
            patch.setenv(name, text)
        invalidate_caches()
        for name in LEAKS:
            registry.declarations |= import_module(f"planted_{name}").REGISTRY.declarations
        yield audited(generated, registry, movielens_settings)
    for name in [name for name in sys.modules if name.startswith("planted_")]:
        del sys.modules[name]


@pytest.mark.parametrize(("name", "check"), LEAKS.items())
def test_what_comes_from_outside_is_found_and_named(name: str, check: str, found: list[Finding]) -> None:
    own = {f.check: f for f in found if f.column.removesuffix("__item_id") == name}
    assert check in own, own
    assert own[check].severity == "defect"
    if check == "reads files by itself":  # with the file and the line that did it
        assert f"planted_{name}.py:" in own[check].evidence


def test_honest_features_in_the_same_files_are_left_alone(found: list[Finding]) -> None:
    assert {f.column.removesuffix("__item_id") for f in found} == set(LEAKS)


def showing() -> Registry:
    """Columns that show ids, instants or numbers of rows, some of which say so."""
    registry = Registry()

    @per_pair(registry=registry, uses_ids=True)
    def code(item_id: pl.Expr) -> pl.Expr:
        """The id."""
        return item_id

    @per_pair(registry=registry, uses_ids=True)
    def code_and_year(item_id: pl.Expr, timestamp: pl.Expr) -> pl.Expr:
        """The id and the year."""
        return item_id + timestamp.dt.year()

    @aggregate(keys=["user_id"], registry=registry, uses_time=True)
    def seen(log: Log) -> Aggregate:
        """Instant of the last row."""
        return last(log.timestamp)

    @per_pair(registry=registry)
    def now(timestamp: pl.Expr) -> pl.Expr:
        """The instant as an instant, which no model reads."""
        return timestamp

    @per_pair(registry=registry)
    def since(seen__user_id: pl.Expr, timestamp: pl.Expr) -> pl.Expr:
        """Seconds since then."""
        return (timestamp - seen__user_id).dt.total_seconds()

    @per_pair(registry=registry)
    def hour(timestamp: pl.Expr) -> pl.Expr:
        """Hour of a week."""
        return timestamp.dt.weekday().cast(pl.Int64) * 24 + timestamp.dt.hour()

    @per_pair(registry=registry)
    def year(seen__user_id: pl.Expr) -> pl.Expr:
        """Year of the last row."""
        return seen__user_id.dt.year()

    @table(key="user_id", columns={"items": pl.List(pl.UInt32)}, registry=registry)
    def items_of_user(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """Items, which are ids within an array."""
        return history.group_by("user_id").agg(items=pl.col("item_id").sort())

    @table(key="user_id", columns={"rows": pl.List(pl.UInt32)}, registry=registry)
    def rows_of_user(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """Numbers of rows."""
        return history.group_by("user_id").agg(rows=pl.col("row").sort())

    return registry


def test_what_means_to_show_ids_or_instants_says_so(generated: Dataset, movielens_settings: Settings) -> None:
    """A word for one does not stand for the other, and what reads such a column is held to both."""
    findings = audited(generated, showing(), movielens_settings)
    assert {(f.column, f.check) for f in findings} == {
        ("code_and_year", "another time"),
        ("year", "another time"),
        ("rows__user_id", "other numbers of rows and pairs"),
    }


def test_what_outlives_a_window_or_lies_in_a_frame_is_found(
    generated: Dataset, movielens_settings: Settings
) -> None:
    """Rows of the first window that was computed, kept where no file of features is; labels of the whole log."""
    registry = Registry()

    def planted(name: str, value: Callable[[int], float]) -> None:
        class Planted:
            """Planted."""

            def fit(self, history: pl.LazyFrame, window: Window) -> None:
                self.value = value(history.select(pl.len()).collect(engine="in-memory").item())

            def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
                return pairs.select("pair_id", pl.lit(self.value, pl.Float64).alias(name))

        Planted.__name__ = name
        fitted(columns={name: pl.Float64}, registry=registry)(Planted)

    def of_class(n: int) -> float:
        pl.DataFrame.planted = getattr(pl.DataFrame, "planted", n)  # type: ignore[attr-defined]
        return float(pl.DataFrame.planted)  # type: ignore[attr-defined]

    def total(datasets: Iterable[Any]) -> float:
        labels = [d.log.select(pl.col("relevance").cast(pl.Int64).abs().sum()) for d in datasets]
        return float(max(one.collect(engine="in-memory").item() for one in labels))

    def of_frames(n: int) -> float:
        seen = [value for frame in inspect.stack() for value in frame.frame.f_locals.values()]
        return total(d for d in (getattr(one, "dataset", one) for one in seen) if isinstance(d, Dataset))

    planted("on_module", lambda n: pl.__dict__.setdefault("planted", n))
    planted("on_class", of_class)
    planted("on_logger", lambda n: logging.getLogger("planted").__dict__.setdefault("planted", n))
    planted("in_frames", of_frames)
    planted("in_garbage", lambda n: total(one for one in gc.get_objects() if isinstance(one, Dataset)))
    planted("honest", float)
    findings = audited(
        generated, registry, movielens_settings.model_copy(update={"backend": "processes"}), n_windows=2
    )
    assert {f.column for f in findings if f.severity == "defect"} == set(registry.declarations) - {"honest"}


def test_state_that_a_file_keeps_does_not_outlive_a_world(
    generated: Dataset, movielens_settings: Settings
) -> None:
    """The modules of the process that audits are what they were before."""
    import tests.features.planted_outside as before

    audited(generated, _counted(), movielens_settings)
    assert sys.modules["tests.features.planted_outside"] is before


def _counted() -> Registry:
    registry = Registry()

    @fitted(columns={"n": pl.UInt32}, registry=registry)
    class Counted:
        """Rows before the cutoff."""

        def fit(self, history: pl.LazyFrame, window: Window) -> None:
            self.n = history.select(pl.len()).collect(engine="in-memory").item()

        def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
            return pairs.select("pair_id", n=pl.lit(self.n, pl.UInt32))

    return registry
