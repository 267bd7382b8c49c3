"""Arrays of a user's newest rows: against a plain loop, stored and read as a net reads them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from competitions import Dataset, get_competition, random_tables, take_in
from engine import FeatureSettings, Settings, Store
from features import (
    Catalogue,
    Registry,
    Window,
    bind_catalogue,
    compute_features,
    compute_window,
    load_catalogue,
    open_features,
    table,
)
from features.sequences import PLACES, SHUFFLED
from models import PairFrame, StoredColumns
from validation import window_pairs

NAMES = ["last_items", "last_relevances", "last_gaps", "last_sources", "last_actions", "last_watch_shares"]
COLUMNS = [f"{name}__user_id" for name in NAMES]
LENGTH = PLACES[""]
WINDOW = Window(cutoff=300, start=300, until=400)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    competition = get_competition("vk2024")
    tables = random_tables(competition, n_users=25, n_items=40, n_rows=1000, seed=8)
    return take_in(competition, tables, tmp_path_factory.mktemp("clips"), fingerprint="clips of sequences")


@pytest.fixture(scope="module")
def catalogue(clips: Dataset) -> Catalogue:
    return load_catalogue(clips)


def every_user(clips: Dataset) -> pl.DataFrame:
    """One pair a user of the log, and one of a user that it lacks."""
    users = (
        clips.log.select("user_id", "item_id").unique("user_id").sort("user_id").collect(engine="in-memory")
    )
    pairs = pl.concat([users, users.head(1).with_columns(pl.lit(10**6).cast(pl.UInt32).alias("user_id"))])
    return pairs.with_row_index("pair_id")


@pytest.mark.parametrize("suffix", PLACES)
def test_arrays_are_the_newest_rows_of_a_plain_loop(
    catalogue: Catalogue, clips: Dataset, suffix: str
) -> None:
    """Those that are shuffled are the last of all rows by the number that is drawn for each."""
    pairs, length = every_user(clips), PLACES[suffix]
    columns = [f"{name}{suffix}__user_id" for name in NAMES]
    values = compute_window(catalogue, WINDOW, columns, pairs)
    log = clips.with_attributes(clips.log).filter(pl.col("clock") < 300).sort("clock", "row")
    rows: dict[int, list[dict[str, object]]] = {}
    for row in log.collect(engine="in-memory").iter_rows(named=True):
        rows.setdefault(row["user_id"], []).append(row)
    by_user = dict(zip(pairs["user_id"].to_list(), values.iter_rows(named=True), strict=True))
    sizes = {len(own) for own in rows.values()}
    assert min(sizes) < LENGTH < max(sizes)
    for user, found in by_user.items():
        own = rows.get(user, [])
        if not own:
            assert [found[name] for name in columns] == [None] * len(columns)
            continue
        clocks = [*(int(str(row["clock"])) for row in own), 300]
        expected: dict[str, list[object]] = {
            "last_items": [row["item_id"] for row in own],
            "last_relevances": [row["relevance"] for row in own],
            "last_gaps": [float(later - now) for now, later in pairwise(clocks)],
            "last_sources": [row["source_id"] for row in own],
            "last_actions": [_action(row) for row in own],
            "last_watch_shares": [_share(row) for row in own],
        }
        order = list(range(len(own)))
        if suffix.endswith(SHUFFLED):
            order.sort(key=lambda i: _drawn(i, 300 - clocks[i]))
            assert order != sorted(order) or len(own) < 5
        padding: list[object] = [None] * (length - len(own))
        for name, of_all in expected.items():
            taken = [of_all[i] for i in order[-length:]]
            assert list(found[f"{name}{suffix}__user_id"]) == padding + taken, name


def _drawn(place: int, since: int) -> int:
    number = (place * 0x9E3779B97F4A7C15 + since * 0xC2B2AE3D27D4EB4F) % 2**64
    return (number ^ number >> 29) * 0xBF58476D1CE4E5B9 % 2**64 >> 32


def _action(row: dict[str, object]) -> int:
    return sum(
        bit for name, bit in (("like", 1), ("dislike", 2), ("share", 4), ("bookmarks", 8)) if row[name]
    )


def _share(row: dict[str, object]) -> float | None:
    if not row["duration"]:
        return None
    return float(np.float32(min(int(str(row["timespent"])) / int(str(row["duration"])), 1.0)))


def test_what_is_not_finite_in_an_array_becomes_null(clips: Dataset) -> None:
    registry = Registry()
    values = pl.Series([[1.0, float("nan")], None, [float("inf"), 2.0]], dtype=pl.Array(pl.Float64, 2))

    @table(key="user_id", columns={"wild": pl.Array(pl.Float32, 2)}, registry=registry)
    def wild_array(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """Numbers of all kinds; null for other users."""
        users = pl.Series("user_id", [1, 2, 3], dtype=pl.UInt32)
        return pl.LazyFrame([users, values.cast(pl.Array(pl.Float32, 2)).alias("wild")])

    pairs = pl.DataFrame({"pair_id": [0, 1, 2, 3], "user_id": [1, 2, 3, 4], "item_id": [1, 1, 1, 1]}).cast(
        pl.UInt32
    )
    found = compute_window(bind_catalogue(clips, registry), WINDOW, ["wild__user_id"], pairs)
    assert found["wild__user_id"].to_list() == [[1.0, None], None, [None, 2.0], None]


def test_arrays_are_given_to_those_who_ask_by_name_only(catalogue: Catalogue) -> None:
    everything = FeatureSettings(include=("*",))
    assert not set(COLUMNS) & set(catalogue.select(everything))
    assert set(COLUMNS) <= set(catalogue.select(everything, needs=COLUMNS))


def test_a_net_reads_stored_arrays(catalogue: Catalogue, clips: Dataset, tmp_path: Path) -> None:
    """As stacking does it: computed into the store, opened as a frame, gathered in the frame's order."""
    settings = Settings(store=tmp_path / "store", backend="inline")
    store = Store(settings.store)
    windows = (WINDOW, Window(cutoff=500, start=500, until=600))
    assert compute_features(catalogue, windows, COLUMNS, store, settings) == 2 * len(COLUMNS)
    assert compute_features(catalogue, windows, COLUMNS, store, settings) == 0
    opened = open_features(catalogue, windows, COLUMNS, store)
    columns = StoredColumns(
        opened.schema, opened.read, pl.int_range(opened.pairs.height, eager=True, dtype=pl.UInt32)
    )
    frame = PairFrame(
        opened.pairs, (), user="user_id", item="item_id", source="source_id", stored=columns
    ).in_order()
    direct = pl.concat(compute_window(catalogue, w, COLUMNS, window_pairs(clips, w)) for w in windows)
    for name in COLUMNS:
        array = frame.column(name)
        assert array.dtype == catalogue.columns[name].dtype
        filled = array.fill_null(pl.lit([0] * LENGTH, dtype=array.dtype)).to_numpy()
        assert filled.shape == (frame.table.height, LENGTH)
        assert sorted(map(str, array.to_list())) == sorted(map(str, direct[name].to_list()))


@pytest.mark.parametrize("suffix", PLACES)
def test_contents_are_those_of_the_newest_rows(catalogue: Catalogue, clips: Dataset, suffix: str) -> None:
    """Beside their items, place by place; what an item lacks is null."""
    pairs = every_user(clips)
    names = [f"{name}{suffix}__user_id" for name in ("last_contents", "last_items")]
    found = compute_window(catalogue, WINDOW, names, pairs)
    items = clips.items.select("item_id", "content").collect(engine="in-memory")
    of_item = dict(zip(items["item_id"], items["content"].to_list(), strict=True))
    width = len(next(vector for vector in of_item.values() if vector))
    assert catalogue.columns[names[0]].dtype == pl.Array(pl.Float32, PLACES[suffix] * width)
    assert any(vector is None for vector in of_item.values())
    for contents, own in found.select(names).iter_rows():
        if own is None:
            assert contents is None
            continue
        expected = [of_item.get(item) or [None] * width for item in own]
        assert list(contents) == [number for vector in expected for number in vector]


def test_contents_are_as_wide_as_those_of_the_log(clips: Dataset) -> None:
    """Where there are none, nothing else is lost."""
    narrow = pl.col("content").arr.head(3).list.to_array(3)
    catalogue = load_catalogue(replace(clips, items=clips.items.with_columns(narrow)))
    assert catalogue.columns["last_contents_50__user_id"].dtype == pl.Array(pl.Float32, 150)
    text = load_catalogue(replace(clips, items=clips.items.with_columns(content=pl.lit("a"))))
    assert "to be an array of floats" in text.unavailable["last_contents__user_id"]
    assert "last_items__user_id" in text.columns


@pytest.mark.parametrize("suffix", PLACES)
def test_without_a_history_every_array_is_null(catalogue: Catalogue, clips: Dataset, suffix: str) -> None:
    first = Window(cutoff=0, start=0, until=1)
    names = [f"{name}{suffix}__user_id" for name in [*NAMES, "last_contents"]]
    found = compute_window(catalogue, first, names, every_user(clips))
    assert found.select(pl.col(names).is_null().all()).row(0) == (True,) * len(names)
