"""Keys, source and instants may be called anything: features find them, and give the same values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import polars as pl
import pytest

from competitions import (
    Competition,
    Dataset,
    RawTables,
    SubmissionFormat,
    get_competition,
    schema_of,
    simulate,
    take_in,
)
from engine import FoldSettings
from features import Window, compute_window, load_catalogue
from features._audit import Labels, relabelled
from tests.competitions.shop import HOUR, SHOP, shop_tables
from validation import plan_folds, window_pairs

NAMES = {"user_id": "uid", "item_id": "sku", "source_id": "brand"}
SLOW = ("als_*", "bpr_*", "channel*", "doc2vec*", "entities*", "mf_*", "streamed*", "w2v_*")


def renamed_table(table: pl.LazyFrame | None) -> pl.LazyFrame | None:
    return None if table is None else table.rename(NAMES, strict=False)


def renamed(c: Competition) -> Competition:
    """The competition with other names of keys and source, in all its tables."""

    def read(folder: Path) -> RawTables:
        found = c.read(folder)
        tables = {n: renamed_table(getattr(found, n)) for n in ("interactions", "users", "items", "pairs")}
        return RawTables(**tables)  # type: ignore[arg-type]

    def select_pairs(targets: pl.LazyFrame) -> pl.LazyFrame:
        return c.select_pairs(targets)  # which finds the names of features in the log, too

    schemas = {
        n: schema_of({NAMES.get(k, k): column for k, column in getattr(c, n).columns().items()})
        for n in ("interactions", "users", "items")
    }
    names: Mapping[str, str] = {"user": "uid", "item": "sku", "source": "brand"}
    form = SubmissionFormat({"uid": "uid", "sku": "sku", "predict": "score"})
    return replace(c, name="shop", read=read, select_pairs=select_pairs, submission=form, **schemas, **names)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    folder = tmp_path_factory.mktemp("names")
    simulate("vk2024", folder / "files", n_rows=20_000, seed=1)
    c = get_competition("vk2024")
    found = []
    for competition in (c, renamed(c)):
        tables = replace(competition.read(folder / "files"), log_files=(), solution=None, oracle=None)
        (folder / competition.name).mkdir()
        found.append(take_in(competition, tables, folder / competition.name, fingerprint="x"))
    return found[0], found[1]


def test_families_open_and_give_the_same_values(both: tuple[Dataset, Dataset]) -> None:
    own, other = (load_catalogue(dataset) for dataset in both)
    assert list(own.columns) == list(other.columns)
    assert {"like_rate__source_id", "given_rank__duration", "taste_score"} <= set(other.columns)
    quick = [
        name
        for name in own.columns
        if not any(fnmatch(read, slow) for read in own.closure([name]) for slow in SLOW)
    ]
    assert len(quick) > 400
    folds = FoldSettings(n_folds=1, n_train_windows=1)
    values = []
    for catalogue in (own, other):
        window = plan_folds(catalogue.dataset, folds).folds[-1].eval
        values.append(compute_window(catalogue, window, quick, window_pairs(catalogue.dataset, window)))
    assert [name for name in quick if not values[0][name].equals(values[1][name])] == []


def test_copies_of_keys_have_their_role_and_are_no_columns_of_the_files(
    both: tuple[Dataset, Dataset],
) -> None:
    own, other = both
    c = other.competition
    assert own.competition.aliases == {}
    assert c.aliases == {"user_id": "uid", "item_id": "sku", "source_id": "brand"}
    assert [c.roles[name] for name in ("uid", "user_id", "item_id")] == ["key"] * 3
    assert set(c.given_columns) == {"uid", "sku"}
    assert {"user_id", "item_id", "source_id"} <= set(other.pair_schema)
    items = other.items.collect()
    assert items["source_id"].equals(items["brand"])
    assert other.log.select((pl.col("uid") == pl.col("user_id")).all()).collect().item()
    unread = load_catalogue(other).unread(["like_rate__source_id"])
    assert not {"brand", "source_id", "user_id", "uid"} & set(unread)
    assert "duration" in unread


def test_other_ids_are_given_to_copies_too(both: tuple[Dataset, Dataset]) -> None:
    _, other = both
    window = Window(cutoff=10_000, start=10_000, until=12_000)
    there = relabelled(other, {window: window_pairs(other, window)}, Labels(ids=True), seed=1)
    log = there.dataset.log.select("uid", "user_id", "sku", "item_id").collect()
    assert log["uid"].equals(log["user_id"])
    assert log["sku"].equals(log["item_id"])
    assert not log["uid"].equals(other.log.select("uid").collect()["uid"])


def test_the_clock_is_the_instant_of_features(tmp_path: Path) -> None:
    dataset = take_in(SHOP, shop_tables(), tmp_path, fingerprint="x")
    assert dataset.competition.aliases == {"source_id": "brand", "timestamp": "at"}
    catalogue = load_catalogue(dataset)
    assert "hour_of_day" in catalogue.columns
    window = Window(
        cutoff=dataset.test_start - 4 * HOUR, start=dataset.test_start - 4 * HOUR, until=dataset.test_start
    )
    values = compute_window(catalogue, window, ["hour_of_day"], window_pairs(dataset, window))
    assert values["hour_of_day"].to_list() == [16, 17, 18, 19]


def test_a_genre_is_read_by_its_own_name(movielens: Dataset) -> None:
    assert movielens.competition.source == "main_genre"
    assert movielens.competition.aliases == {}
