"""What shares (source, key, lookback) is one pass over the log; what reads a per-pair column is a later level."""

from __future__ import annotations

import polars as pl
import pytest

from competitions import Dataset
from features import (
    Catalogue,
    FeatureError,
    Log,
    Registry,
    Window,
    aggregate,
    bind_catalogue,
    compute_window,
    count,
    fitted,
    horizon,
    last_n,
    mean,
    per_pair,
    smoothed,
    std,
    table,
)
from features._aggregation import Plan, make_plan
from validation import Folds, window_pairs


@pytest.fixture(scope="module")
def catalogue(timed: Dataset) -> Catalogue:
    registry = Registry()

    @aggregate(keys=["user_id", "item_id"], lookbacks=[None, horizon(1)], registry=registry)
    def n_plays(log: Log) -> object:
        """Number of plays."""
        return count()

    @aggregate(keys=["user_id", ("user_id", "kind")], lookbacks=[None, "4h", last_n(3)], registry=registry)
    def mean_stars(log: Log) -> object:
        """Mean of the stars."""
        return mean(log.stars)

    @aggregate(keys=["user_id"], where=lambda log: log.like, registry=registry)
    def n_liked(log: Log) -> object:
        """Number of liked plays."""
        return count()

    @aggregate(keys=["user_id"], where=lambda log: log.like, registry=registry)
    def liked_stars(log: Log) -> object:
        """Mean stars of liked plays."""
        return mean(log.stars)

    @aggregate(keys=["user_id"], where=lambda log: log.stars > 1, registry=registry)
    def n_bearable(log: Log) -> object:
        """Number of plays with more than one star."""
        return count()

    @aggregate(keys=["user_id"], registry=registry)
    def stars(log: Log) -> object:
        """Smoothed stars over their spread: shares states with mean_stars."""
        return smoothed(log.stars, strength=3) / std(log.stars)

    @per_pair(registry=registry)
    def per_play(n_liked__user_id: pl.Expr, n_plays__user_id: pl.Expr) -> pl.Expr:
        """Share of liked plays."""
        return n_liked__user_id / n_plays__user_id

    @per_pair(registry=registry)
    def age_in_days(age: pl.Expr) -> pl.Expr:
        """Age in days."""
        return age * 365

    @per_pair(scope="user", registry=registry)
    def rank_of_share(per_play: pl.Expr, user_id: pl.Expr) -> pl.Expr:
        """Rank of the share: one level above it."""
        return per_play.rank().over(user_id)

    @per_pair(registry=registry)
    def top(rank_of_share: pl.Expr, age_in_days: pl.Expr) -> pl.Expr:
        """Two levels above the share."""
        return rank_of_share + age_in_days

    @table(key="user_id", columns={"n_a": pl.UInt32, "n_b": pl.UInt32}, registry=registry)
    def counted(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """Two columns of one body."""
        n = pl.len().cast(pl.UInt32)
        return history.group_by("user_id").agg(n.alias("n_a"), (n * 2).alias("n_b"))

    @fitted(columns={"a": pl.Float32, "b": pl.Float32}, variants={"x": {}, "y": {}}, registry=registry)
    class Both:
        """Two columns of two variants."""

        def fit(self, history: pl.LazyFrame, window: Window) -> None:
            pass

        def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
            one = pl.lit(1.0, pl.Float32)
            return pairs.select("pair_id", one.alias("a"), one.alias("b"))

    return bind_catalogue(timed, registry)


@pytest.fixture(scope="module")
def plan(catalogue: Catalogue) -> Plan:
    return make_plan(catalogue, catalogue.columns)


def names(columns: object) -> set[str]:
    assert isinstance(columns, tuple)
    return {c.name for c in columns}


def test_columns_with_one_source_key_and_lookback_share_a_pass(plan: Plan) -> None:
    passes = {frozenset(names(one.columns)) for one in plan.passes}
    assert passes == {
        frozenset({"n_plays__user_id", "mean_stars__user_id", "stars__user_id"}),
        frozenset({"n_plays__item_id"}),
        frozenset({"n_plays__user_id__h1"}),
        frozenset({"n_plays__item_id__h1"}),
        frozenset({"mean_stars__user_id__4h"}),
        frozenset({"mean_stars__user_id__last3"}),
        frozenset({"mean_stars__user_id_x_kind"}),
        frozenset({"mean_stars__user_id_x_kind__4h"}),
        frozenset({"mean_stars__user_id_x_kind__last3"}),
        frozenset({"n_liked__user_id", "liked_stars__user_id"}),
        frozenset({"n_bearable__user_id"}),
    }


def test_equal_states_are_computed_once(plan: Plan) -> None:
    (fused,) = (one for one in plan.passes if "stars__user_id" in names(one.columns))
    states = sorted((s.operation, s.everywhere) for s in fused.states)
    assert states == [
        ("count", False),
        ("deviation", False),
        ("squares", False),
        ("total", False),
        ("total", True),
        ("valid", False),
        ("valid", True),
    ]


def test_columns_of_one_body_and_variant_are_one_run(plan: Plan) -> None:
    assert [names(one) for one in plan.bodies] == [
        {"n_a__user_id", "n_b__user_id"},
        {"a__x", "b__x"},
        {"a__y", "b__y"},
    ]


def test_per_pair_columns_of_one_level_are_one_projection(plan: Plan) -> None:
    assert [names(level) for level in plan.levels] == [
        {"per_play", "age_in_days"},
        {"rank_of_share"},
        {"top"},
    ]


def test_only_the_named_columns_are_planned(catalogue: Catalogue) -> None:
    plan = make_plan(catalogue, ["rank_of_share", "n_plays__item_id", "n_plays__item_id"])
    assert [names(one.columns) for one in plan.passes] == [{"n_plays__item_id"}]
    assert [names(level) for level in plan.levels] == [{"rank_of_share"}]
    assert plan.bodies == ()


def test_fused_equals_each_column_by_itself(catalogue: Catalogue, timed: Dataset, folds: Folds) -> None:
    window = folds.final.eval
    pairs = window_pairs(timed, window)
    fused = compute_window(catalogue, window, list(catalogue.columns), pairs)
    for name in catalogue.columns:
        alone = compute_window(catalogue, window, catalogue.closure([name]), pairs)
        assert alone[name].equals(fused[name]), name


def test_the_order_of_pairs_changes_no_value(timed: Dataset, folds: Folds) -> None:
    registry = Registry()

    @per_pair(scope="user", registry=registry)
    def place(user_id: pl.Expr) -> pl.Expr:
        """Position among the user's pairs: it depends on the order, so there must be one."""
        return user_id.cum_count().over(user_id)

    catalogue = bind_catalogue(timed, registry)
    window = folds.final.eval
    pairs = window_pairs(timed, window)
    shuffled = pairs.sample(fraction=1.0, shuffle=True, seed=2)
    values = compute_window(catalogue, window, ["place"], shuffled)
    assert values["pair_id"].equals(shuffled["pair_id"])
    assert values.sort("pair_id").equals(compute_window(catalogue, window, ["place"], pairs))


def test_a_column_without_what_it_reads_is_named(catalogue: Catalogue, timed: Dataset, folds: Folds) -> None:
    window = folds.final.eval
    with pytest.raises(FeatureError, match="per_play"):
        compute_window(catalogue, window, ["per_play"], window_pairs(timed, window))


def test_closure_names_what_is_read_first(catalogue: Catalogue) -> None:
    assert catalogue.closure(["top"]) == (
        "n_plays__user_id",
        "n_liked__user_id",
        "per_play",
        "age_in_days",
        "rank_of_share",
        "top",
    )
    with pytest.raises(FeatureError, match="Did you mean 'rank_of_share'"):
        catalogue.closure(["rank_of_shares"])
