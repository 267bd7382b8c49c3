"""Sums that lie side by side in one number are those of each addend by itself."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from features._lanes import pack

LOW, HIGH = -(2**63), 2**63 - 1
RANGES = [(0, 1), (0, 255), (-3, 3), (-(2**15), 2**15), (0, 2**40), (LOW, HIGH)]


@given(data=st.data(), cuts=st.lists(st.integers(0, 40), min_size=2, max_size=9, unique=True))
def test_packed_sums_are_those_of_each_addend(data: st.DataObject, cuts: list[int]) -> None:
    """Differences of running sums over any span of rows that is no longer than announced; all wraps around alike."""
    ends = sorted(cuts)
    bounds = data.draw(st.lists(st.sampled_from(RANGES), min_size=1, max_size=9))
    addends = {
        f"a{number}": np.array(
            data.draw(st.lists(st.integers(*own), min_size=40, max_size=40)), dtype=np.int64
        )
        for number, own in enumerate(bounds)
    }
    most = max(end - begin for begin, end in pairwise(ends))
    packed = pack(addends, most)
    running = [np.concatenate(([0], np.cumsum(word))).astype(np.uint64) for word in packed.words]
    for begin, end in pairwise(ends):
        n_rows = np.array([end - begin])
        for name, values in addends.items():
            lane = packed.lanes[name]
            words = running[lane.word][[end]] - running[lane.word][[begin]]
            assert lane.total(words, n_rows)[0] == np.add.reduce(values[begin:end])


def test_small_addends_share_a_number() -> None:
    flags = {name: np.array([0, 1, 1], dtype=np.uint8) for name in "abcdefgh"}
    assert len(pack(flags, most_rows=255).words) == 1
