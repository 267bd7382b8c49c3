"""What a competition lacks is listed with the reason; what no competition could make right is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from competitions import Dataset, get_competition, random_tables, take_in
from engine import FoldSettings
from features import (
    FeatureError,
    Registry,
    bind_catalogue,
    compute_window,
    count,
    load_catalogue,
    mean,
    per_pair,
    total,
)
from tests.features.planting import (
    Expression,
    computed,
    one_aggregate,
    one_pair_feature,
    one_table,
)
from validation import Folds, plan_folds, window_pairs

HERE = Path(__file__).name


def test_an_unknown_column_of_the_log_is_not_available_with_the_reason(timed: Dataset) -> None:
    registry = one_aggregate(lambda log: mean(log.star), ["user_id", "item_id"], lookbacks=[None, "1d"])
    catalogue = bind_catalogue(timed, registry)
    assert not catalogue.columns
    reason = "needs the column 'star' in the log. Did you mean 'stars'?"
    assert catalogue.unavailable == dict.fromkeys(
        ("planted__user_id", "planted__user_id__1d", "planted__item_id", "planted__item_id__1d"), reason
    )


def test_an_unknown_column_in_where_is_not_available(timed: Dataset) -> None:
    catalogue = bind_catalogue(timed, one_aggregate(lambda log: count(), where=lambda log: log.likes))
    assert "Did you mean 'like'?" in catalogue.unavailable["planted__user_id"]


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("userid", "Did you mean 'user_id'?"),
        ("stars", "an outcome, unknown for the pairs"),
        ("tags", "to hold single values"),
    ],
)
def test_an_impossible_key_is_not_available_and_the_other_keys_are(
    timed: Dataset, key: str, reason: str
) -> None:
    catalogue = bind_catalogue(timed, one_aggregate(lambda log: count(), ["user_id", key]))
    assert list(catalogue.columns) == ["planted__user_id"]
    assert reason in catalogue.unavailable[f"planted__{key}"]


def test_an_unknown_parameter_is_not_available_and_so_is_what_reads_it(timed: Dataset) -> None:
    registry = one_pair_feature(lambda agee: agee)

    @per_pair(registry=registry)
    def reader(planted: pl.Expr) -> pl.Expr:
        """Reads what is not there."""
        return planted

    catalogue = bind_catalogue(timed, registry)
    assert "needs 'agee'" in catalogue.unavailable["planted"]
    assert "Did you mean 'age'?" in catalogue.unavailable["planted"]
    assert catalogue.unavailable["reader"].startswith("needs 'planted', which needs 'agee'")
    with pytest.raises(FeatureError, match=r"'reader' is not available here: it needs 'planted'"):
        catalogue.closure(["reader"])


def test_a_feature_of_an_unavailable_aggregate_has_its_reason(timed: Dataset) -> None:
    registry = one_aggregate(lambda log: mean(log.rating))

    @per_pair(registry=registry)
    def twice(planted__user_id: pl.Expr) -> pl.Expr:
        """Twice."""
        return planted__user_id * 2

    reason = bind_catalogue(timed, registry).unavailable["twice"]
    assert reason.startswith("needs 'planted__user_id', which needs the column 'rating' in the log")


@pytest.mark.parametrize(
    ("options", "found"), [({"needs": ["star"]}, "'stars'"), ({"key": "users_id"}, "'user_id'")]
)
def test_a_table_without_its_columns_is_not_available(timed: Dataset, options: Any, found: str) -> None:
    catalogue = bind_catalogue(
        timed, one_table(lambda history: history, {"a": pl.UInt32, "b": pl.UInt32}, **options)
    )
    key = options.get("key", "user_id")
    assert set(catalogue.unavailable) == {f"a__{key}", f"b__{key}"}
    assert all(f"Did you mean {found}?" in reason for reason in catalogue.unavailable.values())


@pytest.mark.parametrize("outcome", ["stars", "like", "value", "relevance"])
def test_what_reads_an_outcome_from_the_pairs_is_not_available(timed: Dataset, outcome: str) -> None:
    registry = Registry()

    @per_pair(each=[outcome], registry=registry)
    def label(column: pl.Expr) -> pl.Expr:
        """The label itself."""
        return column

    catalogue = bind_catalogue(timed, registry)
    assert not catalogue.columns
    assert (
        f"needs '{outcome}' of the pair to score, and that is an outcome"
        in catalogue.unavailable[f"label__{outcome}"]
    )


def test_a_column_that_is_no_parameter_is_refused(timed: Dataset) -> None:
    """It would be there or not depending on what else is computed, and no recipe would know of it."""
    registry = one_aggregate(lambda log: count())
    bodies: list[Expression] = [
        lambda age: age + pl.col("planted__user_id"),
        lambda age: pl.all(),
        lambda age: age + pl.first(),
    ]
    for body in bodies:
        body.__name__, body.__doc__ = "other", "Reads more than it says."
        other = Registry(dict(registry.declarations))
        per_pair(registry=other)(body)
        with pytest.raises(FeatureError, match="which its parameters do not name"):
            bind_catalogue(timed, other)


def test_features_that_read_each_other_are_refused(timed: Dataset) -> None:
    registry = Registry()

    @per_pair(registry=registry)
    def hen(egg: pl.Expr) -> pl.Expr:
        """From the egg."""
        return egg

    @per_pair(registry=registry)
    def egg(hen: pl.Expr) -> pl.Expr:
        """From the hen."""
        return hen

    with pytest.raises(FeatureError, match="read each other in a circle") as refused:
        bind_catalogue(timed, registry)
    assert "hen -> egg" in str(refused.value) or "egg -> hen" in str(refused.value)
    assert HERE in str(refused.value)


def test_a_feature_that_reads_itself_is_refused(timed: Dataset) -> None:
    with pytest.raises(FeatureError, match="planted -> planted"):
        bind_catalogue(timed, one_pair_feature(lambda planted: planted))


@pytest.mark.parametrize(
    "body",
    [
        lambda age: age.rank(),
        lambda age: age - age.mean(),
        lambda age: age.clip(0, age.max()),
        lambda age: age / age.count().over("age"),
        lambda age: age.shift(1),
        lambda age: age.cum_sum(),
        lambda age: age.fill_null(age.mean()),
        lambda age: age.fill_null(strategy="forward"),
        lambda age: pl.len() + age,
        lambda age: pl.when(age > age.median()).then(1),
        lambda age: age.is_in(age.filter(age > 3).implode()),
    ],
)
def test_looking_at_other_pairs_without_a_scope_is_refused(timed: Dataset, body: Expression) -> None:
    with pytest.raises(FeatureError, match=f"'planted' \\({HERE}.*looks at other pairs") as refused:
        bind_catalogue(timed, one_pair_feature(body))
    assert "scope='user'" in str(refused.value)
    catalogue = bind_catalogue(timed, one_pair_feature(body, scope="window"))
    assert catalogue.columns["planted"].scope == "window"


@pytest.mark.parametrize(
    "body",
    [
        lambda age: age,
        lambda age: pl.lit(1),
        lambda age: pl.when(age > 30).then(1).otherwise(0),
        lambda age: age.fill_null(0).log1p().clip(0, 3),
        lambda age: age.is_in([1, 2]).cast(pl.UInt8),
        lambda age: age.replace({1: 2}),
        lambda tags: tags.list.len(),
        lambda tags: tags.list.eval(pl.element().cast(pl.String).str.len_chars()).list.sum(),
        lambda at: at.dt.hour().cast(pl.Int64) * 60 + at.dt.minute(),
        lambda age, user_id: pl.max_horizontal(age, user_id),
        lambda kind, device: kind.cast(pl.String) == device.cast(pl.String),
    ],
)
def test_elementwise_expressions_need_no_scope(timed: Dataset, folds: Folds, body: Expression) -> None:
    catalogue = bind_catalogue(timed, one_pair_feature(body))
    assert catalogue.columns["planted"].scope == "row"
    assert computed(catalogue, folds)["planted"].dtype == catalogue.columns["planted"].dtype


def test_a_python_function_in_an_expression_is_refused(timed: Dataset) -> None:
    """An edit of what it calls would not change the expression's key."""
    with pytest.raises(FeatureError, match="calls a Python function within an expression"):
        bind_catalogue(
            timed, one_pair_feature(lambda age: age.map_batches(lambda s: s + 1, return_dtype=pl.Int64) * 2)
        )
    with pytest.raises(FeatureError, match="calls a Python function within an expression"):
        bind_catalogue(timed, one_aggregate(lambda log: count().map(lambda n: n.map_batches(len))))
    with pytest.raises(FeatureError, match="calls a Python function within an expression"):
        bind_catalogue(
            timed, one_aggregate(lambda log: total(log.age.map_batches(lambda s: s, return_dtype=pl.Int64)))
        )


@pytest.mark.parametrize("layout", ["movielens", "vk2024"])
def test_what_is_said_to_be_null_without_a_key_is_and_is_not_fitted_where_all_are_new(
    layout: str, tmp_path: Path
) -> None:
    competition = get_competition(layout)
    tables = random_tables(competition, n_users=40, n_items=50, n_rows=1500, seed=5)
    dataset = take_in(competition, tables, tmp_path, fingerprint="generated")
    catalogue = load_catalogue(dataset)
    declared = [c for c in catalogue.columns.values() if c.declaration.options.get("null_without")]
    assert len({c.declaration.name for c in declared}) >= 4
    window = plan_folds(dataset, FoldSettings(n_folds=1, n_train_windows=1)).final.eval
    pairs = window_pairs(dataset, window)
    strangers = pairs.with_columns((pl.col("user_id") + 10_000).alias("user_id"))
    values = compute_window(catalogue, window, [c.name for c in declared], strangers)
    assert {n for n in values.columns if values[n].null_count() < values.height} == {"pair_id"}
    all_new = load_catalogue(replace(dataset, all_new=(competition.user,)))
    assert {c.name for c in declared} <= all_new.unavailable.keys()
