"""Cards: what a column looks like, is worth and costs, held against numpy and the metric itself."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import polars as pl
import pytest

from competitions import Dataset
from engine import Settings, Store
from features import Catalogue, bind_catalogue, compute_features, rank_correlation, read_features
from features._cards import SHARES, Card, make_cards, nearest_of
from features._cards import words as _card_text
from tests.features.carded import NAMES, registry
from validation import Folds, evaluate, psi


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


def test_a_card_computes_only_what_is_missing(
    catalogue: Catalogue, folds: Folds, own_settings: Settings, cards: dict[str, Card]
) -> None:
    assert cards
    assert compute_features(catalogue, folds.windows, NAMES, Store(own_settings.store), own_settings) == 0
