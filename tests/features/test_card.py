"""Cards: what a column looks like, is worth and costs, held against numpy and the metric itself."""

from __future__ import annotations

import doctest
import re
from collections.abc import Sequence
from io import StringIO
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from typer.testing import CliRunner

from competitions import Dataset, opened
from engine import Settings, Store
from features import (
    Aggregate,
    Catalogue,
    FeatureError,
    Log,
    Registry,
    _card,
    _card_text,
    _meaning,
    aggregate,
    bind_catalogue,
    compute_features,
    last,
    mean,
    per_pair,
    rank_correlation,
    read_features,
    table,
)
from features import __main__ as command
from features._card import SHARES, Card, card_columns, card_file_name, make_cards
from features._card_near import nearest_of
from features._card_page import cards_html
from features._card_show import show_cards
from tests.features import storing
from validation import Folds, Window, evaluate, psi

EVIL = "<script>alert('x')</script> [bold]&amp;"
NAMES = (
    "rate__item_id",
    "twice",
    "gap",
    "shown_on",
    "is_old",
    "last_at__user_id",
    "vector__user_id",
    "tenth",
)


def registry() -> Registry:
    """The features of ``storing``, and one of each dtype that has no number."""
    features = storing.registry(meaning=f"Smoothed {EVIL}; null only without any history.")

    @per_pair(registry=features)
    def shown_on(device: pl.Expr) -> pl.Expr:
        """Device of the pair; null if unknown."""
        return device

    @per_pair(registry=features)
    def is_old(age: pl.Expr) -> pl.Expr:
        """Whether the user is over fifty; null if the age is unknown."""
        return age > 50

    @per_pair(registry=features)
    def tenth(age: pl.Expr) -> pl.Expr:
        """A tenth of the age; null if unknown."""
        return age / 10

    @aggregate(keys=["user_id"], model_input=False, registry=features)
    def last_at(log: Log) -> Aggregate:
        """Instant of the last row; null if there is none."""
        return last(log.at)

    @aggregate(keys=["user_id"], lookbacks=["2h"], registry=features)
    def lately(log: Log) -> Aggregate:
        """Mean stars of late; null if there are none."""
        return mean(log.stars)

    @table(key="user_id", columns={"vector": pl.Array(pl.Float32, 5)}, needs=["stars"], registry=features)
    def vectors(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """Five times the same number; null for a user without rows."""
        most = history.group_by("user_id").agg(pl.col("stars").max().cast(pl.Float32))
        return most.select("user_id", vector=pl.concat_list(["stars"] * 5).list.to_array(5))

    return features


@pytest.fixture(scope="module")
def catalogue(timed: Dataset) -> Catalogue:
    return bind_catalogue(timed, registry())


@pytest.fixture(scope="module")
def own_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("cards")
    return Settings(store=folder / "store", reports=folder / "reports", backend="inline")


@pytest.fixture(scope="module")
def cards(catalogue: Catalogue, folds: Folds, own_settings: Settings) -> dict[str, Card]:
    made = make_cards(catalogue, folds, NAMES, Store(own_settings.store), own_settings)
    return {card.column.name: card for card in made}


@pytest.fixture(scope="module")
def values(
    catalogue: Catalogue, folds: Folds, own_settings: Settings, cards: dict[str, Card]
) -> pl.DataFrame:
    assert cards
    return read_features(catalogue, folds.windows, NAMES, Store(own_settings.store))


def test_windows_are_those_of_the_folds_and_values_those_of_numpy(
    cards: dict[str, Card], values: pl.DataFrame, folds: Folds
) -> None:
    assert [w.title for w in cards["gap"].windows][-3:] == ["fold1", "fold2", "test"]
    for name in ("gap", "tenth", "rate__item_id"):
        test = values.filter(pl.col("window") == folds.final.eval.cutoff)[name]
        for found, window in zip(cards[name].windows, folds.windows, strict=True):
            column = values.filter(pl.col("window") == window.cutoff)[name]
            known = column.drop_nulls().cast(pl.Float64).to_numpy()
            assert (found.name, found.n_pairs) == (window.name, len(column))
            assert found.null_share == pytest.approx(column.null_count() / len(column))
            assert found.n_distinct == len(set(known))
            assert found.mean == pytest.approx(np.mean(known))
            assert found.std == pytest.approx(np.std(known, ddof=1))
            wanted = np.quantile(known, list(SHARES.values()), method="inverted_cdf")
            assert np.array(found.quantiles, dtype=float) == pytest.approx(wanted)
            assert found.psi == (None if found.title == "test" else pytest.approx(psi(column, test)))


def test_scores_are_the_metric_of_the_column_alone(
    cards: dict[str, Card], values: pl.DataFrame, folds: Folds, timed: Dataset
) -> None:
    card = cards["rate__item_id"]
    assert card.score is not None
    sign = 1 if card.score.direction == "higher" else -1
    scored = values.with_columns(score=sign * pl.col("rate__item_id"))
    metric, group = timed.competition.metric, ("window", "user_id")
    evals = {fold.name: fold.eval.cutoff for fold in folds.folds}
    every = scored.filter(pl.col("window").is_in(list(evals.values())))
    assert card.score.value == pytest.approx(evaluate(metric, every, group=group))
    for name, cutoff in evals.items():
        found = evaluate(metric, every.filter(pl.col("window") == cutoff), group=group)
        assert card.fold_scores[name] == pytest.approx(found)
    assert card.chance == 0.5


def test_what_has_no_order_has_no_score_and_no_neighbours(cards: dict[str, Card]) -> None:
    for name in ("shown_on", "vector__user_id"):
        assert (cards[name].score, cards[name].fold_scores, cards[name].nearest) == (None, {}, ())
    assert cards["shown_on"].psi is not None
    assert cards["vector__user_id"].psi is None
    assert cards["vector__user_id"].distribution.labels == ()
    assert {w.n_distinct for w in cards["vector__user_id"].windows} == {None}
    assert cards["is_old"].distribution.labels == ("False", "True")
    assert cards["is_old"].score is not None
    assert cards["last_at__user_id"].windows[-1].quantiles


def test_shares_of_the_distribution_sum_to_one(cards: dict[str, Card], values: pl.DataFrame) -> None:
    for name in ("gap", "shown_on", "is_old", "last_at__user_id"):
        spread = cards[name].distribution
        for window in cards[name].windows:
            shares = spread.of(window.title)
            assert len(shares) == len(spread.labels)
            assert sum(shares) == pytest.approx(1.0 if window.null_share < 1 else 0.0)
    on = values["shown_on"].drop_nulls()
    assert set(cards["shown_on"].distribution.labels) == set(on.unique().to_list())


def test_nearest_columns_are_those_of_brute_force(cards: dict[str, Card]) -> None:
    rng = np.random.default_rng(3)
    base = rng.normal(size=400)
    columns = {f"x{i}": pl.Series(base + rng.normal(size=400) * i / 4) for i in range(9)}
    columns["holes"] = pl.Series([None if x < 0 else float(x) for x in -base])
    columns["flat"] = pl.Series([1.0] * 400)
    columns["empty"] = pl.Series([None] * 400, dtype=pl.Float64)
    found = nearest_of(columns, list(columns))
    strength = {
        frozenset(p): rank_correlation(columns[p[0]], columns[p[1]]) for p in combinations(columns, 2)
    }
    for name, near in found.items():
        others = {o: strength[frozenset((name, o))] for o in columns if o != name}
        best = sorted(((o, c) for o, c in others.items() if c is not None), key=lambda p: (-abs(p[1]), p[0]))[
            :5
        ]
        assert [(n.name, n.correlation) for n in near] == best
    assert found["flat"] == found["empty"] == ()
    assert cards["twice"].nearest[0].name == "gap"
    assert cards["twice"].nearest[0].correlation == pytest.approx(1.0)


def test_facts_say_what_it_is(cards: dict[str, Card]) -> None:
    facts = dict(_card_text.card_facts(cards["gap"]))
    assert facts["Written in"].startswith("features/storing.py:")
    assert (facts["Kind"], facts["Dtype"]) == ("@per_pair", "Float32")
    assert facts["Reads"] == "rate__user_id, rate__item_id"
    assert facts["Read by"] == "twice"
    assert facts["Cost"].endswith("s in all windows, when it was last made")
    facts = dict(_card_text.card_facts(cards["rate__item_id"]))
    assert (facts["Key"], facts["Lookback"]) == ("item_id", "all of the history")
    assert facts["Null"] == "null only without any history"


def test_examples_are_pairs_of_the_last_eval_window(
    cards: dict[str, Card], values: pl.DataFrame, folds: Folds
) -> None:
    last_window = values.filter(pl.col("window") == folds.folds[-1].eval.cutoff)
    for name in NAMES:
        rows = {
            tuple(map(str, row)) for row in last_window.select("user_id", "item_id", name, "relevance").rows()
        }
        examples = cards[name].examples
        assert 0 < examples.height <= 6
        assert {tuple(map(str, row)) for row in examples.rows()} <= rows
    assert cards["gap"].examples["value"].drop_nulls().is_sorted()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("rate", ["rate__user_id", "rate__item_id"]),
        ("rate__item_id", ["rate__item_id"]),
        ("*__item_id", ["rate__item_id", "half__item_id"]),
        ("vectors", ["vector__user_id"]),
        ("Constant", ["c__a", "c__b"]),
        ("constant", ["c__a", "c__b"]),
    ],
)
def test_a_name_stands_for_columns(catalogue: Catalogue, name: str, found: list[str]) -> None:
    assert list(card_columns(catalogue, name)) == found


def test_an_unknown_name_is_told_with_the_nearest_and_a_lacking_one_with_the_reason(timed: Dataset) -> None:
    features = registry()

    @aggregate(keys=["user_id"], registry=features)
    def starred(log: Log) -> Aggregate:
        """Mean rating; null if there is none."""
        return mean(log.rating)

    catalogue = bind_catalogue(timed, features)
    with pytest.raises(FeatureError, match="Did you mean 'twice'"):
        card_columns(catalogue, "twise")
    for name in ("starred", "starred__user_id"):
        with pytest.raises(FeatureError, match="is not available here: it needs the column 'rating'"):
            card_columns(catalogue, name)


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "..", "*", "", "x" * 400, "C:\\x", "né"])
def test_the_file_of_a_card_stays_in_its_folder(name: str) -> None:
    assert re.fullmatch(r"card_[A-Za-z0-9_-]{0,120}\.html", card_file_name(name))


def test_a_page_escapes_what_users_write_and_is_the_same_twice(cards: dict[str, Card]) -> None:
    page = cards_html(EVIL, EVIL, list(cards.values()))
    assert EVIL not in page
    assert page.count("<script") == 3  # specifications, runtime, our own
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; [bold]&amp;amp;" in page
    assert cards_html(EVIL, EVIL, list(cards.values())) == page


def printed(cards: Sequence[Card]) -> str:
    console = Console(width=100, file=StringIO())
    show_cards(cards, console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_terminal_shows_names_as_text_within_its_width(cards: dict[str, Card]) -> None:
    for chosen in ([cards["rate__item_id"]], [cards["vector__user_id"]], list(cards.values())):
        text = printed(chosen)
        assert max(map(len, text.splitlines())) <= 100
        assert all(card.column.name in text for card in chosen)
    assert EVIL in printed([cards["rate__item_id"]])


def test_the_command_prints_and_writes_a_card(timed: Dataset, own_settings: Settings) -> None:
    options = [f"--set={key}={str(getattr(own_settings, key))!r}" for key in ("store", "reports")]
    options += ["--set=backend='inline'", "--set=folds.n_folds=2", "--set=folds.n_train_windows=2"]
    with opened(timed):
        result = CliRunner(env={"COLUMNS": "100"}).invoke(
            command.app, [*options, "card", "n_exposures__user_id"], catch_exceptions=False
        )
    assert "Number of exposures (rows of the log) of the key." in result.output
    assert "fold2" in result.output
    page = (own_settings.reports / "card_n_exposures__user_id.html").read_text(encoding="utf-8")
    assert "Content-Security-Policy" in page
    with opened(timed), pytest.raises(FeatureError, match="There is no feature 'n_exposure_'"):
        CliRunner().invoke(command.app, [*options, "card", "n_exposure_"], catch_exceptions=False)


def test_a_card_computes_only_what_is_missing(
    catalogue: Catalogue, folds: Folds, own_settings: Settings, cards: dict[str, Card]
) -> None:
    assert cards
    assert compute_features(catalogue, folds.windows, NAMES, Store(own_settings.store), own_settings) == 0


def test_examples_of_docstrings_hold() -> None:
    for module in (_card, _card_text, _meaning):
        assert doctest.testmod(module).failed == 0
