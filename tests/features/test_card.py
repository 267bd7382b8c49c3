"""Cards: what a column looks like, is worth and costs, held against numpy and the metric itself; how it is shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from typer.testing import CliRunner

from competitions import Clock, Dataset, opened
from engine import FoldSettings, Settings, Store
from features import (
    Aggregate,
    Catalogue,
    FeatureError,
    Log,
    Registry,
    Window,
    aggregate,
    bind_catalogue,
    compute_features,
    mean,
    per_pair,
    read_features,
    table,
)
from features import __main__ as command
from features._cards import (
    SHARES,
    Card,
    card_columns,
    card_facts,
    card_file_name,
    cards_html,
    make_cards,
    nearest_of,
    show_cards,
)
from features._compute import rank_correlation
from tests.features.carded import EVIL, NAMES, registry
from validation import Folds, evaluate, plan_folds, window_title


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
    clock = Clock("time", column="at")
    for name in ("gap", "tenth", "rate__item_id"):
        for found, window in zip(cards[name].windows, folds.windows, strict=True):
            column = values.filter(pl.col("window") == window.cutoff)[name]
            known = column.drop_nulls().cast(pl.Float64).to_numpy()
            assert (found.name, found.n_pairs) == (window_title(clock, window), len(column))
            assert found.null_share == pytest.approx(column.null_count() / len(column))
            assert found.n_distinct == len(set(known))
            assert found.mean == pytest.approx(np.mean(known))
            assert found.std == pytest.approx(np.std(known, ddof=1))
            wanted = np.quantile(known, list(SHARES.values()), method="inverted_cdf")
            assert np.array(found.quantiles, dtype=float) == pytest.approx(wanted)


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
    assert cards["shown_on"].drift.psi is not None
    assert cards["vector__user_id"].drift.psi is None
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
    for name, near in nearest_of(columns, list(columns)).items():
        others = {o: rank_correlation(columns[name], columns[o]) for o in columns if o != name}
        known = [(other, value) for other, value in others.items() if value is not None]
        assert [(n.name, n.correlation) for n in near] == sorted(known, key=lambda p: (-abs(p[1]), p[0]))[:5]
        assert bool(near) == (name not in ("flat", "empty"))
    assert cards["twice"].nearest[0].name == "gap"
    assert cards["twice"].nearest[0].correlation == pytest.approx(1.0)


def test_facts_say_what_it_is(cards: dict[str, Card]) -> None:
    facts = dict(card_facts(cards["gap"]).facts)
    assert facts["Written in"].startswith("features/storing.py:")
    assert (facts["Kind"], facts["Dtype"]) == ("@per_pair", "Float32")
    assert facts["Reads"] == "rate__user_id, rate__item_id"
    assert facts["Read by"] == "twice"
    said, drift = facts["Drift"], cards["gap"].drift
    assert said.startswith("drifts: " if drift.moves else "no more than by chance: ")
    assert f"PSI {drift.psi:.3f}" in said
    assert facts["Cost"].endswith("s in all windows, when it was last made")
    facts = dict(card_facts(cards["rate__item_id"]).facts)
    assert (facts["Key"], facts["Lookback"]) == ("item_id", "all of the history")
    assert facts["Null"] == "null only without any history"


def test_examples_are_pairs_of_the_last_eval_window(
    cards: dict[str, Card], values: pl.DataFrame, folds: Folds
) -> None:
    last_window = values.filter(pl.col("window") == folds.folds[-1].eval.cutoff)
    for name in NAMES:
        shown = ("user_id", "item_id", name, "relevance")
        rows = {tuple(map(str, row)) for row in last_window.select(shown).rows()}
        examples = cards[name].examples
        assert 0 < examples.height <= 6
        assert {tuple(map(str, row)) for row in examples.rows()} <= rows
    assert cards["gap"].examples["value"].drop_nulls().is_sorted()


def test_a_card_computes_only_what_is_missing(
    catalogue: Catalogue, folds: Folds, own_settings: Settings, cards: dict[str, Card]
) -> None:
    assert cards
    assert compute_features(catalogue, folds.windows, NAMES, Store(own_settings.store), own_settings) == 0


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
    assert "Nearest" not in printed([cards["vector__user_id"]])


def test_the_terminal_and_the_page_say_the_same(cards: dict[str, Card]) -> None:
    card = cards["rate__item_id"]
    facts = card_facts(card)
    page = re.sub("<[^>]*>", "", cards_html("a", "b", [card])).replace("−", "-")
    text = " ".join(printed([card]).split())
    for grid in (facts.windows, facts.alone, facts.nearest, facts.examples):
        assert grid.title in text
        for said in (grid.title.replace("'", "&#39;"), *(cell for row in grid.rows for cell in row)):
            assert said in page
        assert all(row[0] in text and row[-1] in text for row in grid.rows)


def test_the_command_prints_and_writes_a_card(timed: Dataset, own_settings: Settings) -> None:
    options = [f"--set={key}={str(getattr(own_settings, key))!r}" for key in ("store", "reports")]
    options += ["--set=backend='inline'", "--set=folds.n_folds=2", "--set=folds.n_train_windows=2"]
    with opened(timed):
        result = CliRunner(env={"COLUMNS": "100"}).invoke(
            command.app, [*options, "card", "n_exposures__user_id"], catch_exceptions=False
        )
    assert "Number of exposures (rows of the log) of the key." in result.output
    assert "fold2" in result.output
    page = (own_settings.reports / timed.competition.name / "card_n_exposures__user_id.html").read_text(
        encoding="utf-8"
    )
    assert "Content-Security-Policy" in page
    with opened(timed), pytest.raises(FeatureError, match="There is no feature 'n_exposure_'"):
        CliRunner().invoke(command.app, [*options, "card", "n_exposure_"], catch_exceptions=False)


def valueless() -> Registry:
    """Columns of every dtype without a single value, and one that is nothing but NaN and infinities."""
    features = Registry()
    dtypes: dict[str, pl.DataType | type[pl.DataType]] = {
        "number": pl.Float32,
        "count": pl.UInt32,
        "flag": pl.Boolean,
        "level": pl.Enum(["a", "b"]),
        "word": pl.String,
        "at": pl.Datetime("us"),
        "vector": pl.Array(pl.Float32, 3),
        "many": pl.List(pl.Int64),
    }

    @table(key="user_id", columns=dtypes, registry=features)
    def nothing(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """No value; null always."""
        return (
            history.select("user_id")
            .unique()
            .with_columns(pl.lit(None, d).alias(n) for n, d in dtypes.items())
        )

    @per_pair(registry=features)
    def odd(item_id: pl.Expr) -> pl.Expr:
        """Not a number; null always."""
        return pl.when(item_id % 2 == 0).then(float("nan")).otherwise(float("inf"))

    return features


@pytest.mark.parametrize("without", ["values", "test pairs", "history", "anything"])
def test_cards_without_values_pairs_or_history_are_shown(
    without: str, timed: Dataset, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {
        "values": {},
        "test pairs": {"test_pairs": timed.test_pairs.filter(False)},
        "history": {"log": timed.log.filter(pl.col("clock") >= timed.test_start - timed.horizon)},
        "anything": {"log": timed.log.filter(False), "test_pairs": timed.test_pairs.filter(False)},
    }[without]
    dataset = replace(timed, partitioned=None, fingerprint=without, **changes)
    settings = Settings(store=tmp_path, backend="inline")
    folds = plan_folds(timed, FoldSettings(n_folds=2, n_train_windows=2))
    for features in (valueless(), registry()):
        catalogue = bind_catalogue(dataset, features)
        names = list(catalogue.columns)
        cards = make_cards(catalogue, folds, names, Store(tmp_path), settings)
        assert [card.column.name for card in cards] == names
        specs = cards_html("a", "b", cards).partition('id="chart-specs"')[2].partition("</script>")[0]
        assert "NaN" not in specs
        text = "".join(printed(cards[at : at + 3]) for at in range(0, len(cards), 3))
        assert all(name in text for name in names)
