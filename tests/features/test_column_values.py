"""Dtypes, fills, Enums, variants: what becomes of the values that a feature gives."""

from __future__ import annotations

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
    Window,
    aggregate,
    bind_catalogue,
    compute_window,
    count,
    first,
    fitted,
    mean,
    per_pair,
    smallest,
)
from tests.features.planting import (
    computed,
    counted,
    one_aggregate,
    one_fitted,
    one_pair_feature,
    one_table,
)
from validation import Folds, window_pairs

HERE = Path(__file__).name


def test_differences_of_narrow_integers_do_not_wrap_around(timed: Dataset, folds: Folds) -> None:
    registry = one_aggregate(lambda log: count(log.like))

    @per_pair(registry=registry)
    def fewer(planted__user_id: pl.Expr, age: pl.Expr) -> pl.Expr:
        """Likes minus age: unsigned integers would give four billion."""
        return planted__user_id - age

    frame = computed(bind_catalogue(timed, registry), folds)
    ages = timed.with_attributes(window_pairs(timed, folds.final.eval).lazy()).collect(engine="in-memory")[
        "age"
    ]
    assert frame["fewer"].to_list() == [
        None if age is None else n - age for n, age in zip(frame["planted__user_id"], ages, strict=True)
    ]
    assert frame["fewer"].dtype == pl.Int64


@pytest.mark.parametrize(
    "registry",
    [
        one_pair_feature(lambda at: at.dt.hour() * 60),
        one_pair_feature(lambda at, age: age + (at.dt.day() + at.dt.month())),
        one_pair_feature(lambda tags: tags.list.len() - 5),
        one_pair_feature(lambda age, user_id: age / (pl.len().over(user_id) - 10), scope="user"),
        one_aggregate(lambda log: mean(log.at.dt.hour() * 60)),
        one_aggregate(lambda log: log.device.n_unique() - log.kind.n_unique()),
        one_aggregate(lambda log: count(), where=lambda log: log.at.dt.hour() * 60 > 100),
    ],
)
def test_arithmetic_that_would_wrap_around_is_refused(timed: Dataset, registry: Registry) -> None:
    """Polars multiplies Int8 hours by 60 and gives 100 for 23; it says nothing."""
    with pytest.raises(FeatureError, match=f"'planted' \\({HERE}.*wraps around without a word"):
        bind_catalogue(timed, registry)


@pytest.mark.parametrize(
    "registry",
    [
        one_pair_feature(lambda at, age: (age + at.dt.day() + at.dt.month()) * 500),
        one_pair_feature(lambda age: age * (pl.lit(24) * 60)),
        one_pair_feature(lambda tags: tags.list.len().cast(pl.Int64) - 5),
        one_pair_feature(lambda tags: tags.list.eval(pl.element().to_physical() + 1).list.sum()),
        one_aggregate(lambda log: log.stars.max() - log.stars.min()),
    ],
)
def test_wide_arithmetic_is_not(timed: Dataset, registry: Registry) -> None:
    assert bind_catalogue(timed, registry).columns


def test_a_column_as_it_is_keeps_its_dtype(timed: Dataset, folds: Folds) -> None:
    catalogue = bind_catalogue(timed, one_pair_feature(lambda age: age))
    assert catalogue.columns["planted"].dtype == computed(catalogue, folds)["planted"].dtype == pl.UInt8


def test_enums_come_out_as_enums_and_can_be_filled(timed: Dataset, folds: Folds) -> None:
    device = timed.history_schema["device"]
    registry = one_pair_feature(lambda kind: kind, fill="film")

    @aggregate(keys=["user_id"], registry=registry)
    def first_device(log: Log) -> Aggregate:
        """First known device."""
        return first(log.device)

    @aggregate(keys=["user_id"], registry=registry)
    def least_device(log: Log) -> Aggregate:
        """First device by the order of the Enum."""
        return smallest(log.device)

    catalogue = bind_catalogue(timed, registry)
    frame = computed(catalogue, folds)
    assert frame.schema["first_device__user_id"] == frame.schema["least_device__user_id"] == device
    assert frame.schema["planted"] == timed.pair_schema["kind"]
    assert frame["planted"].null_count() == 0
    assert all(c.is_model_input for c in catalogue.columns.values())


def test_fill_replaces_null_for_keys_without_rows(timed: Dataset, folds: Folds) -> None:
    window = Window(0, 0, folds.final.eval.until)
    pairs = window_pairs(timed, folds.final.eval)
    for registry in (
        one_aggregate(lambda log: mean(log.value), fill=-1.0),
        one_table(lambda h: counted(h).cast({"n": pl.Float32}), {"n": pl.Float32}, fill=-1.0),
        one_fitted(
            lambda p: p.select("pair_id", n=pl.lit(float("nan"), pl.Float32)), {"n": pl.Float32}, fill=-1.0
        ),
        one_pair_feature(lambda age: pl.when(age > 300).then(age / 1), fill=-1.0),
    ):
        catalogue = bind_catalogue(timed, registry)
        (name,) = catalogue.columns
        assert set(compute_window(catalogue, window, [name], pairs)[name]) == {-1.0}


@pytest.mark.parametrize("fill", [-1, 0.5, 2**40, "film"])
def test_a_fill_that_is_no_value_of_the_dtype_is_refused(timed: Dataset, fill: Any) -> None:
    with pytest.raises(FeatureError, match=f"'planted' \\({HERE}.*is filled with"):
        bind_catalogue(timed, one_pair_feature(lambda age: age, fill=fill))


def test_nan_is_null_and_float64_is_rounded_to_float32(timed: Dataset, folds: Folds) -> None:
    catalogue = bind_catalogue(timed, one_pair_feature(lambda age: (age - age) / (age - age)))
    values = computed(catalogue, folds)["planted"]
    assert values.dtype == pl.Float32
    assert values.null_count() == len(values)


def test_each_gives_a_column_for_each_name(timed: Dataset, folds: Folds) -> None:
    registry = one_aggregate(lambda log: count(), ["user_id", "item_id"])

    @per_pair(each=["planted__user_id", "planted__item_id", "nowhere"], registry=registry)
    def halved(value: pl.Expr, age: pl.Expr) -> pl.Expr:
        """Half of it."""
        return value / 2

    catalogue = bind_catalogue(timed, registry)
    assert catalogue.columns["halved__planted__user_id"].reads == ("planted__user_id",)
    assert catalogue.columns["halved__planted__user_id"].columns == ("age",)
    assert "needs 'nowhere'" in catalogue.unavailable["halved__nowhere"]
    frame = computed(catalogue, folds)
    assert (frame["halved__planted__item_id"] * 2).cast(pl.UInt32).equals(frame["planted__item_id"])


def test_each_of_several_names_binds_the_first_parameters(timed: Dataset, folds: Folds) -> None:
    registry = one_aggregate(lambda log: count(), ["user_id", "item_id"])

    @per_pair(
        each=[("planted__user_id", "planted__item_id"), ("planted__item_id", "nowhere")], registry=registry
    )
    def less(value: pl.Expr, other: pl.Expr, age: pl.Expr) -> pl.Expr:
        """The one less the other."""
        return value - other

    catalogue = bind_catalogue(timed, registry)
    assert catalogue.columns["less__planted__user_id"].reads == ("planted__user_id", "planted__item_id")
    assert "needs 'nowhere'" in catalogue.unavailable["less__planted__item_id"]
    frame = computed(catalogue, folds)
    user, item = (frame[f"planted__{key}"].cast(pl.Int64) for key in ("user_id", "item_id"))
    assert frame["less__planted__user_id"].equals((user - item).alias("less__planted__user_id"))


def test_variants_are_given_their_arguments(timed: Dataset, folds: Folds) -> None:
    registry = Registry()

    @fitted(columns={"c": pl.Int64}, variants={"one": {"x": 1}, "two": {"x": 2}}, registry=registry)
    class Constant:
        """The argument."""

        def __init__(self, x: int) -> None:
            self.x = x

        def fit(self, history: pl.LazyFrame, window: Window) -> None:
            pass

        def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
            return pairs.select("pair_id", c=pl.lit(self.x, pl.Int64))

    frame = computed(bind_catalogue(timed, registry), folds)
    assert set(frame["c__one"]) == {1}
    assert set(frame["c__two"]) == {2}


def test_a_null_key_of_a_table_is_an_unseen_key(timed: Dataset, folds: Folds) -> None:
    def by_device(history: pl.LazyFrame) -> pl.LazyFrame:
        return history.group_by("device").agg(pl.len().cast(pl.UInt32).alias("n"))

    frame = computed(bind_catalogue(timed, one_table(by_device, {"n": pl.UInt32}, key="device")), folds)
    devices = window_pairs(timed, folds.final.eval)["device"]
    assert devices.null_count()
    assert frame["n__device"].is_null().equals(devices.is_null())
