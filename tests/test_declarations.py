"""Whatever is declared wrong is refused at once with a message, or it works: every field by every kind of value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl
import pytest

from competitions import Clock, Competition, Dataset, LogShare, Metric, SubmissionFormat, Threshold, take_in
from engine import ConfigError, FoldSettings, SamewiseError, Settings, load_settings
from features import (
    Column,
    Feature,
    Registry,
    aggregate,
    bind_catalogue,
    fitted,
    horizon,
    per_pair,
    streamed,
    table,
)
from models import build_models, model_kinds
from stacking import blenders, make_plan
from submissions._gate import Gate, check_bytes, scored_pairs, submission_bytes
from tests.bodies import Fit, Stream, average, doubled, n_rows
from tests.competitions.shop import HOUR, SHOP, shop_tables
from validation import evaluate, plan_folds, window_pairs, window_relevance

NAN, INF, LONG = float("nan"), float("inf"), "x" * 300
SECONDS = pl.col("seconds")
RAW = ("polars", "Traceback", "unhashable", "not subscriptable", "has no attribute", "takes no arguments")

NUMBERS: list[Any] = [-1, 0, 10**30, 0.5, NAN, INF, True]
TEXTS: list[Any] = ["", LONG, "no_such", "a b\n", "score", "user_id", "at", b"x", b"", "\ud800"]
LISTS: list[Any] = [[], {3}, [None], ["no_such"], ["user_id", "user_id"], [["user_id"] * 2]]
TABLES: list[Any] = [{}, {1: 2}, {"": ""}, {"a": "user_id", "b": "score"}]
OTHERS: list[Any] = [None, object(), dy.Schema, lambda *a: None, pl.Object, pl.LazyFrame(), range(3)]
EXPRESSIONS: list[Any] = [
    pl.col("no_such"),
    pl.lit(None),
    pl.lit("x"),
    SECONDS,
    SECONDS.median(),
    SECONDS.shift(),
    pl.len().over("user_id"),
    SECONDS.map_batches(lambda s: s - s.mean()),
    pl.all(),
]
VALUES = [*NUMBERS, *TEXTS, *LISTS, *TABLES, *OTHERS, *EXPRESSIONS]

TABLES_OF_SHOP = shop_tables()
BASE = replace(
    SHOP,
    thresholds={"usual": Threshold(SECONDS)},
    horizon=LogShare(1, 6),
    remarks={"are long": pl.col("long")},
    dense="seconds",
    dense_per="price",
    leave_out=("a*",),
    submission=SubmissionFormat({"user": "user_id", "pair": "pair_id", "score": "score"}),
)
PARTS: list[Any] = [Clock("row"), Metric("ndcg_at_k"), Metric("log_loss"), LogShare(1, 2), SHOP.submission]
NESTED = [
    (name, field.name)
    for name in ("clock", "metric", "submission", "horizon")
    for field in fields(getattr(BASE, name))
]
WITHIN = [
    *(
        ("derived", "long"),
        ("remarks", "are long"),
        ("thresholds", "usual"),
        ("submission", "columns", "user"),
    ),
    *(("thresholds", "usual", field.name) for field in fields(Threshold)),
    *(
        ("metric", "policy", key)
        for key in ("one_class", "min_relevance", "leave_out_pairs", "weight", "no_such")
    ),
]


def with_value(whole: Any, path: tuple[str, ...], value: object) -> Any:
    """The declaration with another value at a place in it."""
    name, *rest = path
    if isinstance(whole, Mapping):
        return {**whole, name: with_value(whole[name], tuple(rest), value) if rest else value}
    return replace(whole, **{name: with_value(getattr(whole, name), tuple(rest), value) if rest else value})


def refused(run: Callable[[], object]) -> bool:
    """Whether it ends with an error of ours, which quotes nobody else's; any other error fails the test."""
    try:
        run()
    except SamewiseError as error:
        message = str(error)
    else:
        return False
    is_of_the_author = " failed" in message  # a function of theirs, which was called
    assert is_of_the_author or [word for word in RAW if word in message] == [], message
    return True


def run_to_a_file(dataset: Dataset) -> None:
    """Folds, metric and file of a competition that was taken in."""
    c = dataset.competition
    window = plan_folds(dataset, FoldSettings(n_folds=1, n_train_windows=1)).folds[0].eval
    rows = window_pairs(dataset, window).join(window_relevance(dataset, window), on="pair_id")
    score = pl.col("pair_id").cast(pl.Float64) / 7
    evaluate(c.metric, rows.with_columns(score=score), group=[c.user])
    gate = Gate.of(dataset)
    scores = gate.pairs.select("pair_id", score=score)
    assert check_bytes(gate, submission_bytes(gate, scored_pairs(gate, scores))).refusals == ()


@pytest.mark.parametrize("path", [*((field.name,) for field in fields(BASE)), *NESTED, *WITHIN], ids=".".join)
def test_a_competition(path: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> None:
    def run(value: object) -> None:
        changed: Competition = with_value(BASE, path, value)
        run_to_a_file(take_in(changed, TABLES_OF_SHOP, tmp_path_factory.mktemp("data"), fingerprint="f"))

    assert not refused(
        lambda: run_to_a_file(take_in(BASE, TABLES_OF_SHOP, tmp_path_factory.mktemp("data"), fingerprint="f"))
    )
    n_refused = sum(refused(partial(run, value)) for value in [*VALUES, *PARTS])
    assert n_refused > 0


ROLES: dict[str, Callable[[], dict[str, Any]]] = {
    "source": lambda: {"source": "extra"},
    "file": lambda: {"submission": SubmissionFormat({"x": "extra", "p": "pair_id", "s": "score"})},
    "time": lambda: {"clock": Clock("time", "extra"), "horizon": LogShare(1, 6)},
    "per_user": lambda: {"clock": Clock("per_user", "extra", steps=4), "horizon": 1},
    "outcome": lambda: {"outcomes": ("seconds", "extra")},
    "dense": lambda: {"dense": "extra", "outcomes": ("seconds", "extra")},
    "dense_per": lambda: {"dense": "seconds", "dense_per": "extra"},
    "relevance": lambda: {"relevance": pl.col("extra"), "outcomes": ("seconds", "extra")},
    "threshold": lambda: {"thresholds": {"usual": Threshold(pl.col("extra"))}},
    "user": lambda: {"user": "extra", "users": None},
    "item": lambda: {"item": "extra", "items": None, "source": None},
}


@pytest.mark.parametrize("role", ROLES)
def test_a_column_of_any_dtype_in_any_role(role: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    numbers = pl.Series([i % 3 for i in range(24)])
    extras = [
        numbers.cast(d) for d in (pl.Int8, pl.UInt64, pl.Float32, pl.Decimal(10, 2), pl.Boolean, pl.String)
    ]
    extras += [numbers.cast(d) for d in (pl.Date, pl.Datetime("us"), pl.Time, pl.Duration("us"))]
    extras += [numbers.cast(pl.String).cast(d) for d in (pl.Binary, pl.Categorical, pl.Enum(["0", "1", "2"]))]
    extras += [
        numbers.reshape((24, 1)),
        numbers.reshape((24, 1)).arr.to_list(),
        numbers.to_frame("a").to_struct("a"),
    ]
    kinds: list[Callable[[], dy.Column]] = [
        dy.Int8,
        dy.UInt64,
        dy.Float32,
        lambda: dy.Decimal(10, 2),
        dy.Bool,
        dy.String,
        dy.Date,
        dy.Datetime,
        dy.Time,
    ]
    kinds += [dy.Duration, dy.Binary, dy.Categorical, lambda: dy.Enum(["0", "1", "2"])]
    kinds += [
        lambda: dy.Array(dy.Int64(), 1),
        lambda: dy.List(dy.Int64()),
        lambda: dy.Struct({"a": dy.Int64()}),
    ]
    base = TABLES_OF_SHOP

    def run(extra: pl.Series, kind: Callable[[], dy.Column]) -> None:
        log = base.interactions.with_columns(extra.alias("extra"))
        changes = {**ROLES[role](), "interactions": type("L", (SHOP.interactions,), {"extra": kind()})}
        without: dict[str, Any] = {f"{r}s": None for r in ("user", "item") if r == role}
        tables = replace(base, interactions=log, **without)
        folder = tmp_path_factory.mktemp("data")
        run_to_a_file(take_in(replace(SHOP, **changes), tables, folder, fingerprint="f"))

    for extra, kind in zip(extras, kinds, strict=True):
        refused(partial(run, extra, kind))


def test_an_object_is_refused_everywhere(tmp_path: Path) -> None:
    objects = type("L", (SHOP.interactions,), {"extra": dy.Object()})
    assert refused(
        lambda: take_in(replace(SHOP, interactions=objects), TABLES_OF_SHOP, tmp_path, fingerprint="f")
    )


A = {"a": pl.Float32}
COMMON = {"fill": None, "model_input": True}
PYTHON: dict[str, Any] = {"columns": A, "needs": ["seconds"], "variants": None, "scope": "row", **COMMON}
ON_PAIRS = {"dtype": None, "range": None, **COMMON}
DECORATORS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "aggregate": (aggregate, average, {"keys": ["user_id"], "lookbacks": [None], "where": None, **ON_PAIRS}),
    "per_pair": (per_pair, doubled, {"scope": "row", "each": (), **ON_PAIRS}),
    "table": (table, n_rows, {"key": "item_id", "columns": A, "needs": (), **COMMON}),
    "fitted": (fitted, Fit, PYTHON),
    "streamed": (streamed, Stream, {**PYTHON, "step": 100, "refine": 0}),
}
DECLARED: list[Any] = [
    *(
        {"a": pl.Object},
        {"a": float},
        {"a": Column(pl.Float32, range=(1, 0))},
        {"": pl.Float32},
        {LONG: pl.Float32},
    ),
    *({"v": {"n": 1}}, {"v": {"no": 1}}, {"v": 3}, {"": {"n": 1}}, ["7d", "7d"], [None, None], [horizon(1)]),
    *(
        (0, 1),
        (1, 0),
        (0,),
        (NAN, 1),
        ("a", "b"),
        lambda log: 3,
        lambda log: log.seconds,
        lambda n=1: 3,
        lambda n=1: ["no_such"],
    ),
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    declared = replace(SHOP, horizon=3 * HOUR)
    return take_in(declared, TABLES_OF_SHOP, tmp_path_factory.mktemp("data"), fingerprint="f")


@pytest.mark.parametrize(
    ("kind", "option"), [(kind, option) for kind, (_, _, options) in DECORATORS.items() for option in options]
)
def test_a_decorator(shop: Dataset, kind: str, option: str) -> None:
    decorator, body, options = DECORATORS[kind]

    def run(value: object) -> None:
        registry = Registry()
        decorator(**{**options, option: value}, registry=registry)(body)
        bind_catalogue(shop, registry)

    assert not refused(lambda: run(options[option]))
    assert sum(refused(partial(run, value)) for value in [*VALUES, *DECLARED]) > 0


@pytest.mark.parametrize(
    ("kind", "option", "one"),
    [
        ("aggregate", "keys", "user_id"),
        ("aggregate", "lookbacks", "7d"),
        ("per_pair", "each", "price"),
        ("table", "needs", "seconds"),
        ("fitted", "needs", "seconds"),
        ("streamed", "needs", "seconds"),
    ],
)
def test_one_name_is_a_list_of_one(kind: str, option: str, one: str) -> None:
    decorator, body, options = DECORATORS[kind]
    first, second = (
        decorator(**{**options, option: given}, registry=Registry())(body) for given in (one, [one])
    )
    assert isinstance(first, Feature)
    assert first.declaration.options == second.declaration.options


def leaves(model: Any, above: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield above + name
        if hasattr(field.annotation, "model_fields"):
            yield from leaves(field.annotation, f"{above}{name}.")


def parameters() -> Iterator[str]:
    for word, kinds in (
        ("models", model_kinds()),
        ("blenders", {n: type(b) for n, b in blenders({}).items()}),
    ):
        for name, kind in kinds.items():
            names = (*(field.name for field in fields(kind)), "kind", "enabled", "no_such")  # type: ignore[arg-type]
            yield from (f"{word}.{name}.{parameter}" for parameter in names)
        yield from (f"{word}.x", f"{word}.catboost")


TOML = [
    *('""', f'"{LONG}"', "-1", "0", f"{10**30}", "0.5", "nan", "inf", "true", "[1]", "[[]]", "{}", "{a=1}"),
    *("{kind=[1]}", "{enabled='no'}", "2020-01-01", "none", "[nan]"),
]
FOLDERS = {"data", "store", "reports", "runs", "out", "competition"}


@pytest.mark.parametrize("key", sorted({*leaves(Settings), *parameters()} - FOLDERS))
def test_a_setting(shop: Dataset, tmp_path: Path, key: str) -> None:
    (tmp_path / "config.toml").write_text("[models.catboost]\n")

    def run(value: str) -> None:
        settings = load_settings(tmp_path / "config.toml", [f"{key}={value}"])
        build_models(settings)
        blenders(settings.blenders)
        plan_folds(shop, settings.folds)

    assert sum(refused(partial(run, value)) for value in TOML) > 0


def test_a_table_that_is_given_whole_takes_the_place_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[models.catboost]\ndepth = 4\n[folds]\nn_folds = 2\n")
    settings = load_settings(tmp_path / "config.toml", ["models={}", "folds.n_train_windows=2"])
    assert settings.models == {}
    assert (settings.folds.n_folds, settings.folds.n_train_windows) == (2, 2)
    with pytest.raises(ConfigError, match="No model is enabled"):
        make_plan(settings)
    one = load_settings(tmp_path / "config.toml", ["models={column={}}", "models.column.column='a'"])
    assert one.models == {"column": {"column": "a"}}
