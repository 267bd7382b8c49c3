"""Which columns models see: patterns, stepping stones, transductive columns."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from competitions import Dataset
from engine import ConfigError, FeatureSettings
from features import (
    Aggregate,
    Catalogue,
    Log,
    aggregate,
    bind_catalogue,
    count,
    per_pair,
)
from tests.features.planting import (
    one_aggregate,
)

HERE = Path(__file__).name


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
    inputs = ("planted__item_id", "planted__user_id", "rank", "rank_of_all", "twice_the_rank")  # by name
    assert set(chosen_from.select(FeatureSettings())) == set(inputs)
    assert chosen_from.select(FeatureSettings(include=("planted*",))) == inputs[:2]
    assert chosen_from.select(FeatureSettings(include=("planted*",), exclude=("*item*",))) == inputs[1:2]
    assert chosen_from.select(FeatureSettings(include=("planted*",)), needs=["stone__user_id"]) == (
        *inputs[:2],
        "stone__user_id",
    )


def test_transductive_columns_can_be_switched_off(chosen_from: Catalogue) -> None:
    scopes = {name: chosen_from.columns[name].scope for name in ("rank", "twice_the_rank", "rank_of_all")}
    assert scopes == {"rank": "user", "twice_the_rank": "user", "rank_of_all": "window"}
    assert chosen_from.select(FeatureSettings(transductive=False)) == ("planted__item_id", "planted__user_id")


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
