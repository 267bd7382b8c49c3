"""Merge partials tile by tile, and give states over any span of tiles: a span of sums is one subtraction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import numpy.typing as npt
import polars as pl

from features._aggregation.keys import Codes
from features._aggregation.tiling import Tiling
from features._arithmetic import EXTREMES, GRID, NO_EXTREME, State
from features._declare import Lookback
from validation import Window

Numbers = npt.NDArray[np.int64]


@dataclass
class SpanCache:
    """What lookbacks of one window share for some codes, while they are read, the shortest first.

    ``sums``: by column, prefix sums up to the cutoff. ``extremes``: by state, of the tiles from which on.
    """

    codes: Codes
    sums: dict[tuple[str, int], Numbers] = field(default_factory=dict)
    extremes: dict[tuple[str, int], tuple[int, Numbers]] = field(default_factory=dict)


class PrefixSums:
    """The states of one key by tile: sums as dense Int64 (n_tiles, n_keys + 1), values as a column a tile.

    The last key is the one of pairs whose key is null: it has no rows. After ``close`` sums are prefix sums, so that
    every span of tiles costs one subtraction; Int64 wraps around and back, so only the difference must fit.
    """

    def __init__(self, states: Sequence[State], n_keys: int, tiling: Tiling, schema: pl.Schema) -> None:
        self.states = {state.name: state for state in states}
        self.n_keys, self.tiling, self.schema = n_keys, tiling, schema
        self.whole = {state.name for state in states if state.sums_integers(schema)}
        self.begun: set[int] = set()  # tiles that have some partials
        shape = (tiling.n_tiles, n_keys + 1)
        self.sums: dict[str, Numbers] = {
            name: np.zeros(shape, np.int64)
            for s in states
            if not s.is_value
            for name in s.partial_columns(schema)
        }
        self.extremes: dict[str, Numbers] = {
            s.name: np.full(shape, NO_EXTREME[s.operation], np.int64)
            for s in states
            if s.is_integer_extreme(schema)
        }
        self.values: dict[str, list[pl.Series | None]] = {
            s.name: [None] * tiling.n_tiles for s in states if s.is_value and s.name not in self.extremes
        }

    def add(self, tile: int, partials: pl.DataFrame) -> None:
        """Merge the partials of some rows of a tile: ``code`` (each once) and the columns of ``State.partial``.

        Those of one tile must come in the order of the clock: ``first`` and ``last`` depend on it.
        """
        codes, is_first = partials["code"].to_numpy(), tile not in self.begun
        self.begun.add(tile)
        for name, sums in self.sums.items():
            values = partials[name].to_numpy()
            sums[tile][codes] = values if is_first else sums[tile].take(codes) + values
        for name, ends in self.extremes.items():
            operation = self.states[name].operation
            values = partials[name].fill_null(NO_EXTREME[operation]).to_numpy()
            ends[tile][codes] = values if is_first else EXTREMES[operation](ends[tile].take(codes), values)
        if self.values:
            where = np.full(self.n_keys + 1, -1, dtype=np.int64)
            where[codes] = np.arange(len(codes))
            positions = pl.Series(where).replace(-1, None)
            for name, by_tile in self.values.items():
                state, new, old = self.states[name], partials[name], by_tile[tile]
                is_extreme = state.operation in EXTREMES
                new = (new.fill_nan(None) if is_extreme and new.dtype.is_float() else new).gather(positions)
                by_tile[tile] = new if old is None else state.merge_values(old, new)

    def close(self) -> None:
        """Turn the sums of the tiles into prefix sums, in place; decayed ones stay what they are."""
        for state in self.states.values():
            if not state.is_value and state.operation != "decayed":
                for name in state.partial_columns(self.schema):
                    sums = self.sums[name]
                    for tile in range(1, len(sums)):  # each is contiguous
                        sums[tile] += sums[tile - 1]

    def read(self, window: Window, lookback: Lookback, state: State, cache: SpanCache) -> pl.Series:
        """Give the state of each code over the span of a lookback, named by the state."""
        first, until = self.tiling.span(window, lookback)
        if state.name in self.extremes:
            return self._extreme(state, first, until, cache)
        if state.is_value:
            return self._value(state, first, until, cache.codes)
        if state.operation == "decayed":
            return self._decayed(state, window, first, until, cache.codes)
        names = state.partial_columns(self.schema)
        columns = [pl.Series(name, self._difference(name, first, until, cache)) for name in names]
        return state.composed(columns, is_whole=state.name in self.whole)

    def _difference(self, name: str, first: int, until: int, cache: SpanCache) -> Numbers:
        sums = self.sums[name]
        if (name, until) not in cache.sums:
            cache.sums[name, until] = sums[until - 1].take(cache.codes)
        total = cache.sums[name, until]
        return total - sums[first - 1].take(cache.codes) if first else total

    def _extreme(self, state: State, first: int, until: int, cache: SpanCache) -> pl.Series:
        ends, operation, codes = self.extremes[state.name], EXTREMES[state.operation], cache.codes
        begin, known = cache.extremes.get((state.name, until), (until, None))
        if known is None or first > begin:
            begin, known = until - 1, ends[until - 1].take(codes)
        found: Numbers = known
        for tile in range(first, begin):
            found = operation(found, ends[tile].take(codes))
        cache.extremes[state.name, until] = (first, found)
        values = pl.col(state.name)
        frame = pl.DataFrame({state.name: found})
        return frame.select(pl.when(values != NO_EXTREME[state.operation]).then(values)).to_series()

    def _value(self, state: State, first: int, until: int, codes: Codes) -> pl.Series:
        chosen = pl.Series(codes)
        found: pl.Series | None = None
        for values in self.values[state.name][first:until]:
            if values is not None:
                new = values.gather(chosen)
                found = new if found is None else state.merge_values(found, new)
        if found is None:
            frame = pl.DataFrame(schema=self.schema).select(state.within_group(self.schema))
            return pl.Series(state.name, [None], dtype=frame.schema[state.name]).new_from_index(0, len(codes))
        return found.alias(state.name)

    def _decayed(self, state: State, window: Window, first: int, until: int, codes: Codes) -> pl.Series:
        half_life = state.clock_units(window.horizon)
        total = np.zeros(len(codes))
        for anchor, tiles in groupby(range(first, until), self.tiling.anchor):
            age = float(window.cutoff - anchor)
            weight = math.exp(-age / half_life * math.log(2))
            total += sum(self.sums[state.name][tile][codes] for tile in tiles) * (GRID * weight)
        return pl.Series(state.name, total)
