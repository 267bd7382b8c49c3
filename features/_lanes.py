"""Several small sums in one 64-bit number: a row's addends side by side, so that one addition adds them all.

A lane is as wide as the largest sum of a key can be. Within a running sum lanes carry into each other, yet the
difference of two running sums over the rows of one key is the sum of its addends, lane by lane, modulo 2^64.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

WORD = 64
Words = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Lane:
    """Where the sums of an addend lie: which word, from which bit, so many bits; ``lowest`` is taken off each addend.

    A lane of 64 bits is the sum itself, which may be negative.
    """

    word: int
    shift: int
    n_bits: int
    lowest: int

    def put(self, values: npt.NDArray[Any], words: Words) -> None:
        """Put an integer addend of each row (n,) into its bits of the word, in place; they were zero."""
        own = values.astype(np.int64)
        own -= self.lowest
        words |= own.view(np.uint64) << np.uint64(self.shift)

    def total(self, words: Words, n_rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Take the sums out of sums of the words (n,), over ``n_rows`` (n,) rows each."""
        if self.n_bits == WORD:
            return words.view(np.int64)
        own = words >> np.uint64(self.shift)
        if self.shift + self.n_bits < WORD:
            own &= np.uint64(2**self.n_bits - 1)
        found = own.view(np.int64)
        return found + n_rows * self.lowest if self.lowest else found


def lay_out(ranges: Mapping[str, tuple[int, int]], most_rows: int) -> dict[str, Lane]:
    """Give every addend a lane, by its smallest and largest value, if at most ``most_rows`` are ever summed."""
    sizes = {name: _size(*bounds, most_rows) for name, bounds in ranges.items()}
    free: list[int] = []
    lanes: dict[str, Lane] = {}
    for name in sorted(sizes, key=lambda name: -sizes[name][0]):
        n_bits, lowest = sizes[name]
        word = next((number for number, left in enumerate(free) if left >= n_bits), len(free))
        if word == len(free):
            free.append(WORD)
        lanes[name] = Lane(word, WORD - free[word], n_bits, lowest)
        free[word] -= n_bits
    return lanes


def _size(smallest: int, largest: int, most_rows: int) -> tuple[int, int]:
    """Give the width of a lane, and what is taken off its addends so that none is negative."""
    lowest = min(0, smallest)
    n_bits = ((max(0, largest) - lowest) * most_rows).bit_length()
    return (max(1, n_bits), lowest) if n_bits < WORD else (WORD, 0)
