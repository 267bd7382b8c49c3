"""Cards as they are shown: by which names, in the terminal and as a page, by the command."""

from __future__ import annotations

import doctest
import re
from collections.abc import Sequence
from io import StringIO

import pytest
from rich.console import Console
from typer.testing import CliRunner

from competitions import Dataset, opened
from engine import Settings, Store
from features import Aggregate, Catalogue, FeatureError, Log, aggregate, bind_catalogue, mean
from features import __main__ as command
from features._cards import Card, card_columns, card_file_name, cards_html, make_cards, show_cards
from features._cards import card as _card
from features._cards import words as _card_text
from features._cards import words as _meaning
from tests.features.carded import EVIL, NAMES, registry
from validation import Folds


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


def test_examples_of_docstrings_hold() -> None:
    for module in (_card, _card_text, _meaning):
        assert doctest.testmod(module).failed == 0
