"""What registering and binding refuse, what they list as not available, and how columns are chosen."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest

from competitions import Dataset
from engine import ConfigError, FeatureSettings
from features import (
    Aggregate,
    Catalogue,
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
    last,
    mean,
    per_pair,
    smallest,
    table,
    total,
)
from validation import Folds, window_pairs

Expression = Callable[..., Any]
HERE = Path(__file__).name


def one_aggregate(body: Callable[[Log], Any], keys: Any = ("user_id",), **options: Any) -> Registry:
    """A registry with one aggregate, ``planted``."""
    registry = Registry()
    body.__name__, body.__doc__ = "planted", "Planted by a test."
    aggregate(keys=keys, registry=registry, **options)(body)
    return registry


def one_pair_feature(body: Expression, registry: Registry | None = None, **options: Any) -> Registry:
    """A registry with one more per-pair feature, ``planted``."""
    registry = registry or Registry()
    body.__name__, body.__doc__ = "planted", "Planted by a test."
    per_pair(registry=registry, **options)(body)
    return registry


def one_table(result: Callable[[pl.LazyFrame], Any], columns: Any, **options: Any) -> Registry:
    registry = Registry()

    @table(key=options.pop("key", "user_id"), columns=columns, registry=registry, **options)
    def planted(history: pl.LazyFrame, window: Window) -> Any:
        """Planted by a test."""
        return result(history)

    return registry


def one_fitted(result: Callable[[pl.DataFrame], Any], columns: Any, **options: Any) -> Registry:
    registry = Registry()

    @fitted(columns=columns, registry=registry, **options)
    class Planted:
        """Planted by a test."""

        def fit(self, history: pl.LazyFrame, window: Window) -> None:
            pass

        def transform(self, pairs: pl.DataFrame) -> Any:
            return result(pairs)

    return registry


def computed(catalogue: Catalogue, folds: Folds) -> pl.DataFrame:
    window = folds.final.eval
    return compute_window(catalogue, window, list(catalogue.columns), window_pairs(catalogue.dataset, window))


# Names


def module_from(file: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import a feature file that registers into ``registry``."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    module.registry = registry  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, file.stem, module)
    spec.loader.exec_module(module)
    return module


FEATURE_FILE = '''
from features import aggregate, count

@aggregate(keys=["user_id"], registry=registry)
def n_seen(log):
    """Number of rows."""
    return count()
'''


def test_two_features_of_one_name_are_refused_naming_both_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry()
    for stem in ("first_family", "second_family"):
        (tmp_path / f"{stem}.py").write_text(FEATURE_FILE, encoding="utf-8")
    module_from(tmp_path / "first_family.py", registry, monkeypatch)
    with pytest.raises(FeatureError, match="n_seen") as refused:
        module_from(tmp_path / "second_family.py", registry, monkeypatch)
    assert "first_family.py:4" in str(refused.value)
    assert "second_family.py:4" in str(refused.value)


def test_two_features_that_give_one_column_are_refused(timed: Dataset) -> None:
    registry = one_table(lambda history: history, {"planted_x": pl.UInt32})

    @per_pair(each=["user_id"], registry=registry)
    def planted_x(column: pl.Expr) -> pl.Expr:
        """Gives planted_x__user_id, as the table does."""
        return column

    with pytest.raises(FeatureError, match="Two features give the column 'planted_x__user_id'") as refused:
        bind_catalogue(timed, registry)
    assert str(refused.value).count(HERE) == 2


@pytest.mark.parametrize("name", ["age", "stars", "clock", "pair_id", "relevance", "cutoff", "window"])
def test_a_feature_named_as_a_column_of_the_competition_is_refused(timed: Dataset, name: str) -> None:
    registry = Registry()

    def body(user_id: pl.Expr) -> pl.Expr:
        """Planted by a test."""
        return user_id

    body.__name__ = name
    per_pair(registry=registry)(body)
    with pytest.raises(FeatureError, match=f"'{name}'.*has the name of a column"):
        bind_catalogue(timed, registry)


def test_a_feature_without_docstring_is_refused() -> None:
    with pytest.raises(FeatureError, match=f"'silent' \\({HERE}:[0-9]+\\) has no docstring"):

        @per_pair(registry=Registry())
        def silent(age: pl.Expr) -> pl.Expr:
            return age


def test_the_meaning_is_the_first_line_of_the_docstring(timed: Dataset) -> None:
    registry = Registry()

    @aggregate(keys=["user_id"], registry=registry)
    def n_seen(log: Log) -> Aggregate:
        """Number of plays; 0 if none.

        More of it.
        """
        return count()

    column = bind_catalogue(timed, registry).columns["n_seen__user_id"]
    assert (column.meaning, column.kind, column.family) == (
        "Number of plays; 0 if none.",
        "aggregate",
        Path(HERE).stem,
    )


def test_columns_are_named_by_feature_key_and_lookback(timed: Dataset) -> None:
    registry = one_aggregate(
        lambda log: count(), ["user_id", ("user_id", "kind"), ()], lookbacks=["2h", last(5), None]
    )
    assert list(bind_catalogue(timed, registry).columns) == [
        f"planted__{key}{lookback}"
        for key in ("user_id", "user_id_x_kind", "everything")
        for lookback in ("__2h", "__last5", "")
    ]


# What the competition lacks


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


# What no competition could make right


@pytest.mark.parametrize("outcome", ["stars", "like", "value"])
def test_reading_an_outcome_from_the_pairs_is_refused(timed: Dataset, outcome: str) -> None:
    registry = Registry()

    @per_pair(each=[outcome], registry=registry)
    def label(column: pl.Expr) -> pl.Expr:
        """The label itself."""
        return column

    with pytest.raises(
        FeatureError, match=f"reads '{outcome}' from the pairs, but that is an outcome"
    ) as refused:
        bind_catalogue(timed, registry)
    assert HERE in str(refused.value)


def test_relevance_cannot_be_read_from_the_pairs(timed: Dataset) -> None:
    with pytest.raises(FeatureError, match="'relevance' from the pairs"):
        bind_catalogue(timed, one_pair_feature(lambda relevance: relevance))


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
        lambda at: at.dt.hour() + at.dt.minute(),
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
        bind_catalogue(
            timed, one_aggregate(lambda log: total(log.age.map_batches(lambda s: s, return_dtype=pl.Int64)))
        )


# Bodies that raise or give the wrong thing


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
        one_aggregate(lambda log: total(log.device.str.len_chars())),
        one_aggregate(lambda log: mean(pl.col("nowhere"))),
        one_pair_feature(lambda device: device.dt.hour()),
    ],
    ids=["total", "unknown", "per_pair"],
)
def test_an_expression_that_does_not_fit_is_named(timed: Dataset, folds: Folds, registry: Registry) -> None:
    with pytest.raises(
        FeatureError, match=f"'planted(__user_id)?' \\({HERE}:[0-9]+\\) (does not fit|failed)"
    ):
        computed(bind_catalogue(timed, registry), folds)


def test_an_aggregate_that_fails_while_it_runs_is_named_among_others(timed: Dataset, folds: Folds) -> None:
    registry = one_aggregate(lambda log: total(log.stars.cast(pl.String).str.to_integer(base=4)))

    @aggregate(keys=["user_id"], registry=registry)
    def honest(log: Log) -> Aggregate:
        """In the same pass."""
        return count()

    with pytest.raises(FeatureError, match=f"'planted__user_id' \\({HERE}:[0-9]+\\) failed in window w"):
        computed(bind_catalogue(timed, registry), folds)


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


def counted(history: pl.LazyFrame) -> pl.LazyFrame:
    return history.group_by("user_id").agg(pl.len().cast(pl.UInt32).alias("n"))


@pytest.mark.parametrize(
    ("registry", "found"),
    [
        (one_table(broken, {"n": pl.UInt32}), "ValueError: the reason"),
        (one_table(lambda h: counted(h).cast({"n": pl.Int64}), {"n": pl.UInt32}), "gave 'n' as Int64"),
        (one_table(lambda h: counted(h).rename({"n": "m"}), {"n": pl.UInt32}), "did not give the column 'n'"),
        (one_table(lambda h: counted(h).drop("user_id"), {"n": pl.UInt32}), "gave no key column ['user_id']"),
        (one_table(lambda h: pl.concat([counted(h)] * 2), {"n": pl.UInt32}), "rows with a repeated key"),
        (one_table(lambda h: counted(h).collect(), {"n": pl.UInt32}), "returned DataFrame"),
        (one_table(lambda h: counted(h), {"n": pl.UInt32}, needs=["item_id"], key="item_id"), "user_id"),
        (one_fitted(broken, {"n": pl.UInt32}), "ValueError: the reason"),
        (one_fitted(lambda p: p.select("pair_id", n=pl.lit(1)), {"n": pl.UInt32}), "gave 'n' as Int32"),
        (one_fitted(lambda p: p.select("user_id"), {"n": pl.UInt32}), "gave no pair_id"),
        (one_fitted(lambda p: p.select("pair_id"), {"n": pl.UInt32}), "did not give the column 'n'"),
        (one_fitted(lambda p: p.select("pair_id", n=pl.lit(1, pl.UInt32)).head(3), {"n": pl.UInt32}), "3 rows for"),
        (
            one_fitted(lambda p: p.select(pair_id=pl.col("pair_id").min(), n=pl.lit(1, pl.UInt32)), {"n": pl.UInt32}),
            "rows for",
        ),
        (one_fitted(lambda p: None, {"n": pl.UInt32}), "gave no pair_id"),
    ],
)  # fmt: skip
def test_a_python_body_that_gives_the_wrong_thing_is_named(
    timed: Dataset, folds: Folds, registry: Registry, found: str
) -> None:
    with pytest.raises(FeatureError) as refused:
        computed(bind_catalogue(timed, registry), folds)
    assert found in str(refused.value)
    assert f"'planted' ({HERE}:" in str(refused.value)


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


# Values: dtypes, fills, Enums, variants, each


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


@pytest.mark.parametrize("fill", [-1, 0.5, 2**40, "film", float("nan")])
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


# Choosing columns


@pytest.fixture(scope="module")
def chosen_from(timed: Dataset) -> Catalogue:
    registry = one_aggregate(lambda log: count(), ["user_id", "item_id", "channel_id"])

    @aggregate(keys=["user_id"], model_input=False, registry=registry)
    def stone(log: Log) -> Aggregate:
        """Stepping stone."""
        return count()

    @per_pair(scope="user", registry=registry)
    def rank(age: pl.Expr, user_id: pl.Expr) -> pl.Expr:
        """Looks at the user's pairs."""
        return age.rank().over(user_id)

    @per_pair(registry=registry)
    def twice_the_rank(rank: pl.Expr) -> pl.Expr:
        """Looks at the user's pairs through what it reads."""
        return rank * 2

    @per_pair(scope="window", registry=registry)
    def rank_of_all(rank: pl.Expr) -> pl.Expr:
        """Looks at all pairs."""
        return rank.rank()

    return bind_catalogue(timed, registry)


def test_patterns_choose_model_inputs(chosen_from: Catalogue) -> None:
    inputs = ("planted__user_id", "planted__item_id", "rank", "twice_the_rank", "rank_of_all")
    assert set(chosen_from.select(FeatureSettings())) == set(inputs)
    assert chosen_from.select(FeatureSettings(include=("planted*",))) == inputs[:2]
    assert chosen_from.select(FeatureSettings(include=("planted*",), exclude=("*item*",))) == inputs[:1]
    assert chosen_from.select(FeatureSettings(include=("planted*",)), needs=["stone__user_id"]) == (
        *inputs[:2],
        "stone__user_id",
    )


def test_transductive_columns_can_be_switched_off(chosen_from: Catalogue) -> None:
    scopes = {name: chosen_from.columns[name].scope for name in ("rank", "twice_the_rank", "rank_of_all")}
    assert scopes == {"rank": "user", "twice_the_rank": "user", "rank_of_all": "window"}
    assert chosen_from.select(FeatureSettings(transductive=False)) == ("planted__user_id", "planted__item_id")


@pytest.mark.parametrize("kind", ["include", "exclude"])
def test_a_pattern_that_matches_nothing_is_refused(chosen_from: Catalogue, kind: str) -> None:
    with pytest.raises(ConfigError, match=r"'planted__userid' matches no feature.*'planted__user_id'"):
        chosen_from.select(FeatureSettings(**{kind: ("planted__userid",)}))  # type: ignore[arg-type]


def test_a_pattern_may_name_what_only_another_competition_has(chosen_from: Catalogue) -> None:
    assert chosen_from.select(FeatureSettings(include=("*channel_id", "planted__user_id"))) == (
        "planted__user_id",
    )


def test_a_needed_column_that_is_not_there_is_refused(chosen_from: Catalogue) -> None:
    with pytest.raises(ConfigError, match=r"'planted__channel_id' is not available here.*channel_id"):
        chosen_from.select(FeatureSettings(), needs=["planted__channel_id"])
    with pytest.raises(ConfigError, match="no feature 'ranks'"):
        chosen_from.select(FeatureSettings(), needs=["ranks"])


ORDER_SCRIPT = """
import sys
from pathlib import Path
from competitions import get_competition, random_tables, take_in
from features import load_catalogue
competition = get_competition("movielens")
tables = random_tables(competition, n_users=20, n_items=20, n_rows=300, seed=1)
print(list(load_catalogue(take_in(competition, tables, Path(sys.argv[1]), fingerprint="x")).columns))
"""


def test_columns_have_the_same_order_in_every_process(tmp_path: Path) -> None:
    """Python hashes texts differently in each process; models see columns in the catalogue's order."""
    orders = [
        subprocess.run(
            [sys.executable, "-c", ORDER_SCRIPT, str(tmp_path)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert len(orders[0]) > 1000
    assert orders[0] == orders[1]
