"""The latent families and sequences on a generated feed of clips: nothing knows the future or its neighbours."""

from __future__ import annotations

from pathlib import Path

import pytest

from competitions import Dataset, get_competition, random_tables, take_in
from engine import Settings
from features import Window, load_catalogue
from features._audit import audit_window

FAMILIES = {"bpr", "ease", "item2vec", "latent", "latent_ranks", "sequences", "svd"}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    competition = get_competition("vk2024")
    tables = random_tables(competition, n_users=12, n_items=40, n_rows=1200, seed=4)
    return take_in(competition, tables, tmp_path_factory.mktemp("clips"), fingerprint="generated clips")


def test_latent_families_do_not_know_the_future(clips: Dataset, tmp_path: Path) -> None:
    catalogue = load_catalogue(clips)
    own = [name for name, column in catalogue.columns.items() if column.family in FAMILIES]
    assert len(own) > 10
    settings = Settings(store=tmp_path, backend="inline")
    assert audit_window(catalogue, [Window(cutoff=800, start=800, until=1000)], own, settings) == []
