"""Spans of tiles that hold the same rows of a key: what is made of them is the same, and is made once.

Most keys have rows in few tiles. All spans that see the same of these share one set of values, so that a further
cutoff or lookback costs little more than to hand them out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Span = tuple[int, int]  # of tiles, first <= i < until
Positions = npt.NDArray[np.int64]
Places = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Distinct:
    """Which keys have rows in which span, and the distinct (key, rows) of all spans, numbered.

    ``fresh``: by span, the keys whose rows no earlier span holds; in this order they are numbered. ``keys``: by span,
    the keys with rows. ``places``: by span, the number of the rows of each of these.
    """

    fresh: Mapping[Span, Positions]
    keys: Mapping[Span, Positions]
    places: Mapping[Span, Places]


def distinct_rows(edges: Sequence[Positions], spans: Iterable[Span]) -> Distinct:
    """Find the distinct rows of each key in so many spans.

    ``edges[t]`` (n_keys,): number of rows of a key before tile ``t`` (counted from anywhere). Two spans hold the same
    rows of a key where nothing lies between their ends; each span is compared with the next wider ones.
    """
    ordered = sorted(set(spans), key=lambda span: (-span[1], span[0]))
    fresh, keys, places = {}, {}, {}
    every: dict[Span, Places] = {}
    n_found = 0
    for number, span in enumerate(ordered):
        begin, end = edges[span[0]], edges[span[1]]
        place = np.full(len(begin), -1, dtype=np.int32)
        has_rows = end > begin
        for wider in _next_wider(span, ordered[:number]):
            same = edges[wider[0]] == begin if wider[1] == span[1] else edges[wider[1]] == end
            np.copyto(place, every[wider], where=same & has_rows)
        new = np.flatnonzero(has_rows & (place < 0))
        place[new] = np.arange(n_found, n_found + len(new), dtype=np.int32)
        n_found += len(new)
        every[span], fresh[span] = place, new
        keys[span] = np.flatnonzero(has_rows)
        places[span] = place.take(keys[span])
    return Distinct(fresh, keys, places)


def _next_wider(span: Span, others: Sequence[Span]) -> list[Span]:
    """Give the narrowest of the spans that end alike and begin earlier, and of those that begin alike and end later."""
    first, until = span
    earlier = max((other for other in others if other[1] == until and other[0] < first), default=None)
    later = min((other for other in others if other[0] == first and other[1] > until), default=None)
    return [other for other in (earlier, later) if other is not None]
