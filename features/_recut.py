"""Parts of a partition that a new boundary cuts: what was summed before is not summed again.

Only the rows of the smaller pieces are grouped. The sums of the largest one are those of the whole, less theirs. That
is exact: they are integers, and nobody minds in how many tiles they were added. What is no sum, such as the last
clock, is taken from all rows; extremes of integers without a group-by, where ids are small.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from features._accumulate import EXTREME, NONE
from features._grid import Grid
from features._lookup import MOST_IDS
from features._partials import Cells, Partials
from features._segments import can_reduce
from features._states import State

_SUMS = ("count", "valid", "total", "deviation", "squares")
_NUMBERS = (pl.UInt8, pl.UInt16, pl.UInt32)


def is_sum(state: State, schema: pl.Schema) -> bool:
    """Tell whether the parts of a state are Int64 sums wherever the clock is cut, so that one can be taken off."""
    return state.operation in _SUMS and (state.operation != "squares" or state.is_small(schema))


def recut(partials: Partials, rows: Cells, grid: Grid, sums: pl.DataFrame) -> Cells:
    """Give what ``Partials.by_key`` gives of the rows of each cell, which together are those that ``sums`` are of.

    ``sums``: the key, and the parts of states that are sums, by key; a key may have several rows, and null is 0.
    """
    largest = max(range(len(rows)), key=lambda number: rows[number][1].height)
    others = [cell for number, cell in enumerate(rows) if number != largest]
    parts = [(cell, partials.by_key(own, grid.bounds[cell])) for cell, own in others]
    cell, own = rows[largest]
    left = _difference(sums, [part for _, part in parts], partials.group.key)
    found = _others(partials, own, grid.bounds[cell], left.columns)
    names = [name for s in partials.states for name in s.parts(partials.schema)]
    both = found.join(left, on=partials.group.key, how="left", validate="1:1")
    parts.insert(largest, (cell, both.select(*partials.group.key, *names)))
    return parts


def _difference(sums: pl.DataFrame, less: Sequence[pl.DataFrame], key: Sequence[str]) -> pl.DataFrame:
    """Take parts off the sums of their keys."""
    names = [name for name in sums.columns if name not in key]
    negative = [part.select(*key, *(-pl.col(name) for name in names)) for part in less]
    return (
        pl.concat([sums, *negative]).lazy().group_by(key).agg(pl.col(names).sum()).collect(engine="in-memory")
    )


def _others(partials: Partials, rows: pl.DataFrame, until: int, known: Sequence[str]) -> pl.DataFrame:
    """Take the parts that are not known from rows, by key: all keys of the rows, even if there are no such parts."""
    schema, key = partials.schema, partials.group.key
    rest = [s for s in partials.states if not set(s.parts(schema)) <= set(known)]
    ends = [s for s in rest if s.operation in EXTREME and can_reduce(s, schema)]
    if not ends or len(key) > 1 or not _is_small(rows[key[0]]):
        return partials.by_key(rows, until, rest)
    found = _extremes(ends, rows.filter(pl.col(key[0]).is_not_null()), key[0])
    rest = [s for s in rest if s not in ends]
    if rest:
        found = found.join(partials.by_key(rows, until, rest), on=key, how="left", validate="1:1")
    return found


def _is_small(ids: pl.Series) -> bool:
    largest = ids.max() if ids.dtype in _NUMBERS else None
    return isinstance(largest, int) and largest < MOST_IDS


def _extremes(states: Sequence[State], rows: pl.DataFrame, key: str) -> pl.DataFrame:
    """Give extremes of integers by ids that are positions in an array."""
    ids = rows[key].to_numpy().astype(np.intp)
    n_rows = np.bincount(ids)
    there = np.flatnonzero(n_rows)
    values = rows.select(
        s.expression.cast(pl.Int64).fill_null(NONE[s.operation]).alias(s.name) for s in states
    )
    found = {key: pl.Series(there, dtype=rows.schema[key])}
    for state in states:
        ends = np.full(len(n_rows), NONE[state.operation])
        EXTREME[state.operation].at(ends, ids, values[state.name].to_numpy())
        found[state.name] = pl.Series(ends.take(there))
    is_some = [pl.when(pl.col(s.name) != NONE[s.operation]).then(pl.col(s.name)) for s in states]
    return pl.DataFrame(found).with_columns(is_some)
