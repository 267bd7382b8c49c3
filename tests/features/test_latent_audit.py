"""Fitted families and sequences on a generated feed of clips: nothing knows the future or its neighbours."""

from __future__ import annotations

import pytest

from competitions import get_competition, random_tables, take_in
from engine import Settings
from features import Catalogue, Window, load_catalogue
from features._audit import audit_window

WINDOW = Window(cutoff=1500, start=1500, until=1800)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    competition = get_competition("vk2024")
    tables = random_tables(competition, n_users=12, n_items=60, n_rows=2000, seed=4)
    clips = take_in(competition, tables, tmp_path_factory.mktemp("clips"), fingerprint="generated clips")
    return load_catalogue(clips)


@pytest.mark.parametrize(
    ("families", "n_columns"),
    [
        ({"als", "bpr", "ease", "elsa", "item2vec", "multvae", "sequences", "svd"}, 39),
        ({"taste"}, 14),
        ({"within_user"}, 5),
        ({"clusters", "content", "covisitation"}, 55),
    ],
)
def test_fitted_families_do_not_know_the_future(
    catalogue: Catalogue, families: set[str], n_columns: int, settings: Settings
) -> None:
    own = [name for name, column in catalogue.columns.items() if column.family in families]
    assert len(own) >= n_columns
    assert audit_window(catalogue, [WINDOW], own, settings) == []
