"""However a log is cut, lies, is tiled or split, a value has the bits that one plain query over the history gives."""

from __future__ import annotations

from collections.abc import Sequence
from types import FunctionType

import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from competitions import Dataset
from features import (
    Aggregate,
    Log,
    Lookback,
    Registry,
    Window,
    aggregate,
    bind_catalogue,
    compute_windows,
    count,
    horizon,
)
from tests.features.tile_cases import CASES
from tests.features.tile_logs import END, cut, pairs_of, pairs_of_log, rows_of, whole, window_at
from tests.features.tile_oracle import (
    BLOCKS,
    KEYS,
    Block,
    Key,
    assert_like_plain_query,
    catalogue_of,
    differing,
)

# No shrinking: an example costs half a second, and the message names the column and the window.
SEARCH = settings(deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
PAIRS = pairs_of(24)


def compute(
    dataset: Dataset, windows: Sequence[Window], names: Sequence[str], pairs: pl.DataFrame
) -> dict[Window, pl.DataFrame]:
    return compute_windows(catalogue_of(dataset), names, dict.fromkeys(windows, pairs))


seeds, sizes = st.integers(0, 10**6), st.integers(0, 90)
hours = st.lists(st.integers(0, END), min_size=1, max_size=4, unique=True)
edges = st.lists(st.integers(1, 89), max_size=6)
some_block = st.sampled_from(BLOCKS)


@settings(SEARCH, max_examples=12)
@given(
    seed=seeds, n=sizes, ends=edges, cutoffs=hours, block=some_block, horizons=st.sampled_from([(2,), (1, 2)])
)
def test_any_partitions_and_windows_give_what_one_query_gives(
    seed: int,
    n: int,
    ends: list[int],
    cutoffs: list[int],
    block: Block,
    horizons: tuple[int, ...],
) -> None:
    rows = rows_of(seed, n)
    dataset = cut(whole(rows), rows, ends)
    windows = [window_at(hour) for hour in cutoffs]
    extra = [window_at(hour, horizon) for hour in cutoffs for horizon in horizons if horizon != 2]
    found = compute(dataset, [*windows, *extra], block.columns, PAIRS)
    for window in windows:
        assert_like_plain_query(dataset, window, block, found[window], PAIRS)


def test_many_columns_of_a_longer_log_are_what_one_query_gives() -> None:
    """All keys in one pass: states, tiles and partitions shared by everything."""
    rows = rows_of(7, 400)
    dataset = cut(whole(rows), rows, [50, 51, 190, 333])
    blocks = BLOCKS[::3]  # every key, and every lookback
    names = [name for block in blocks for name in block.columns]
    found = compute(dataset, [window_at(hour) for hour in (5, END)], names, PAIRS)
    for number, block in enumerate(blocks):
        window = window_at((5, END)[number % 2])
        assert_like_plain_query(dataset, window, block, found[window], PAIRS)


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_lookbacks_and_cutoffs_of_every_key_of_the_log_are_what_one_query_gives(key: Key) -> None:
    """Lookbacks of a key share what was gathered for its pairs, and begin within one another."""
    rows, windows = rows_of(17, 70), [window_at(hour) for hour in (5, 8, END)]
    dataset, pairs = cut(whole(rows), rows, [30]), pairs_of_log(rows)
    blocks = [block for block in BLOCKS if block.key == key]
    found = compute(dataset, windows, [name for block in blocks for name in block.columns], pairs)
    for block in blocks:
        for window in windows:
            assert_like_plain_query(dataset, window, block, found[window], pairs)


@settings(SEARCH, max_examples=5)
@given(seed=seeds, n=sizes, block=some_block, ends=edges)
def test_the_order_of_a_table_in_memory_and_its_partitions_change_no_bit(
    seed: int, n: int, block: Block, ends: list[int]
) -> None:
    """Decayed sums among them: it does not matter in which partition a row lies."""
    rows = rows_of(seed, n)
    windows = [window_at(4), window_at(9)]
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=seed)
    one, *others = (
        compute(dataset, windows, block.columns, PAIRS)
        for dataset in (whole(rows), whole(shuffled), cut(whole(rows), rows, ends))
    )
    for other in others:
        assert [differing(one[w], other[w]) for w in windows] == [[], []]


@settings(SEARCH, max_examples=5)
@given(seed=seeds, n=sizes, ends=edges, cutoffs=hours, block=some_block)
def test_windows_together_equal_each_by_itself(
    seed: int, n: int, ends: list[int], cutoffs: list[int], block: Block
) -> None:
    rows = rows_of(seed, n)
    dataset = cut(whole(rows), rows, ends)
    windows = [window_at(hour) for hour in cutoffs]
    together = compute(dataset, windows, block.columns, PAIRS)
    bounded = {block.column(name) for name, case in CASES.items() if case.bound}
    for window in windows:
        alone = compute(dataset, [window], block.columns, PAIRS)[window]
        assert set(differing(together[window], alone)) <= bounded


@settings(SEARCH, max_examples=8)
@given(
    seed=seeds,
    n=st.integers(60, 90),
    ends=edges,
    cutoffs=st.sets(st.sampled_from([2, 4, 6, 8, 10]), min_size=1),
    gap=st.integers(0, 1),
)
def test_decayed_sums_have_the_same_bits_if_windows_lie_a_horizon_apart(
    seed: int, n: int, ends: list[int], cutoffs: set[int], gap: int
) -> None:
    """With a gap before the targets, and whatever lookbacks begin between the cutoffs."""
    rows = rows_of(seed, n)
    names = [b.column(c) for b in BLOCKS for c in ("fading", "fading_h")]
    windows = [window_at(hour - gap) for hour in sorted({*cutoffs, END})]
    together = compute(cut(whole(rows), rows, ends), windows, names, PAIRS)
    for window in (windows[0], windows[-1]):
        alone = compute(whole(rows), [window], names, PAIRS)[window]
        assert differing(together[window], alone) == []


@settings(SEARCH, max_examples=4)
@given(seed=seeds, n=sizes, block=some_block, chosen=st.sets(st.integers(0, 23), min_size=1, max_size=6))
def test_a_pair_has_the_same_value_in_bulk_in_a_sample_and_alone(
    seed: int, n: int, block: Block, chosen: set[int]
) -> None:
    """Priors are over all keys, whichever are asked for."""
    rows = rows_of(seed, n)
    dataset, window = cut(whole(rows), rows, [20, 40]), window_at(10)
    bulk = compute(dataset, [window], block.columns, PAIRS)[window][sorted(chosen)]
    sample = PAIRS[sorted(chosen)]
    assert differing(compute(dataset, [window], block.columns, sample)[window], bulk) == []
    assert differing(compute(dataset, [window], block.columns, sample[:1])[window], bulk[:1]) == []


def test_columns_of_one_finish_come_by_each_name_that_asks_for_them() -> None:
    registry = Registry()

    def rows(log: Log) -> Aggregate:
        """Rows."""
        return count()

    asking: dict[str, list[Lookback | None]] = {
        "a": [None, horizon(1)],
        "b": [horizon(1)],
        "c": [horizon(1), horizon(2)],
    }
    for name, lookbacks in asking.items():
        named = FunctionType(rows.__code__, rows.__globals__, name)
        named.__doc__ = rows.__doc__
        aggregate(keys=["user_id"], lookbacks=lookbacks, registry=registry)(named)
    catalogue = bind_catalogue(whole(rows_of(3, 40)), registry)
    pairs = dict.fromkeys([window_at(5), window_at(END)], PAIRS)
    for window, found in compute_windows(catalogue, list(catalogue.columns), pairs).items():
        for suffix, names in {"": "a", "__h1": "abc", "__h2": "c"}.items():
            asked = [f"{name}__user_id{suffix}" for name in names]
            alone = compute_windows(catalogue, asked[-1:], {window: PAIRS})[window][asked[-1]]
            assert alone.sum() > 0
            assert all(found[name].equals(alone, check_names=False) for name in asked)
