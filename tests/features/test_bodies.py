"""A body that raises, or gives something else than it declares, is named with its place."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from competitions import Dataset
from features import (
    Aggregate,
    FeatureError,
    Log,
    Registry,
    aggregate,
    bind_catalogue,
    count,
    last,
    mean,
    per_pair,
    table,
    total,
)
from tests.features.planting import (
    computed,
    counted,
    one_aggregate,
    one_fitted,
    one_pair_feature,
    one_table,
)
from validation import Folds, Window

HERE = Path(__file__).name


def broken(*_: object) -> Any:
    raise ValueError("the reason")


@pytest.mark.parametrize(
    "registry",
    [
        one_aggregate(lambda log: broken()),
        one_aggregate(lambda log: count(), where=broken),
        one_pair_feature(lambda age: broken()),
    ],
    ids=["aggregate", "where", "per_pair"],
)
def test_a_body_that_raises_when_declared_is_named(timed: Dataset, registry: Registry) -> None:
    with pytest.raises(FeatureError, match=f"'planted' \\({HERE}:[0-9]+\\) failed.*ValueError: the reason"):
        bind_catalogue(timed, registry)


@pytest.mark.parametrize(
    "registry",
    [
        one_aggregate(lambda log: "text"),
        one_aggregate(lambda log: count(), where=lambda log: 3),
        one_pair_feature(lambda age: 3),
    ],
    ids=["aggregate", "where", "per_pair"],
)
def test_a_body_that_returns_something_else_is_named(timed: Dataset, registry: Registry) -> None:
    with pytest.raises(FeatureError, match=f"'planted' \\({HERE}:[0-9]+\\) returned (str|int)"):
        bind_catalogue(timed, registry)


@pytest.mark.parametrize(
    "registry",
    [
        one_aggregate(
            lambda log: total(log.stars.cast(pl.String).cast(pl.Categorical).to_physical().cast(pl.Int64))
        ),
        one_pair_feature(lambda device: device.cast(pl.Categorical).cat.physical()),
    ],
    ids=["aggregate", "per_pair"],
)
def test_numbers_of_categories_are_refused(timed: Dataset, registry: Registry) -> None:
    """They are others in each process; those of an Enum are its own."""
    with pytest.raises(FeatureError, match=r"'planted'.* takes categories for numbers"):
        bind_catalogue(timed, registry)
    assert bind_catalogue(timed, one_pair_feature(lambda device: device.to_physical())).columns


@pytest.mark.parametrize(
    "registry",
    [
        one_aggregate(lambda log: mean(pl.col("nowhere"))),
        one_aggregate(lambda log: log.stars),
        one_pair_feature(lambda age: age.filter(age > 3)),
    ],
    ids=["unknown", "not_aggregated", "filter"],
)
def test_an_expression_that_does_not_fit_is_named(timed: Dataset, folds: Folds, registry: Registry) -> None:
    with pytest.raises(
        FeatureError,
        match=f"'planted(__user_id)?' \\({HERE}:[0-9]+\\) (does not fit|failed|gives several|looks at other)",
    ):
        computed(bind_catalogue(timed, registry), folds)


@pytest.mark.parametrize(
    ("registry", "would_fit"),
    [
        (one_aggregate(lambda log: total(log.device.str.len_chars())), "String in 'device'"),
        (one_aggregate(lambda log: count(log.device)), "Boolean or Int64 or Float64 in 'device'"),
        (one_aggregate(lambda log: last(log.stars.filter(log.stars))), "Boolean in 'stars'"),
        (one_pair_feature(lambda device: device.dt.hour()), "Datetime in 'device'"),
        (
            one_pair_feature(lambda device, age: device.dt.hour() + age.str.len_chars()),
            "something else in 'age' and 'device'",
        ),
    ],
    ids=["total", "count", "filter", "per_pair", "two columns"],
)
def test_an_expression_that_fits_other_dtypes_is_not_available(
    timed: Dataset, registry: Registry, would_fit: str
) -> None:
    catalogue = bind_catalogue(timed, registry)
    assert not catalogue.columns
    (reason,) = catalogue.unavailable.values()
    assert reason.startswith(f"needs {would_fit}")
    assert "; here '" in reason
    assert "\n" not in reason


@pytest.mark.parametrize(
    ("needs", "reason"),
    [
        (
            {"stars": "flag"},
            "needs the column 'stars' to be Boolean, or integers that are 0 or 1; here it is",
        ),
        ({"device": "number"}, "needs the column 'device' to be an integer or a float; here it is Enum"),
        ({"device": "enums"}, "needs the column 'device' to be a list of Enum; here it is Enum"),
        ({"age": pl.Int64}, "needs the column 'age' to be Int64; here it is UInt8"),
        ({"like": "id"}, "needs 'like' of the pair to score, and here it is an outcome"),
    ],
)
def test_a_body_that_takes_a_column_for_something_else_is_not_available(
    timed: Dataset, needs: Any, reason: str
) -> None:
    registry = one_table(counted, {"n": pl.UInt32}, needs=needs)
    assert bind_catalogue(timed, registry).unavailable["n__user_id"].startswith(reason)


def test_a_kind_that_there_is_not_is_refused() -> None:
    with pytest.raises(FeatureError, match="Did you mean 'number'"):
        one_table(counted, {"n": pl.UInt32}, needs={"age": "numbr"})


def test_integers_of_0_and_1_are_booleans_to_what_takes_them_for_such(timed: Dataset, folds: Folds) -> None:
    """Expressions and bodies give the same values for a Boolean column and for its integers."""
    as_integers = replace(timed, log=timed.log.with_columns(pl.col("like").cast(pl.Int64)))
    registry = one_aggregate(lambda log: last(log.stars.filter(log.like & (log.stars > 2))))

    @table(
        key="user_id",
        columns={"n_liked": pl.UInt32},
        needs={"user_id": "id", "like": "flag"},
        registry=registry,
    )
    def liked(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """Rows with a like."""
        return history.filter(pl.col("like")).group_by("user_id").agg(pl.len().alias("n_liked"))

    first, again = (computed(bind_catalogue(dataset, registry), folds) for dataset in (timed, as_integers))
    assert first.width == 3
    assert first.equals(again)
    odd = replace(timed, log=timed.log.with_columns(pl.col("like").cast(pl.Int64) * 2))
    assert not bind_catalogue(odd, registry).columns


def test_an_aggregate_that_fails_while_it_runs_is_named_among_others(timed: Dataset, folds: Folds) -> None:
    registry = one_aggregate(lambda log: total(log.stars.cast(pl.String).str.to_integer(base=4)))

    @aggregate(keys=["user_id"], registry=registry)
    def honest(log: Log) -> Aggregate:
        """In the same pass."""
        return count()

    with pytest.raises(FeatureError, match=f"'planted__user_id' \\({HERE}:[0-9]+\\) failed on the log"):
        computed(bind_catalogue(timed, registry), folds)


def test_whole_numbers_that_sums_do_not_take_are_told_in_our_words(timed: Dataset, folds: Folds) -> None:
    """Bound to a log without such numbers: what is looked at while binding is not all that a scan may meet."""
    registry = one_aggregate(lambda log: total(log.stars))
    small, huge = (
        replace(timed, log=timed.log.with_columns(stars=pl.lit(n, pl.UInt64))) for n in (4, 2**64 - 1)
    )
    catalogue = replace(bind_catalogue(small, registry), dataset=huge)
    with pytest.raises(FeatureError, match="holds whole numbers beyond those of 64 bits") as caught:
        computed(catalogue, folds)
    assert "strict_cast" not in str(caught.value)
    assert "features.exclude" in str(caught.value)


def test_a_per_pair_feature_that_fails_while_it_runs_is_named_among_others(
    timed: Dataset, folds: Folds
) -> None:
    registry = one_pair_feature(lambda at: at.dt.to_string("%H:x").str.to_integer())

    @per_pair(registry=registry)
    def honest(age: pl.Expr) -> pl.Expr:
        """In the same level."""
        return age

    with pytest.raises(FeatureError, match=f"'planted' \\({HERE}:[0-9]+\\) failed"):
        computed(bind_catalogue(timed, registry), folds)


def test_a_value_that_does_not_fit_the_declared_dtype_is_an_error(timed: Dataset, folds: Folds) -> None:
    """Nothing is clipped or wrapped."""
    registry = one_aggregate(lambda log: count() * 1000, dtype=pl.UInt8)
    with pytest.raises(FeatureError, match=r"'planted__user_id'.*failed"):
        computed(bind_catalogue(timed, registry), folds)


@pytest.mark.parametrize(
    ("registry", "found"),
    [
        (one_table(broken, {"n": pl.UInt32}), "ValueError: the reason"),
        (one_table(lambda h: counted(h).cast({"n": pl.String}), {"n": pl.UInt32}), "gave 'n' as String"),
        (one_table(lambda h: counted(h).rename({"n": "m"}), {"n": pl.UInt32}), "did not give the column 'n'"),
        (one_table(lambda h: counted(h).cast({"user_id": pl.String}), {"n": pl.UInt32}), "no key column ['user_id']"),
        (one_table(lambda h: counted(h).drop("user_id"), {"n": pl.UInt32}), "gave no key column ['user_id']"),
        (one_table(lambda h: pl.concat([counted(h)] * 2), {"n": pl.UInt32}), "rows with a repeated key"),
        (one_table(lambda h: counted(h).collect(), {"n": pl.UInt32}), "returned DataFrame"),
        (one_table(lambda h: counted(h), {"n": pl.UInt32}, needs=["item_id"], key="item_id"), "user_id"),
        (one_fitted(broken, {"n": pl.UInt32}), "ValueError: the reason"),
        (one_fitted(lambda p: sys.exit(3), {"n": pl.UInt32}), "SystemExit: 3"),
        (one_fitted(lambda p: p.select("pair_id", n=pl.lit(0.5)), {"n": pl.UInt32}), "gave 'n' as Float64"),
        (one_fitted(lambda p: p.select("pair_id", n=pl.lit(-1)), {"n": pl.UInt32}), "failed in window"),
        (one_fitted(lambda p: p.select("user_id"), {"n": pl.UInt32}), "did not give the column 'n'"),
        (one_fitted(lambda p: p.select("pair_id"), {"n": pl.UInt32}), "did not give the column 'n'"),
        (one_fitted(lambda p: p.select("pair_id", n=pl.lit(1, pl.UInt32)).head(3), {"n": pl.UInt32}), "3 rows for"),
        (
            one_fitted(lambda p: p.select(pair_id=pl.col("pair_id").min(), n=pl.lit(1, pl.UInt32)), {"n": pl.UInt32}),
            "rows for",
        ),
        (one_fitted(lambda p: None, {"n": pl.UInt32}), "gave NoneType"),
    ],
)  # fmt: skip
def test_a_python_body_that_gives_the_wrong_thing_is_named(
    timed: Dataset, folds: Folds, registry: Registry, found: str
) -> None:
    with pytest.raises(FeatureError) as refused:
        computed(bind_catalogue(timed, registry), folds)
    assert found in str(refused.value)
    assert "'planted' (planting.py:" in str(refused.value)


def test_a_body_gets_what_it_needs_and_nothing_from_the_cutoff_on(timed: Dataset, folds: Folds) -> None:
    seen: list[pl.DataFrame] = []

    def look(history: pl.LazyFrame) -> pl.LazyFrame:
        seen.append(history.collect(engine="in-memory"))
        return counted(history)

    computed(bind_catalogue(timed, one_table(look, {"n": pl.UInt32}, needs=["stars", "age"])), folds)
    computed(bind_catalogue(timed, one_table(look, {"n": pl.UInt32})), folds)
    assert seen[0].columns == ["row", "clock", "user_id", "stars", "age"]
    assert set(seen[1].columns) > {"row", "clock", "tags", "value", "relevance"}
    for rows in seen:
        assert rows["clock"].max() < folds.final.eval.cutoff  # type: ignore[operator]
        assert rows.select("clock", "row").equals(rows.select("clock", "row").sort("clock", "row"))
