"""Keys split into parts, and passes into batches, because memory is short: the same bits, each pair once."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pytest

from competitions import Dataset
from engine import Settings, Store
from features import Window, compute_features, compute_windows, read_features
from features._aggregation import Work, batches, by_pass, compute_aggregates, make_plan
from features._compute import shown
from tests.features.tile_logs import END, cut, pairs_of, rows_of, whole, window_at
from tests.features.tile_oracle import BLOCKS, Block, catalogue_of, differing

WINDOWS = [window_at(hour) for hour in (5, END)]
PAIRS = pairs_of(40)
KEYED = [block for block in BLOCKS if block.key and block.lookback in ("", "__last2")]
STORED = [window_at(4), window_at(10)]  # not the test window: it has no pairs here
CHOSEN = KEYED[::4]


def sliced() -> Dataset:
    rows = rows_of(21, 150)
    return cut(whole(rows), rows, [40, 41, 100])


def work_of(names: Sequence[str], budget_gib: float, pairs: pl.DataFrame = PAIRS) -> Work:
    catalogue = catalogue_of(sliced())
    frames = {window: shown(catalogue.dataset, window, pairs) for window in WINDOWS}
    return Work(catalogue.dataset, make_plan(catalogue, names).passes, frames, budget_gib)


def computed(work: Work) -> dict[Window, pl.DataFrame]:
    parts: dict[Window, list[pl.DataFrame]] = {window: [] for window in work.frames}
    for window, values, _ in by_pass(compute_aggregates(work), work.frames):
        parts[window].append(values)
    return {window: pl.concat(values, how="horizontal") for window, values in parts.items()}


def names_of(blocks: Sequence[Block]) -> list[str]:
    return [name for block in blocks for name in block.columns]


@pytest.mark.parametrize(("kib", "n_batches", "n_parts"), [(50, 3, 2), (10, 8, 4)], ids=str)
def test_keys_in_parts_and_passes_in_batches_have_the_same_bits(
    kib: float, n_batches: int, n_parts: int
) -> None:
    names = names_of(CHOSEN)
    work = work_of(names, kib / 2**20)
    plan = batches(work)
    assert len(plan) >= n_batches
    assert max(batch.n_parts for batch in plan) >= n_parts
    catalogue = catalogue_of(sliced())
    plain = compute_windows(catalogue, names, dict.fromkeys(WINDOWS, PAIRS))
    found = computed(work)
    for window in WINDOWS:
        assert sorted(found[window].columns) == sorted(names)
        assert differing(plain[window].select(names), found[window].select(names)) == []


def test_no_budget_is_one_pass_for_all_keys() -> None:
    assert [b.n_parts for b in batches(work_of(names_of(KEYED), float("inf")))] == [1]


def test_pairs_with_unknown_and_null_keys_are_in_one_part_only() -> None:
    """Keys that no row has, and null ones, get the values of an unseen key."""
    block = Block(("guest", "room"), "")
    window = WINDOWS[0]
    pairs = PAIRS.with_columns(pl.lit(None, pl.UInt16).alias("room"))
    found = computed(work_of(block.columns, 1 / 2**20, pairs))[window]
    plain = compute_windows(catalogue_of(sliced()), block.columns, {window: pairs})[window]
    assert differing(plain.select(block.columns), found.select(block.columns)) == []


@pytest.mark.parametrize(
    ("key", "n_pairs"),
    [
        (("user_id",), 40),
        (("user_id",), 0),
        ((), 40),
    ],
    ids=str,
)
def test_a_column_is_given_once_however_small_the_budget(key: tuple[str, ...], n_pairs: int) -> None:
    block = Block(key, "")
    work = work_of(block.columns, 2 / 2**20, PAIRS.head(n_pairs))
    given = [
        name for _, values, _ in by_pass(compute_aggregates(work), work.frames) for name in values.columns
    ]
    assert sorted(given) == sorted(block.columns * len(WINDOWS))


def test_a_budget_changes_neither_keys_in_the_store_nor_what_is_there(
    monkeypatch: pytest.MonkeyPatch,
    store: Store,
    settings: Settings,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    names = names_of([Block(("user_id", "item_id"), ""), Block(("device",), "__last2")])
    rows = rows_of(21, 150)
    stored = []
    for dataset, share, root in (
        (whole(rows), 0.3, settings.store),
        (cut(whole(rows), rows, [10, 70]), 1e-6, tmp_path_factory.mktemp("other")),
    ):
        monkeypatch.setattr("features._compute.missing.SHARE", share)
        catalogue, own = catalogue_of(dataset), Store(root)
        assert compute_features(catalogue, STORED, names, own, settings) == 2 * len(names)
        stored.append(read_features(catalogue, STORED, names, own))
    # What the one has computed is what the other looks for.
    assert compute_features(catalogue_of(cut(whole(rows), rows, [33])), STORED, names, store, settings) == 0
    assert differing(*stored) == []
    assert stored[0].height > 10
