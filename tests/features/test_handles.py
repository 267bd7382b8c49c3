"""A decorated feature is a handle: it names its columns, stands for them in others, and goes to workers by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

import features
from competitions import Dataset
from features import (
    Aggregate,
    Column,
    FeatureError,
    Log,
    Registry,
    Window,
    aggregate,
    bind_catalogue,
    column_of,
    compute_windows,
    count,
    fitted,
    horizon,
    last_n,
    load_registry,
    per_pair,
    table,
)
from features.rates import like_rate
from tests.features.planting import one_aggregate, one_fitted
from validation import Folds, window_pairs

REGISTRY = Registry()
wrongly: Any = features  # its types would say so too


@aggregate(keys=["user_id", ("user_id", "device"), ()], registry=REGISTRY)
def n_seen(log: Log) -> Aggregate:
    """Rows of the key; 0 if none."""
    return count()


@aggregate(keys=["user_id"], lookbacks=[horizon(1), last_n(3)], registry=REGISTRY)
def seen_lately(log: Log) -> Aggregate:
    """Recent rows of the key; 0 if none."""
    return count()


@per_pair(registry=REGISTRY)
def share_here(
    here: pl.Expr = n_seen["user_id", "device"], everywhere: pl.Expr = n_seen["user_id"]
) -> pl.Expr:
    """Share of the user's rows on the device; null without any."""
    return here / everywhere


@per_pair(each=[share_here, (n_seen[()],)], registry=REGISTRY)
def doubled(value: pl.Expr) -> pl.Expr:
    """Twice the value; null if it is unknown."""
    return value * 2


@table(key="user_id", columns={"n_stars": pl.UInt32}, needs=["stars"], registry=REGISTRY)
def stars(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Stars that the user gave; null without rows."""
    return history.group_by("user_id").agg(pl.col("stars").sum().cast(pl.UInt32).alias("n_stars"))


@fitted(
    columns={"best": Column(pl.Float32, "Highest value of the column; null without any.", range=(0, None))},
    needs=lambda of: [of],
    variants={"of_stars": {"of": "stars"}, "of_value": {"of": "value"}},
    registry=REGISTRY,
)
class Best:
    """Highest value of a column."""

    def __init__(self, of: str) -> None:
        self.of = of

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        self.best = history.select(pl.col(self.of).max().cast(pl.Float64)).collect().item()

    def transform(self, pairs: pl.DataFrame) -> dict[str, Any]:
        return {"best": np.full(pairs.height, np.nan if self.best is None else self.best)}


def test_subscripts_are_keys_and_lookbacks_are_chosen_by_keyword() -> None:
    assert n_seen["user_id"] == n_seen["user_id",] == n_seen.over("user_id") == "n_seen__user_id"
    assert n_seen["user_id", "device"] == "n_seen__user_id_x_device"
    assert n_seen[()] == "n_seen__everything"
    assert seen_lately.over("user_id", lookback=last_n(3)) == "seen_lately__user_id__last3"
    assert str(share_here) == "share_here"
    assert doubled[share_here] == "doubled__share_here"
    assert stars["n_stars"] == "n_stars__user_id"
    assert column_of(Best, "best", variant="of_value") == "best__of_value"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: n_seen["device"], "no column 'n_seen__device'.*n_seen__user_id_x_device"),
        (lambda: n_seen["user_id", "7d"], "no column 'n_seen__user_id_x_7d'.*subscripts are keys"),
        (lambda: seen_lately["user_id"], "Expected: one of seen_lately__user_id__h1, seen_lately__user_id__last3"),
        (lambda: seen_lately.over("user_id", lookback=horizon(9)), "no column 'seen_lately__user_id__h9'"),
        (lambda: str(n_seen), "has several columns"),
        (lambda: doubled["n_seen__user_id"], "no column 'doubled__n_seen__user_id'"),
        (lambda: stars["stars"], "Did you mean"),
        (lambda: column_of(Best, "best"), "best__of_stars, best__of_value"),
    ],
)  # fmt: skip
def test_what_does_not_exist_is_refused_with_what_does(wrong: Any, told: str) -> None:
    with pytest.raises(FeatureError, match=f"(?s)test_handles.py.*{told}"):
        wrong()


def test_columns_are_what_the_names_say(timed: Dataset, folds: Folds) -> None:
    catalogue = bind_catalogue(timed, REGISTRY)
    assert set(catalogue.columns) == {name for d in REGISTRY.declarations.values() for name in d.names}
    assert catalogue.columns["share_here"].reads == ("n_seen__user_id_x_device", "n_seen__user_id")
    window = folds.final.eval
    found = compute_windows(catalogue, list(catalogue.columns), {window: window_pairs(timed, window)})[window]
    share = pl.col("n_seen__user_id_x_device") / pl.col("n_seen__user_id")
    assert found.select(share.cast(pl.Float32).fill_nan(None).alias("share_here")).equals(
        found.select("share_here")
    )
    best = window.history(timed.log).select(pl.col("stars").max()).collect().item()
    assert found["best__of_stars"].unique().to_list() == [best]
    assert catalogue.columns["best__of_stars"].columns == ("stars",)
    assert catalogue.columns["best__of_stars"].range == (0, None)


def test_a_feature_still_is_the_function_or_class() -> None:
    assert like_rate.__name__ == "like_rate"
    assert "Smoothed share" in str(like_rate.__doc__)
    assert isinstance(Best(of="stars"), Best.__wrapped__)  # type: ignore[attr-defined]

    class Worst(Best):
        """Another one."""

    assert Worst(of="stars").of == "stars"


def test_declarations_go_to_another_process_by_name() -> None:
    declaration = load_registry().declarations["like_rate"]
    find, arguments = declaration.__reduce__()
    assert arguments == ("features.rates", "like_rate")
    assert find(*arguments) is declaration


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (lambda: wrongly.aggregate(keys=["item_id"], lookbacks=last_n(3)), "lookbacks=Lookback.* is a Lookback"),
        (lambda: wrongly.aggregate(keys={"item_id", "user_id"}), "keys=.* is a set"),
        (lambda: wrongly.aggregate(keys=[7]), "7 is neither a name nor a tuple of names"),
        (lambda: wrongly.aggregate(keys=["item_id"], lookbacks=[7]), "7 is not a lookback"),
        (lambda: n_seen["user_id", horizon(1)], r"neither a name .*feature.over\(key, lookback="),
        (lambda: stars["n_stars", "x"], "no column 'n_stars_x_x__user_id'"),
        (lambda: wrongly.horizon(1.5), "1.5 is not the size of a lookback"),
        (lambda: wrongly.last_n(True), "True is not the size of a lookback"),
        (lambda: wrongly.last_n("3"), "'3' is not the size of a lookback"),
        (lambda: wrongly.fitted(columns=["score"]), r"columns=\['score'\] is no mapping of names"),
        (lambda: wrongly.fitted(columns={}, variants=["a"]), r"variants=\['a'\] is no mapping of names"),
        (lambda: wrongly.per_pair(share_here), "@per_pair is put on <feature share_here>"),
        (lambda: wrongly.fitted(columns={}, registry=Registry())(stars.__wrapped__), "a class with fit and transform"),
        (lambda: wrongly.table(key="item_id", columns={})(type("Made", (), {}).mro), "is put on"),
        (lambda: wrongly.fitted(columns={})(type("Made", (), {})), "Made.*whose code is in no file"),
        (lambda: wrongly.per_pair(eval("lambda item_id: item_id")), "whose code is in no file"),
        (lambda: wrongly.last(10), r"write the lookback of the last rows of a key as last_n\(10\)"),
        (lambda: wrongly.mean("rating"), "given 'rating'.*such as log.rating"),
        (lambda: wrongly.smoothed(pl.col("like"), "3"), "strength of '3'"),
        (lambda: wrongly.count() + None, "meets None in arithmetic"),
        (lambda: wrongly.mean(pl.col("value")).map(lambda x: x.drop_nulls()), "looks at more than its own value"),
    ],
)  # fmt: skip
def test_what_is_written_wrongly_is_refused(write: Any, told: str) -> None:
    with pytest.raises(FeatureError, match=f"(?s){told}"):
        write()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"keys": []}, "has the columns none"),
        ({"keys": [("user_id", "user_id")]}, "keys that name each column once"),
        ({"dtype": float}, "has the dtype <class 'float'>"),
        ({"dtype": pl.Enum}, "has the dtype Enum"),
        ({"dtype": lambda log: pl.Float32()}, "has the dtype <function"),
        ({"where": pl.col("like")}, "a function of the log"),
        ({"range": (0, "1")}, r"has the range \(0, '1'\)"),
        ({"range": 1}, "has the range 1"),
    ],
)
def test_options_that_mean_nothing_are_refused_with_the_place(options: dict[str, Any], told: str) -> None:
    with pytest.raises(FeatureError, match=rf"(?s)'planted' \(test_handles.py:\d+\) .*{told}"):
        one_aggregate(lambda log: count(), **options)


def test_a_scope_and_a_meaning_are_held_to_what_they_may_be() -> None:
    with pytest.raises(FeatureError, match=r"(?s)has the scope 'usr'.*row, user, window"):
        one_fitted(len, {"n": pl.UInt32}, scope="usr")
    with pytest.raises(FeatureError, match="has the dtype <function"):
        one_fitted(len, {"n": Column(lambda: pl.UInt32())})  # type: ignore[arg-type, misc]  # of no log
    with pytest.raises(FeatureError, match=r"has the meaning \(0, 1\)"):
        one_fitted(len, {"n": Column(pl.UInt32, (0, 1))})  # type: ignore[arg-type]  # a range in its place


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"worth": [1.0]}, "arrays of {'worth': 1} values"),
        ([1.0, 2.0], "gave list.*mapping of column names to arrays"),
        (pl.DataFrame({"worth": [1.0]}), "gave 1 rows for"),
        ({"worth": 1.0}, "gave no arrays.*one value a pair"),
        ({"pair_id": "all", "worth": "all"}, "1 different pair_id of dtype Float64"),
        ({"other": "all"}, "did not give the column 'worth'"),
        ({"worth": "texts"}, "gave 'worth' as String.*Float32, as declared"),
    ],
)
def test_what_transform_gives_is_checked(timed: Dataset, folds: Folds, given: Any, told: str) -> None:
    registry, window = Registry(), folds.final.eval
    pairs = window_pairs(timed, window)
    if isinstance(given, dict):
        of = {"all": np.zeros(pairs.height), "texts": ["x"] * pairs.height}
        given = {
            name: of.get(values, values) if isinstance(values, str) else values
            for name, values in given.items()
        }

    class Odd:
        """A number."""

        def fit(self, history: pl.LazyFrame, window: Window) -> None: ...

        def transform(self, pairs: pl.DataFrame) -> Any:
            return given

    fitted(columns={"worth": pl.Float32}, registry=registry)(Odd)
    with pytest.raises(FeatureError, match=f"(?s)'odd' .*{told}"):
        compute_windows(bind_catalogue(timed, registry), ["worth"], {window: pairs})


def test_numbers_are_cast_and_what_is_no_number_is_null(timed: Dataset, folds: Folds) -> None:
    registry, window = Registry(), folds.final.eval
    pairs = window_pairs(timed, window)

    @fitted(
        columns={"worth": pl.Float32, "number": pl.UInt8, "flag": pl.Boolean, "list": pl.List(pl.Float64)},
        registry=registry,
    )
    class Mixed:
        """Numbers."""

        def fit(self, history: pl.LazyFrame, window: Window) -> None: ...

        def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
            n = pl.int_range(pairs.height)
            value = pl.when(n == 0).then(float("nan")).otherwise(n.cast(pl.Float64))
            return pairs.select(worth=value, number=n % 100, flag=n > 2, list=pl.concat_list(value, 1.0))

    @fitted(columns={"either": pl.Float32}, registry=registry)
    class Listed:
        """Whole numbers and others in one list."""

        def fit(self, history: pl.LazyFrame, window: Window) -> None: ...

        def transform(self, pairs: pl.DataFrame) -> Any:
            return {"either": [1, 0.5, None] + [float("nan")] * (pairs.height - 3)}

    @per_pair(dtype=pl.Int32, registry=registry)
    def no_number(pair_id: pl.Expr) -> pl.Expr:
        """The logarithm of a negative number is null."""
        return (-1 - pair_id).log()

    names = ["worth", "number", "flag", "list", "either", "no_number"]
    found = compute_windows(bind_catalogue(timed, registry), names, {window: pairs})
    values = found[window].sort("pair_id")
    assert values.schema == {"pair_id": values.schema["pair_id"], "worth": pl.Float32, "number": pl.UInt8,
                             "flag": pl.Boolean, "list": pl.List(pl.Float64), "either": pl.Float32,
                             "no_number": pl.Int32}  # fmt: skip
    assert values["list"].to_list()[:2] == [[None, 1.0], [1.0, 1.0]]
    assert values["either"].to_list()[:4] == [1.0, 0.5, None, None]
    assert values["no_number"].null_count() == pairs.height
    assert values["worth"].to_list()[:3] == [None, 1.0, 2.0]
    assert values["number"].to_list() == [n % 100 for n in range(pairs.height)]
