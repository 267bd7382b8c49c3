"""What is made of rows and not of tiles: the last n rows of each key, and what cannot be merged (a median)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from features._aggregation.keys import KeyIndex
from features._aggregation.log_rows import window_columns
from features._aggregation.plan import Group, Request
from features._aggregation.tiling import begin_of
from features._arithmetic import State
from features._declare import Lookback
from validation import Window

Origins = Mapping[str, float | None]
ByWindow = dict[tuple[Window, Lookback], pl.DataFrame]  # states by ``code``


class LastRows:
    """Carries the last rows of every key while the log goes by, and takes their states at each cutoff.

    Memory is bounded by (keys of the pairs) x (longest ``last_n(n)``), however long the log is.
    """

    def __init__(self, group: Group, windows: Iterable[Window], schema: pl.Schema, origins: Origins) -> None:
        self.schema, self.origins = schema, origins
        self.by_lookback = _by_lookback(group.over_last_rows)
        self.longest = max(lookback.size for lookback in self.by_lookback)
        self.waiting = sorted(windows)
        self.rows: pl.DataFrame | None = None
        self.found: ByWindow = {}

    def add(self, rows: pl.DataFrame) -> None:
        """Add rows with their ``code``, later than all before."""
        both = rows if self.rows is None else pl.concat([self.rows, rows])
        self.rows = both.filter(_from_end() < self.longest)

    def pass_by(self, clock: int) -> None:
        """Take the states of windows whose cutoff is at or before the clock: what comes next is not before it."""
        while self.waiting and self.waiting[0].cutoff <= clock:
            window = self.waiting.pop(0)
            if self.rows is not None:
                for lookback, states in self.by_lookback.items():
                    rows = _with_origins(self.rows.filter(_from_end() < lookback.size), self.origins)
                    self.found[window, lookback] = _by_code(rows, states, window, self.schema)


class Unmergeable:
    """Keeps rows, and computes what cannot be merged for each window and lookback by itself.

    Rows are narrowed to the keys when they come, unless the group's filter wants to see whole histories.
    """

    def __init__(self, group: Group, index: KeyIndex, schema: pl.Schema, origins: Origins) -> None:
        self.group, self.index, self.schema, self.origins = group, index, schema, origins
        self.by_lookback = _by_lookback(group.by_window)
        self.rows: list[pl.DataFrame] = []

    def add(self, rows: pl.DataFrame) -> None:
        """Add rows, later than all before: with their ``code``, or as they are in the log."""
        self.rows.append(rows)

    def close(self, windows: Iterable[Window]) -> ByWindow:
        """Compute the states of every window and lookback."""
        if not self.rows:
            return {}
        rows, self.rows = pl.concat(self.rows), []
        found = {}
        for window in windows:
            history = self._history(rows, window)
            for lookback, states in self.by_lookback.items():
                seen, begin = history, begin_of(window, lookback)
                if begin is not None:
                    seen = seen.filter(pl.col("clock") >= begin)
                if lookback.kind == "last":
                    seen = seen.filter(_from_end() < lookback.size)
                found[window, lookback] = _by_code(seen, states, window, self.schema)
        return found

    def _history(self, rows: pl.DataFrame, window: Window) -> pl.DataFrame:
        """Rows before the cutoff with the origins; filtered and narrowed now, if the group looks at all rows."""
        seen = rows.filter(pl.col("clock") < window.cutoff)
        if not self.group.is_whole:
            return _with_origins(seen, self.origins)
        seen = seen.with_columns(**window_columns(window))
        if self.group.where is not None:
            seen = seen.filter(self.group.where)
        return self.index.narrow(
            seen.with_columns(first.alias(name) for name, first in self.group.origins.items())
        )


def _by_lookback(requests: Iterable[Request]) -> dict[Lookback, list[State]]:
    states: dict[Lookback, list[State]] = {}
    for lookback, state in requests:
        states.setdefault(lookback, []).append(state)
    return states


def _with_origins(rows: pl.DataFrame, origins: Origins) -> pl.DataFrame:
    """Add the numbers that deviations are taken from."""
    return rows.with_columns(pl.lit(value, pl.Float64).alias(name) for name, value in origins.items())


def _by_code(rows: pl.DataFrame, states: Sequence[State], window: Window, schema: pl.Schema) -> pl.DataFrame:
    """Compute states by ``code`` from rows in the order of (clock, row)."""
    rows = rows.with_columns(**window_columns(window))
    expressions = [state.within_group(schema) for state in states]
    return rows.lazy().group_by("code").agg(expressions).collect(engine="in-memory")


def _from_end() -> pl.Expr:
    """Rows of the same key that come after, in the order of the rows."""
    return pl.int_range(pl.len(), dtype=pl.UInt32).reverse().over("code")
