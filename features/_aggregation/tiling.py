"""Where the clock is cut into tiles: where the history of a window ends and where a lookback begins."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from competitions import Dataset
from features._declare import Lookback
from validation import Window

MAX_BASE_CUTS = 64
ByTile = list[
    tuple[int, pl.DataFrame]
]  # rows or partials of tiles; a tile may come several times, in clock order


@dataclass(frozen=True)
class Tiling:
    """Ascending cuts. Tile ``i`` is ``cuts[i - 1] <= clock < cuts[i]``; tile 0 begins with the log.

    Rows from the last cut on are in no tile: they are after every cutoff. ``anchors``: the cuts that decayed sums are
    weighed from, those of lookbacks not among them; all of them if it is empty.
    """

    cuts: tuple[int, ...]
    anchors: tuple[int, ...] = ()

    @property
    def n_tiles(self) -> int:
        """Number of tiles."""
        return len(self.cuts)

    def anchor(self, tile: int) -> int:
        """Clock that decayed sums of a tile are weighed from: the first anchor at its end or after it.

        >>> Tiling((10, 20, 30), anchors=(10, 30)).anchor(1)
        30
        """
        at = bisect_left(self.anchors, self.cuts[tile])
        return self.anchors[at] if at < len(self.anchors) else self.cuts[tile]

    def tile_at(self, clock: int) -> int:
        """Tile that a clock lies in."""
        return bisect_right(self.cuts, clock)

    def span(self, window: Window, lookback: Lookback) -> tuple[int, int]:
        """Give the tiles ``first <= i < until`` of what a lookback sees from a window's cutoff.

        >>> Tiling((10, 20, 30)).span(Window(30, 30, 40), Lookback("horizon", 1, "h1"))
        (2, 3)
        """
        begin = begin_of(window, lookback)
        first = 0 if begin is None else bisect_left(self.cuts, begin) + 1
        return first, bisect_left(self.cuts, window.cutoff) + 1

    def split(self, rows: pl.DataFrame, first: int = 0) -> Iterator[tuple[int, pl.DataFrame]]:
        """Cut rows that are sorted by ``clock`` into tiles, from the ``first`` on; those without rows are left out."""
        ends = np.searchsorted(rows["clock"].to_numpy(), np.asarray(self.cuts, dtype=np.int64), side="left")
        begin = 0
        for tile, end in enumerate(ends.tolist()):
            if end > begin and tile >= first:
                yield tile, rows[begin:end]
            begin = max(begin, end)


def begin_of(window: Window, lookback: Lookback) -> int | None:
    """Clock that a lookback begins at; None if it sees everything (``last_n`` counts rows and not clocks)."""
    match lookback.kind:
        case "span":
            return max(window.cutoff - lookback.size, -(2**62))  # Int64, however far back
        case "horizon":
            return max(window.cutoff - lookback.size * window.horizon, -(2**62))
        case _:
            return None


def make_tiling(windows: Iterable[Window], lookbacks: Sequence[Lookback], base: Iterable[int] = ()) -> Tiling:
    """Cut where a window ends its history and where a lookback begins, and at ``base`` before the last cutoff."""
    windows = tuple(windows)
    cuts = {window.cutoff for window in windows}
    begins = {begin_of(window, lookback) for window in windows for lookback in lookbacks}
    last = max(cuts, default=0)
    anchors = cuts | {cut for cut in base if cut < last}
    cuts = anchors | {begin for begin in begins if begin is not None}
    return Tiling(tuple(sorted(cuts)), tuple(sorted(anchors)))


def base_cuts(dataset: Dataset, windows: Iterable[Window]) -> set[int]:
    """Lay cuts one horizon apart back from the test window, where a window's history could end.

    They are the same for every window of a plan of folds, whatever the gap. Decayed sums are weighed from them, so
    they do not depend on which windows and lookbacks are computed together, as long as windows lie one horizon apart.
    """
    first_clock = dataset.partitions[0].first_clock or 0
    found = set[int]()
    for window in windows:
        last = dataset.test_start - (dataset.test_start - window.cutoff) % window.horizon
        found.update(range(last, first_clock, -window.horizon)[:MAX_BASE_CUTS])
    return found
