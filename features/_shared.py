"""Tables of the keys of one part of a group: columns that several lookbacks have in common are finished together."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import polars as pl

from features._column import AggregateBody, FeatureColumn
from features._exact import check_exact
from features._finish import finished, guarded
from features._grid import Grid
from features._key_table import KeyTable
from features._lookback import Lookback
from features._plan import Pass, states_of
from features._spans import MOST_TILES, Layout, Positions, Slot, Span, Tiles, blocks_of
from features._states import serialized
from validation import Window

AT_ONCE = MOST_TILES // 2  # slots: each has two ends, and there are fewer tiles than ends


class KeyPart(Protocol):
    """Some keys of a group, of which states are known."""

    @property
    def keys(self) -> pl.DataFrame:
        """The key's columns, one row a key."""

    def tiles(self, ends: Sequence[int]) -> Tiles:
        """By key, bit ``i`` tells whether it has rows in some tile ``ends[i] <= tile < ends[i + 1]``."""

    def states(self, one: Pass, wanted: Sequence[tuple[Slot, Positions]]) -> pl.DataFrame:
        """Give the states of a pass for some keys in each of several slots, one below the other."""


@dataclass(frozen=True)
class Common:
    """Columns of the same finishes that the same lookbacks ask for.

    ``one``: their states, and columns of one lookback that stand for those of all. ``names``: by lookback, the names of
    its own, in the order of ``one.columns``.
    """

    one: Pass
    finishes: tuple[pl.Expr, ...]
    names: Mapping[Lookback, tuple[str, ...]]


@dataclass(frozen=True)
class Finishing:
    """How the columns of the passes of one group are made, in every window and lookback.

    ``commons``: of the rows of a key alone. ``others``: what also looks at the window, or at all keys, by lookback.
    """

    passes: tuple[Pass, ...]
    commons: tuple[Common, ...]
    others: Mapping[Lookback, Common]

    def tables(self, part: KeyPart, windows: Sequence[Window], grid: Grid) -> Iterator[KeyTable]:
        """Give the tables of every window and lookback."""
        slots = [(window, one.lookback) for window in windows for one in self.passes]
        for begin in range(0, len(slots), AT_ONCE):
            layout = _layout(part, {slot: grid.cells(*slot) for slot in slots[begin : begin + AT_ONCE]})
            yield from self._tables(part, layout)

    def _tables(self, part: KeyPart, layout: Layout) -> Iterator[KeyTable]:
        keys = part.keys[pl.Series(layout.keys.astype(np.uint32))] if part.keys.width else part.keys
        found = {slot: [layout.picked(keys, slot)] for slot in layout.spans}
        for common in self.commons:
            own = layout.only(common.names)
            values = _made(common, part, own.wanted)
            for slot in own.spans:
                named = own.picked(values, slot).clone()
                named.columns = list(common.names[slot[1]])
                found[slot].append(named)
        passes = {one.lookback: one for one in self.passes}
        for slot in layout.spans:
            window, lookback = slot
            if lookback in self.others:
                found[slot].append(_made(self.others[lookback], part, [(slot, layout.keys_in(slot))]))
            one = passes[lookback]
            values = pl.concat([frame for frame in found.pop(slot) if frame.width], how="horizontal")
            ordered = values.select(*one.key, *(column.name for column in one.columns))
            yield KeyTable(window, one.key, lookback, ordered)


def _layout(part: KeyPart, cells: Mapping[Slot, Span]) -> Layout:
    """Lay out the rows of a part in some slots; only tiles between the ends of spans are told apart."""
    ends = sorted({end for span in cells.values() for end in span})
    spans = {
        slot: (bisect_left(ends, first), bisect_left(ends, until)) for slot, (first, until) in cells.items()
    }
    return Layout(spans, blocks_of(part.tiles(ends), spans.values()))


def finishing(passes: Sequence[Pass]) -> Finishing:
    """Sort the columns of passes of one group by the lookbacks that ask for them."""
    asked: dict[object, dict[Lookback, FeatureColumn]] = {}
    others: dict[Lookback, Common] = {}
    for one in passes:
        further = {column.name for column in one.columns if _looks_further(column)}
        if further:
            others[one.lookback] = _common(
                one, [{one.lookback: column} for column in one.columns if column.name in further]
            )
        seen: Counter[object] = Counter()
        for column in (column for column in one.columns if column.name not in further):
            finish = _finish(column)
            asked.setdefault((finish, seen[finish]), {})[one.lookback] = column
            seen[finish] += 1  # the same value may be asked for by several names
    together: dict[frozenset[Lookback], list[Mapping[Lookback, FeatureColumn]]] = {}
    for columns in asked.values():
        together.setdefault(frozenset(columns), []).append(columns)
    commons = tuple(_common(passes[0], columns) for columns in together.values())
    return Finishing(tuple(passes), commons, others)


def _common(one: Pass, columns: Sequence[Mapping[Lookback, FeatureColumn]]) -> Common:
    chosen = tuple(next(iter(by_lookback.values())) for by_lookback in columns)
    names = {lookback: tuple(own[lookback].name for own in columns) for lookback in columns[0]}
    asked = replace(one, columns=chosen, states=states_of(chosen))
    return Common(asked, tuple(finished(column) for column in chosen), names)


def _looks_further(column: FeatureColumn) -> bool:
    """Tell whether a value depends on more than the rows of the key: on all keys, or on how long ago rows were."""
    body = column.body
    states = body.aggregate.states.values() if isinstance(body, AggregateBody) else ()
    return any(state.everywhere or state.half_life is not None for state in states)


def _finish(column: FeatureColumn) -> tuple[str, str, object]:
    finish = (
        serialized(column.body.aggregate.finish) if isinstance(column.body, AggregateBody) else column.name
    )
    return finish, str(column.dtype), column.fill


def _made(common: Common, part: KeyPart, wanted: Sequence[tuple[Slot, Positions]]) -> pl.DataFrame:
    states = part.states(common.one, wanted)
    check_exact(common.one, states)
    return guarded(states, common.finishes, common.one.columns)
