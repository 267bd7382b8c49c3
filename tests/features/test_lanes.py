"""Sums that lie side by side in one number are those of each addend by itself."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from features._lanes import Words, lay_out

LOW, HIGH = -(2**63), 2**63 - 1
RANGES = [(0, 1), (0, 255), (-3, 3), (-(2**15), 2**15), (0, 2**40), (LOW, HIGH)]


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 10**6),
    bounds=st.lists(st.sampled_from(RANGES), min_size=1, max_size=9),
    cuts=st.lists(st.integers(0, 40), min_size=2, max_size=9, unique=True),
)
def test_packed_sums_are_those_of_each_addend(
    seed: int, bounds: list[tuple[int, int]], cuts: list[int]
) -> None:
    """Differences of running sums over any span of rows that is no longer than announced; all wraps around alike."""
    random, ends = np.random.default_rng(seed), sorted(cuts)
    addends = {
        f"a{number}": random.integers(low, high, 40, endpoint=True)
        for number, (low, high) in enumerate(bounds)
    }
    ranges = {name: (int(values.min()), int(values.max())) for name, values in addends.items()}
    lanes = lay_out(ranges, max(end - begin for begin, end in pairwise(ends)))
    packed: list[Words] = [np.zeros(40, np.uint64) for _ in lanes]
    for name, lane in lanes.items():
        lane.put(addends[name], packed[lane.word])
    running = [np.append(np.zeros(1, np.uint64), np.cumsum(word)) for word in packed]
    for begin, end in pairwise(ends):
        for name, values in addends.items():
            lane = lanes[name]
            words = running[lane.word][[end]] - running[lane.word][[begin]]
            assert lane.total(words, np.array([end - begin]))[0] == np.add.reduce(values[begin:end])


def test_small_addends_share_a_number() -> None:
    assert {lane.word for lane in lay_out(dict.fromkeys("abcdefgh", (0, 1)), most_rows=255).values()} == {0}
