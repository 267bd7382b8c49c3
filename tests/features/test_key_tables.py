"""Tables of all keys: what the pairs of each key get, for every key with rows in the lookback, each once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import FunctionType
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from competitions import Dataset
from features import (
    Aggregate,
    KeyTable,
    Log,
    Registry,
    Window,
    aggregate,
    aggregate_tables,
    bind_catalogue,
    compute_windows,
    count,
    horizon,
    total,
)
from features._sorted import sort_rows
from tests.features.tile_cases import CASES
from tests.features.tile_logs import END, HOUR, PAIR_SCHEMA, cut, rows_of, whole, window_at
from tests.features.tile_oracle import BLOCKS, SPANS, Block, catalogue_of, differing

SEARCH = settings(deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
MERGED = [name for name in CASES if not name.endswith(("n_notes", "middle"))]
PACKED_ENUMS = (("device", "user_id"), ("user_id", "kind"))
TABLED = [b for b in BLOCKS if b.key and b.key not in PACKED_ENUMS and b.lookback != "__last2"]
Slot = tuple[Window, Block, bool]  # the last: whether it is of liked rows only


def names_of(block: Block, is_liked: bool, cases: Sequence[str]) -> list[str]:
    return [block.column(name) for name in cases if CASES[name].where == is_liked]


def by_slot(tables: Iterable[KeyTable], cases: Sequence[str]) -> dict[Slot, list[pl.DataFrame]]:
    """Sort tables by what they are of; the parts of a key stay apart."""
    slots: dict[Slot, list[pl.DataFrame]] = {}
    for one in tables:
        block = Block(one.key, one.lookback.suffix)
        is_liked = one.values.columns[-1].startswith("liked")
        assert one.values.columns == [*one.key, *names_of(block, is_liked, cases)]
        slots.setdefault((one.window, block, is_liked), []).append(one.values)
    return slots


def keys_seen(dataset: Dataset, slot: Slot) -> pl.DataFrame:
    window, block, is_liked = slot
    begin = window.cutoff - SPANS.get(block.lookback, END * HOUR)
    rows = dataset.with_attributes(dataset.log).filter(
        pl.col("clock").is_between(begin, window.cutoff, "left")
    )
    rows = rows.filter("like") if is_liked else rows
    return rows.select(block.key).drop_nulls().unique().sort(block.key).collect(engine="in-memory")


def pairs_of_log(rows: pl.DataFrame) -> pl.DataFrame:
    """Give a pair for every row of the log."""
    return rows.select(pl.row_index("pair_id"), *PAIR_SCHEMA.names()[1:]).cast(PAIR_SCHEMA)


def check_tables(
    dataset: Dataset,
    rows: pl.DataFrame,
    windows: list[Window],
    blocks: list[Block],
    cases: Sequence[str] = MERGED,
) -> int:
    """Compare the tables with the values of pairs, one a row of the log. Returns the most parts that a key came in."""
    catalogue = catalogue_of(dataset)
    names = [block.column(name) for block in blocks for name in cases]
    slots = by_slot(aggregate_tables(catalogue, windows, names), cases)
    pairs = pairs_of_log(rows)
    shown = dataset.with_attributes(pairs.lazy()).collect(engine="in-memory")
    bulk = compute_windows(catalogue, names, dict.fromkeys(windows, pairs))
    for slot in [(w, b, is_liked) for w in windows for b in blocks for is_liked in (False, True)]:
        window, block, is_liked = slot
        seen = keys_seen(dataset, slot)
        if seen.height:
            table = pl.concat(slots[slot]).sort(block.key)
            assert table.select(block.key).equals(seen), slot  # each once, and no dtype changed
            own = shown.select(block.key).hstack(bulk[window].select(names_of(block, is_liked, cases)))
            own = seen.join(own.unique(block.key), on=block.key, how="left", maintain_order="left")
            assert differing(own, table) == []
        else:
            assert sum(table.height for table in slots.get(slot, [])) == 0
    return max(map(len, slots.values()), default=0)


@settings(SEARCH, max_examples=6)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 90),
    ends=st.lists(st.integers(1, 89), max_size=4),
    hours=st.lists(st.integers(1, END), min_size=1, max_size=3, unique=True),
    chosen=st.lists(st.sampled_from(TABLED), min_size=1, max_size=2, unique=True),
)
def test_tables_hold_what_pairs_of_each_key_get(
    seed: int, n: int, ends: list[int], hours: list[int], chosen: list[Block]
) -> None:
    rows = rows_of(seed, n)
    check_tables(cut(whole(rows), rows, ends), rows, [window_at(hour) for hour in hours], chosen)


@pytest.mark.parametrize(
    "key", [("user_id",), ("guest", "room"), ("user_id", "item_id"), ("device",)], ids=str
)
def test_keys_that_come_in_parts_come_once(monkeypatch: pytest.MonkeyPatch, key: tuple[str, ...]) -> None:
    monkeypatch.setattr("features._wide.PART_BYTES", 2**11)
    rows = rows_of(11, 120)
    blocks = [block for block in TABLED if block.key == key]
    assert check_tables(cut(whole(rows), rows, [1, 50]), rows, [window_at(5), window_at(END)], blocks) > 1


@pytest.mark.parametrize(("part_bytes", "at_once"), [(2**11, 32), (2**27, 32), (2**27, 2)])
@pytest.mark.parametrize("key", [("user_id",), ("guest", "room")], ids=str)
def test_lookbacks_and_cutoffs_share_what_is_the_same(
    monkeypatch: pytest.MonkeyPatch, key: tuple[str, ...], part_bytes: int, at_once: int
) -> None:
    """Keys with rows in few tiles have the same rows in many spans: their values are made once and handed out."""
    monkeypatch.setattr("features._wide.PART_BYTES", part_bytes)
    monkeypatch.setattr("features._merged.BLOCK", 3)
    monkeypatch.setattr("features._shared.AT_ONCE", at_once)
    rows = rows_of(17, 70)
    blocks = [block for block in TABLED if block.key == key]
    windows = [window_at(hour) for hour in (5, 8, END)]
    check_tables(cut(whole(rows), rows, [30]), rows, windows, blocks)


SUMMED = [
    "n",
    "n_like",
    "sum_stars",
    "sum_value",
    "sum_like",
    "mean_value",
    "mean_like",
    "std_stars",
    "std_like",
    "std_room",
    "first_clock",
    "pulled_like",
    "pulled_value",
    "liked_n",
    "liked_mean",
    "liked_pulled",
]


@settings(SEARCH, max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 90),
    key=st.sampled_from([("guest", "room"), ("device",)]),
    at_once=st.sampled_from([2, 32]),
)
def test_sorted_rows_give_what_pairs_of_each_key_get(
    monkeypatch: pytest.MonkeyPatch, seed: int, n: int, key: tuple[str, ...], at_once: int
) -> None:
    """Rows of wide keys are sorted instead of grouped, and several sums added up in one number."""
    ordered: list[object] = []

    def watched(*arguments: Any) -> object:
        ordered.append(sort_rows(*arguments))
        return ordered[-1]

    monkeypatch.setattr("features._wide.PART_BYTES", 1)
    monkeypatch.setattr("features._wide.sort_rows", watched)
    monkeypatch.setattr("features._shared.AT_ONCE", at_once)
    monkeypatch.setattr("features._chunks.CHUNK_CELLS", 1)
    monkeypatch.setattr("features._chunks.CHUNK_ROWS", (7, 7))
    rows = rows_of(seed, n)
    blocks = [block for block in TABLED if block.key == key]
    windows = [window_at(hour) for hour in (3, 7, END)]
    check_tables(cut(whole(rows), rows, [n // 3]), rows, windows, blocks, SUMMED)
    assert any(ordered) or rows.drop_nulls(key).n_unique(key) < 2


def test_columns_of_one_finish_come_by_each_name_that_asks_for_them() -> None:
    registry = Registry()

    def rows(log: Log) -> Aggregate:
        """Rows."""
        return count()

    def values(log: Log) -> Aggregate:
        """Sum."""
        return total(log.value)

    for body, name, lookbacks in (
        (rows, "a", [None, horizon(1)]),
        (rows, "b", [horizon(1)]),
        (values, "c", [None]),
        (rows, "d", [horizon(1), horizon(2)]),
    ):
        named = FunctionType(body.__code__, body.__globals__, name)
        named.__doc__ = body.__doc__
        aggregate(keys=["user_id"], lookbacks=lookbacks, registry=registry)(named)
    catalogue = bind_catalogue(whole(rows_of(3, 40)), registry)
    tables = list(aggregate_tables(catalogue, [window_at(5), window_at(END)], list(catalogue.columns)))
    names = {one.lookback.text: one.values.columns[1:] for one in tables}
    assert names == {"": ["a__user_id", "c__user_id"], "h2": ["d__user_id__h2"],
                     "h1": ["a__user_id__h1", "b__user_id__h1", "d__user_id__h1"]}  # fmt: skip
    for one in tables:
        counted = [name for name in one.values.columns if name[0] in "abd"]
        alone = aggregate_tables(catalogue, [one.window], counted[-1:])
        expected = next(t.values for t in alone if t.lookback == one.lookback).sort("user_id")
        for name in counted:
            assert one.values.sort("user_id")[name].to_list() == expected[counted[-1]].to_list()


@pytest.mark.parametrize(
    "key",
    [("guest", "room"), ("user_id", "item_id"), *PACKED_ENUMS],
    ids=str,
)
def test_packed_keys_come_back_as_they_were(key: tuple[str, ...]) -> None:
    """Two small keys are packed into one number of 64 bits: at its ends, with nulls, Enums and Booleans."""
    rows = rows_of(13, 200)
    ends = {name: pl.col(name).max() for name in ("user_id", "item_id", "room")}
    assert rows.select(**ends).row(0) == (2**32 - 1, 2**32 - 1, 2**16 - 1)
    check_tables(cut(whole(rows), rows, [80]), rows, [window_at(END)], [Block(key, ""), Block(key, "__h1")])
