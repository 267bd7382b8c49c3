"""What is not merged by tile: the last rows of each key, and states of each window by itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from features._aggregation.keys import KeyIndex
from features._aggregation.plan import Group
from features._aggregation.tiling import begins
from features._arithmetic import State
from features._declare import Lookback
from validation import Window

Slot = tuple[Window, Lookback]
References = dict[str, float | None]


class Tails:
    """Keeps the last rows of every key while the log goes by, and takes their states at each cutoff.

    Memory is bounded by (keys of the pairs) x (longest ``last(n)``), however long the log is.
    """

    def __init__(
        self, group: Group, windows: Iterable[Window], schema: pl.Schema, references: References
    ) -> None:
        self.group, self.schema, self.references = group, schema, references
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
                    known = with_references(rows, self.references)
                    self.states[window, lookback] = grouped(known, states, window, self.schema)


class Direct:
    """Keeps rows and computes what cannot be merged, for each window and lookback by itself.

    Rows are narrowed to the keys when they come, unless the group's filter wants to see whole histories.
    """

    def __init__(self, group: Group, index: KeyIndex, schema: pl.Schema, references: References) -> None:
        self.group, self.index, self.schema, self.references = group, index, schema, references
        self.parts: list[pl.DataFrame] = []

    def add(self, rows: pl.DataFrame) -> None:
        """Add rows, later than all before: with their ``code``, or as they are in the log."""
        self.parts.append(rows)

    def close(self, windows: Iterable[Window]) -> dict[Slot, pl.DataFrame]:
        """Compute the states of every window and lookback."""
        if not self.parts:
            return {}
        rows, self.parts = pl.concat(self.parts), []
        found = {}
        for window in windows:
            history = self._history(rows, window)
            for lookback in {lookback for lookback, _ in self.group.direct}:
                states = [s for asked, s in self.group.direct if asked == lookback]
                seen = history
                begin = begins(window, lookback)
                if begin is not None:
                    seen = seen.filter(pl.col("clock") >= begin)
                if lookback.kind == "last":
                    seen = seen.filter(_from_end() < lookback.size)
                found[window, lookback] = grouped(seen, states, window, self.schema)
        return found

    def _history(self, rows: pl.DataFrame, window: Window) -> pl.DataFrame:
        """Rows before the cutoff with the references; filtered and narrowed now, if the group looks at all rows."""
        seen = rows.filter(pl.col("clock") < window.cutoff)
        if not self.group.is_whole:
            return with_references(seen, self.references)
        seen = seen.with_columns(**window_literals(window))
        kept = seen if self.group.where is None else seen.filter(self.group.where)
        kept = kept.with_columns(first.alias(name) for name, first in self.group.references.items())
        return narrowed(kept, self.index)


def with_references(rows: pl.DataFrame, references: References) -> pl.DataFrame:
    """Add the numbers that deviations are taken from."""
    return rows.with_columns(pl.lit(value, pl.Float64).alias(name) for name, value in references.items())


def window_literals(window: Window) -> dict[str, pl.Expr]:
    """Cutoff and horizon as columns."""
    return {"cutoff": pl.lit(window.cutoff, pl.Int64), "horizon": pl.lit(window.horizon, pl.Int64)}


def narrowed(rows: pl.DataFrame, index: KeyIndex) -> pl.DataFrame:
    """Keep the rows of the indexed keys, in their order, with ``code``."""
    if not index.key:
        return rows.with_columns(pl.lit(0, pl.UInt32).alias("code"))
    chosen, codes = index.found(rows)
    if len(chosen) < rows.height:
        rows = rows[pl.Series(chosen.astype(np.uint32))]
    return rows.with_columns(pl.Series("code", codes, dtype=pl.UInt32))


def grouped(rows: pl.DataFrame, states: Sequence[State], window: Window, schema: pl.Schema) -> pl.DataFrame:
    """Compute states by ``code`` from rows in the order of (clock, row)."""
    rows = rows.with_columns(**window_literals(window))
    expressions = [state.within_group(schema) for state in states]
    return rows.lazy().group_by("code").agg(expressions).collect(engine="in-memory")


def _from_end() -> pl.Expr:
    """Rows of the same key that come after, in the order of the rows."""
    return pl.int_range(pl.len(), dtype=pl.UInt32).reverse().over("code")
