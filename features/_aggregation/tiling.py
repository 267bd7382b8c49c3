"""The tiles of the clock: cells between the boundaries that windows and lookbacks have."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from competitions import Dataset
from features._declare import Lookback
from validation import Window

MOST_BASE_BOUNDS = 64


@dataclass(frozen=True)
class Grid:
    """Ascending boundaries. Cell ``i`` is ``bounds[i - 1] <= clock < bounds[i]``; cell 0 begins with the log.

    Rows from the last boundary on are in no cell: they are after every cutoff.
    """

    bounds: tuple[int, ...]

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.bounds)

    def cells(self, window: Window, lookback: Lookback) -> tuple[int, int]:
        """Give the cells ``first <= i < until`` of what a lookback sees from a window's cutoff.

        >>> Grid((10, 20, 30)).cells(Window(30, 30, 40), Lookback("horizon", 1, "h1"))
        (2, 3)
        """
        begin = begins(window, lookback)
        first = 0 if begin is None else bisect_left(self.bounds, begin) + 1
        return first, bisect_left(self.bounds, window.cutoff) + 1


def begins(window: Window, lookback: Lookback) -> int | None:
    """Clock that a lookback begins at; None if it sees everything (``last`` counts rows and not clocks)."""
    match lookback.kind:
        case "span":
            return window.cutoff - lookback.size
        case "horizon":
            return window.cutoff - lookback.size * window.horizon
        case _:
            return None


def make_grid(windows: Iterable[Window], lookbacks: Sequence[Lookback], base: Iterable[int] = ()) -> Grid:
    """Cut where a window ends its history and where a lookback begins, and at ``base`` before the last cutoff."""
    windows = tuple(windows)
    edges = {window.cutoff for window in windows}
    starts = {begins(window, lookback) for window in windows for lookback in lookbacks}
    last = max(edges, default=0)
    edges |= {start for start in starts if start is not None} | {bound for bound in base if bound < last}
    return Grid(tuple(sorted(edges)))


def base_bounds(dataset: Dataset, first_clock: int) -> list[int]:
    """Lay boundaries one horizon apart back from the test window: the same for every plan of a data set.

    Decayed sums are weighed tile by tile, so their last bits depend on the tiles: with these among them, they do not
    depend on which windows are computed together, as long as the windows lie one horizon apart.
    """
    bounds = range(dataset.test_start, first_clock, -dataset.horizon)
    return list(bounds[:MOST_BASE_BOUNDS])
