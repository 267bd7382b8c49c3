"""What is not merged by tile: the last rows of each key, and states of each window by itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from features._grid import begins
from features._groups import Group
from features._keys import KeyIndex
from features._lookback import Lookback
from features._states import State
from validation import Window

Slot = tuple[Window, Lookback]


class Tails:
    """Keeps the last rows of every key while the log goes by, and takes their states at each cutoff.

    Memory is bounded by (keys of the pairs) x (longest ``last(n)``), however long the log is.
    """

    def __init__(self, group: Group, windows: Iterable[Window], schema: pl.Schema) -> None:
        self.group, self.schema = group, schema
        self.waiting = sorted(windows)
        self.most = max(lookback.size for lookback, _ in group.tails)
        self.kept: pl.DataFrame | None = None
        self.states: dict[Slot, pl.DataFrame] = {}

    def add(self, rows: pl.DataFrame) -> None:
        """Add rows with their ``code``, later than all before."""
        both = rows if self.kept is None else pl.concat([self.kept, rows])
        self.kept = both.filter(_from_end() < self.most)

    def pass_by(self, clock: int) -> None:
        """Take the states of windows whose cutoff is at or before the clock: what comes next is not before it."""
        while self.waiting and self.waiting[0].cutoff <= clock:
            window = self.waiting.pop(0)
            if self.kept is not None:
                for lookback in {lookback for lookback, _ in self.group.tails}:
                    rows = self.kept.filter(_from_end() < lookback.size)
                    states = [s for asked, s in self.group.tails if asked == lookback]
                    self.states[window, lookback] = grouped(rows, states, window, self.schema)


class Direct:
    """Keeps the narrowed rows and computes what cannot be merged, for each window and lookback by itself."""

    def __init__(self, group: Group, schema: pl.Schema) -> None:
        self.group, self.schema = group, schema
        self.parts: list[pl.DataFrame] = []

    def add(self, rows: pl.DataFrame) -> None:
        """Add rows with their ``code``, later than all before."""
        self.parts.append(rows)

    def close(self, windows: Iterable[Window]) -> dict[Slot, pl.DataFrame]:
        """Compute the states of every window and lookback."""
        if not self.parts:
            return {}
        rows, self.parts = pl.concat(self.parts), []
        found = {}
        for window in windows:
            for lookback in {lookback for lookback, _ in self.group.direct}:
                states = [s for asked, s in self.group.direct if asked == lookback]
                seen = rows.filter(pl.col("clock") < window.cutoff)
                begin = begins(window, lookback)
                if begin is not None:
                    seen = seen.filter(pl.col("clock") >= begin)
                found[window, lookback] = grouped(seen, states, window, self.schema)
        return found


def narrowed(rows: pl.DataFrame, index: KeyIndex) -> pl.DataFrame:
    """Keep the rows of the indexed keys, in their order, with ``code``. Rows come from ``KeyIndex.with_lookup``."""
    if not index.key:
        return rows.with_columns(pl.lit(0, pl.UInt32).alias("code"))
    return rows.join(index.lookup, on=index.on, how="inner", validate="m:1", maintain_order="left")


def grouped(rows: pl.DataFrame, states: Sequence[State], window: Window, schema: pl.Schema) -> pl.DataFrame:
    """Compute states by ``code`` from rows in the order of (clock, row)."""
    literals = {"cutoff": pl.lit(window.cutoff, pl.Int64), "horizon": pl.lit(window.horizon, pl.Int64)}
    expressions = [state.within_group(schema) for state in states]
    return rows.lazy().with_columns(**literals).group_by("code").agg(expressions).collect(engine="in-memory")


def _from_end() -> pl.Expr:
    """Rows of the same key that come after, in the order of the rows."""
    return pl.int_range(pl.len(), dtype=pl.UInt32).reverse().over("code")
