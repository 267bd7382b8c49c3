"""Merge the parts of states by tile, and read any span of tiles back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from features._aggregation.keys import Codes
from features._aggregation.tiling import Grid
from features._arithmetic import GRID, State
from features._declare import Lookback
from validation import Window

Sums = npt.NDArray[np.int64]

NONE = {"smallest": np.iinfo(np.int64).max, "largest": np.iinfo(np.int64).min}
EXTREME = {"smallest": np.minimum, "largest": np.maximum}


def is_integer_extreme(state: State, schema: pl.Schema) -> bool:
    """Tell whether the state is the smallest or largest of integers, which are kept as dense Int64."""
    dtype = state.value_dtype(schema) if state.operation in NONE else None
    return dtype is not None and dtype.is_integer() and dtype not in (pl.UInt64, pl.Int128, pl.UInt128)


@dataclass
class Gathered:
    """What was gathered for some codes, while the lookbacks of one window are read, the shortest first.

    ``sums``: by part, prefix sums up to the cutoff. ``extremes``: by state, of the cells from which on.
    """

    codes: Codes
    sums: dict[tuple[str, int], Sums] = field(default_factory=dict)
    extremes: dict[tuple[str, int], tuple[int, Sums]] = field(default_factory=dict)


class Accumulator:
    """Parts of the states of one key: sums as dense Int64 (n_cells, n_keys + 1), values as a column a cell.

    The last key is the one of pairs whose key is null: it never has rows. After ``close`` sums are prefix sums, so
    that every span of cells costs one subtraction; Int64 wraps around and back, so only the difference must fit.
    """

    def __init__(self, states: Sequence[State], n_keys: int, grid: Grid, schema: pl.Schema) -> None:
        self.states = {state.name: state for state in states}
        self.n_keys, self.grid, self.schema = n_keys, grid, schema
        self.whole = {state.name for state in states if state.sums_integers(schema)}
        self.begun: set[int] = set()  # cells that have some parts
        shape = (grid.n_cells, n_keys + 1)
        self.sums: dict[str, Sums] = {
            part: np.zeros(shape, np.int64) for s in states if not s.is_value for part in s.parts(schema)
        }
        self.extremes: dict[str, Sums] = {
            s.name: np.full(shape, NONE[s.operation], np.int64)
            for s in states
            if is_integer_extreme(s, schema)
        }
        self.values: dict[str, list[pl.Series | None]] = {
            s.name: [None] * grid.n_cells for s in states if s.is_value and s.name not in self.extremes
        }

    def add(self, cell: int, partial: pl.DataFrame) -> None:
        """Add the parts of some rows of a cell: ``code`` (each once) and the columns of ``State.partial``.

        Parts of one cell must come in the order of the clock: ``first`` and ``last`` depend on it.
        """
        codes, is_first = partial["code"].to_numpy(), cell not in self.begun
        self.begun.add(cell)
        for name, cells in self.sums.items():
            values = partial[name].to_numpy()
            cells[cell][codes] = values if is_first else cells[cell].take(codes) + values
        for name, cells in self.extremes.items():
            operation = self.states[name].operation
            values = partial[name].fill_null(NONE[operation]).to_numpy()
            cells[cell][codes] = values if is_first else EXTREME[operation](cells[cell].take(codes), values)
        if self.values:
            where = np.full(self.n_keys + 1, -1, dtype=np.int64)
            where[codes] = np.arange(len(codes))
            positions = pl.Series(where).replace(-1, None)
            for name, parts in self.values.items():
                new = partial[name]
                is_extreme = self.states[name].operation in NONE
                new = (new.fill_nan(None) if is_extreme and new.dtype.is_float() else new).gather(positions)
                old = parts[cell]
                parts[cell] = new if old is None else merged(self.states[name].operation, old, new)

    def close(self) -> None:
        """Turn the sums of the cells into prefix sums, in place; decayed ones stay what they are."""
        for state in self.states.values():
            if not state.is_value and state.operation != "decayed":
                for part in state.parts(self.schema):
                    cells = self.sums[part]
                    for cell in range(1, len(cells)):  # each is contiguous
                        cells[cell] += cells[cell - 1]

    def read(self, window: Window, lookback: Lookback, state: State, gathered: Gathered) -> pl.Series:
        """Give the state of each code over the span of a lookback, named by the state."""
        first, until = self.grid.cells(window, lookback)
        if state.name in self.extremes:
            return self._extreme(state, first, until, gathered)
        if state.is_value:
            return self._value(state, first, until, gathered.codes)
        if state.operation == "decayed":
            return self._decayed(state, window, first, until, gathered.codes)
        parts = [
            pl.Series(part, self._span(part, first, until, gathered)) for part in state.parts(self.schema)
        ]
        return state.composed(parts, is_whole=state.name in self.whole)

    def _span(self, part: str, first: int, until: int, gathered: Gathered) -> Sums:
        sums, codes = self.sums[part], gathered.codes
        if (part, until) not in gathered.sums:
            gathered.sums[part, until] = sums[until - 1].take(codes)
        total = gathered.sums[part, until]
        return total - sums[first - 1].take(codes) if first else total

    def _extreme(self, state: State, first: int, until: int, gathered: Gathered) -> pl.Series:
        cells, operation, codes = self.extremes[state.name], EXTREME[state.operation], gathered.codes
        begin, known = gathered.extremes.get((state.name, until), (until, None))
        if known is None or first > begin:
            begin, known = until - 1, cells[until - 1].take(codes)
        found: Sums = known
        for cell in range(first, begin):
            found = operation(found, cells[cell].take(codes))
        gathered.extremes[state.name, until] = (first, found)
        values = pl.col(state.name)
        known_or_null = pl.DataFrame({state.name: found}).select(
            pl.when(values != NONE[state.operation]).then(values)
        )
        return known_or_null.to_series()

    def _value(self, state: State, first: int, until: int, codes: Codes) -> pl.Series:
        chosen = pl.Series(codes)
        found: pl.Series | None = None
        for part in self.values[state.name][first:until]:
            if part is not None:
                new = part.gather(chosen)
                found = new if found is None else merged(state.operation, found, new)
        if found is None:
            frame = pl.DataFrame(schema=self.schema).select(state.within_group(self.schema))
            return pl.Series(state.name, [None], dtype=frame.schema[state.name]).new_from_index(0, len(codes))
        return found.alias(state.name)

    def _decayed(self, state: State, window: Window, first: int, until: int, codes: Codes) -> pl.Series:
        half_life = state.clock_units(window.horizon)
        total = np.zeros(len(codes))
        for cell in range(first, until):
            age = float(window.cutoff - self.grid.bounds[cell])
            weight = math.exp(-age / half_life * math.log(2))
            total += self.sums[state.name][cell][codes] * (GRID * weight)
        return pl.Series(state.name, total)


def merged(operation: str, earlier: pl.Series, later: pl.Series) -> pl.Series:
    """Merge the values of two parts, the earlier one first."""
    frame = pl.DataFrame([earlier.alias("a"), later.alias("b")])
    a, b = pl.col("a"), pl.col("b")
    how = {
        "first": pl.coalesce(a, b),
        "last": pl.coalesce(b, a),
        "smallest": pl.when(a.is_null() | (b < a)).then(b).otherwise(a),
        "largest": pl.when(a.is_null() | (b > a)).then(b).otherwise(a),
    }
    return frame.select(how[operation]).to_series().alias(later.name)
