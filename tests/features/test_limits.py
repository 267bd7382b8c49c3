"""Whichever way of computing is taken, no value changes a bit: roll-ups, narrowing, look-ups, batches, shards."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl
import pytest

from competitions import Dataset
from engine import Settings, Store
from features import Catalogue, Window, compute_features, compute_windows, read_features
from features._aggregation import (
    LIMITS,
    Limits,
    Work,
    batches,
    compute_aggregates,
    make_groups,
    make_plan,
    plan_rollups,
)
from tests.features.tile_logs import END, cut, pairs_of, rows_of, whole, window_at
from tests.features.tile_oracle import BLOCKS, KEYS, Block, assert_like_plain_query, catalogue_of, differing

PAIRS = pairs_of(40)
WINDOWS = [window_at(hour) for hour in (5, END)]
NEVER, ALWAYS = Limits(rolled_up_rows=10**12), Limits(rolled_up_rows=0)
# What is rolled up only where nothing of the key needs rows: first and last values, last_n(n) and plain aggregations.
PLAIN = ("first_", "last_", "n_notes", "middle", "liked_first", "liked_middle")
COARSE, FINE = [("kind",), ("age",), ()], [("user_id",), ("item_id",)]
TILED = [
    block.column(case)
    for block in BLOCKS
    if block.lookback in ("", "__h1") and block.key in (*COARSE, *FINE)
    for case in (name.split("__")[0] for name in block.columns)
    if not case.startswith(PLAIN)
]


def partitioned(seed: int = 21, n_rows: int = 150, ends: tuple[int, ...] = (40, 41, 100)) -> Dataset:
    rows = rows_of(seed, n_rows)
    return cut(whole(rows), rows, ends)


def names_of(blocks: Iterable[Block]) -> list[str]:
    return [name for block in blocks for name in block.columns]


def computed(catalogue: Catalogue, names: list[str], limits: Limits = LIMITS) -> dict[Window, pl.DataFrame]:
    return compute_windows(catalogue, names, dict.fromkeys(WINDOWS, PAIRS), limits=limits)


def assert_same(one: dict[Window, pl.DataFrame], other: dict[Window, pl.DataFrame]) -> None:
    assert [differing(one[window], other[window].select(one[window].columns)) for window in WINDOWS] == [
        [],
        [],
    ]


def rolled_up(names: list[str]) -> set[tuple[str, ...]]:
    """Keys that are made of finer ones."""
    catalogue = catalogue_of(partitioned())
    groups = make_groups(make_plan(catalogue, names).passes, WINDOWS, catalogue.dataset)
    return {key for _, key in plan_rollups(groups, catalogue.dataset)[1]}


def test_coarse_keys_roll_up_from_finer_ones_beside_them() -> None:
    assert rolled_up(TILED) == set(COARSE)
    assert rolled_up([name for name in TILED if "__kind" in name or "__age" in name]) == set()


@pytest.mark.parametrize("least", [0, 50], ids=["all partitions", "large partitions"])
def test_roll_ups_change_no_bit(least: int) -> None:
    catalogue = catalogue_of(partitioned(1, 200, (30, 31, 90, 170)))
    assert_same(computed(catalogue, TILED, NEVER), computed(catalogue, TILED, Limits(rolled_up_rows=least)))


def test_rolled_up_columns_equal_the_plain_queries() -> None:
    """Keys that cannot be rolled up, beside those that can."""
    dataset = partitioned(5, 120, (40, 80))
    blocks = [b for b in BLOCKS if b.lookback == "__h1" and b.key in ((), ("item_id",), ("kind",))]
    found = computed(catalogue_of(dataset), names_of(blocks), ALWAYS)
    for block in blocks:
        assert_like_plain_query(dataset, WINDOWS[1], block, found[WINDOWS[1]], PAIRS)


def test_a_coarse_key_by_itself_has_the_values_it_has_beside_finer_ones() -> None:
    catalogue = catalogue_of(partitioned(6, 150, (60, 100)))
    coarse = [name for name in TILED if "__kind" in name or "__age" in name]
    assert_same(computed(catalogue, coarse, ALWAYS), computed(catalogue, TILED, ALWAYS))


@pytest.mark.parametrize("rolling", [ALWAYS, NEVER], ids=["rolled up", "grouped"])
def test_narrowing_before_or_after_grouping_changes_no_bit(rolling: Limits) -> None:
    """Two small keys are packed into one number of 64 bits to be grouped: at its ends, Enums and Booleans too."""
    ends = {name: pl.col(name).max() for name in ("user_id", "item_id", "room")}
    for shown in (rows_of(4, 150), PAIRS):
        assert shown.select(**ends).row(0) == (2**32 - 1, 2**32 - 1, 2**16 - 1)
    catalogue = catalogue_of(partitioned(4, 150, (60, 100)))
    keys = ((), ("item_id",), *(key for key in KEYS if len(key) == 2))
    names = names_of(b for b in BLOCKS if b.key in keys and b.lookback in ("__3h", "__last2"))
    found = [computed(catalogue, names, Limits(wide, rolling.rolled_up_rows)) for wide in (0.0, float("inf"))]
    assert_same(*found)


KEYED = [block for block in BLOCKS if block.key and block.lookback in ("", "__last2")]


def work_of(names: list[str], budget_gib: float, pairs: pl.DataFrame = PAIRS) -> Work:
    catalogue = catalogue_of(partitioned())
    shown = catalogue.dataset.with_attributes(pairs.lazy()).collect()
    return Work(
        catalogue.dataset, make_plan(catalogue, names).passes, dict.fromkeys(WINDOWS, shown), budget_gib
    )


def within_budget(work: Work) -> dict[Window, pl.DataFrame]:
    """Compute; a column that came twice would be refused."""
    found: dict[Window, list[pl.DataFrame]] = {window: [] for window in work.frames}
    for window, values, _ in compute_aggregates(work):
        found[window].append(values)
    return {window: pl.concat(values, how="horizontal") for window, values in found.items()}


@pytest.mark.parametrize(("kib", "n_batches", "n_shards"), [(50, 3, 2), (10, 8, 4)], ids=str)
def test_keys_in_shards_and_passes_in_batches_have_the_same_bits(
    kib: float, n_batches: int, n_shards: int
) -> None:
    names = names_of(KEYED[::4])
    work = work_of(names, kib / 2**20)
    assert len(batches(work)) >= n_batches
    assert max(batch.n_shards for batch in batches(work)) >= n_shards
    found = within_budget(work)
    assert sorted(found[WINDOWS[0]].columns) == sorted(names)
    assert_same(found, computed(catalogue_of(partitioned()), names))


def test_no_budget_is_one_pass_for_all_keys() -> None:
    assert [batch.n_shards for batch in batches(work_of(names_of(KEYED), float("inf")))] == [1]


def test_pairs_with_unknown_and_null_keys_are_in_one_shard_only() -> None:
    """Keys that no row has, and null ones, get the values of an unseen key."""
    names = Block(("guest", "room"), "").columns
    pairs = PAIRS.with_columns(pl.lit(None, pl.UInt16).alias("room"))
    plain = compute_windows(catalogue_of(partitioned()), names, dict.fromkeys(WINDOWS, pairs))
    assert_same(within_budget(work_of(names, 1 / 2**20, pairs)), plain)


@pytest.mark.parametrize(("key", "n_pairs"), [(("user_id",), 0), ((), 40)], ids=str)
def test_a_column_is_given_once_however_small_the_budget(key: tuple[str, ...], n_pairs: int) -> None:
    names = Block(key, "").columns
    found = within_budget(work_of(names, 2 / 2**20, PAIRS.head(n_pairs)))
    assert all(sorted(frame.columns) == sorted(names) for frame in found.values())


def test_a_budget_changes_neither_keys_in_the_store_nor_what_is_there(
    store: Store, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    windows = [window_at(4), window_at(10)]  # not the test window: it has no pairs here
    names = names_of([Block(("user_id", "item_id"), ""), Block(("device",), "__last2")])
    rows = rows_of(21, 150)
    stored = []
    for dataset, gib, own in (
        (whole(rows), 8.0, store),
        (cut(whole(rows), rows, [10, 70]), 3e-5, Store(tmp_path_factory.mktemp("other"))),
    ):
        catalogue, small = catalogue_of(dataset), settings.model_copy(update={"memory_gib": gib})
        assert compute_features(catalogue, windows, names, own, small) == 2 * len(names)
        stored.append(read_features(catalogue, windows, names, own))
    # What the one has computed is what the other looks for.
    assert compute_features(catalogue_of(cut(whole(rows), rows, [33])), windows, names, store, settings) == 0
    assert differing(*stored) == []
    assert stored[0].height > 10
