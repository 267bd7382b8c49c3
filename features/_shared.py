"""Tables of the keys of one part of a group: columns that several lookbacks have in common are finished together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from features._column import AggregateBody, FeatureColumn
from features._exact import check_exact
from features._finish import finished, guarded
from features._grid import Grid
from features._key_table import KeyTable
from features._lookback import Lookback
from features._plan import Pass, states_of
from features._spans import Distinct, Positions, Span, distinct_rows
from features._states import serialized
from validation import Window

Slot = tuple[Window, Lookback]


class KeyPart(Protocol):
    """Some keys of a group, of which states are known.

    ``edges``: by tile and one more, how many rows of each key come before it, as ``distinct_rows`` takes them.
    """

    @property
    def keys(self) -> pl.DataFrame:
        """The key's columns, one row a key."""

    @property
    def edges(self) -> Sequence[Positions]:
        """By tile, the number of rows of each key before it."""

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
        slots = {(w, one.lookback): grid.cells(w, one.lookback) for w in windows for one in self.passes}
        rows = distinct_rows(part.edges, slots.values())
        keys: dict[Span, pl.DataFrame] = {}
        found: dict[Slot, list[pl.DataFrame]] = {slot: [] for slot in slots}
        for common in self.commons:
            own = {slot: span for slot, span in slots.items() if slot[1] in common.names}
            of_common = rows if len(self.commons) == 1 else distinct_rows(part.edges, own.values())
            for slot, values in _handed_out(common, part, own, of_common):
                found[slot].append(values)
        for slot, span in slots.items():
            window, lookback = slot
            if lookback in self.others:
                found[slot].append(_made(self.others[lookback], part, [(slot, rows.keys[span])]))
            if span not in keys:
                keys[span] = _picked(part.keys, rows.keys[span])
            parts = found.pop(slot)
            values = parts[0] if len(parts) == 1 else pl.concat(parts, how="horizontal")
            one = next(one for one in self.passes if one.lookback == lookback)
            yield KeyTable(window, one.key, lookback, _table(keys[span], values, one))


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


def _handed_out(
    common: Common, part: KeyPart, spans: Mapping[Slot, Span], rows: Distinct
) -> Iterator[tuple[Slot, pl.DataFrame]]:
    """Make the distinct values, and give every slot those of its keys."""
    slot_of = {span: slot for slot, span in spans.items()}
    wanted = [(slot_of[span], fresh) for span, fresh in rows.fresh.items()]
    values = _made(common, part, wanted)
    handed: dict[Span, pl.DataFrame] = {}
    for slot, span in spans.items():
        if span not in handed:
            handed[span] = _picked(values, rows.places[span])
        own = handed[span].clone()
        own.columns = list(common.names[slot[1]])
        yield slot, own


def _picked(frame: pl.DataFrame, places: npt.NDArray[np.integer[Any]]) -> pl.DataFrame:
    """Pick rows of a frame; what lies together is not copied."""
    if frame.width == 0 or not len(places):
        return frame.clear()
    begin, end = int(places[0]), int(places[-1]) + 1
    if end - begin == len(places) and bool((np.diff(places) > 0).all()):
        return frame[begin:end]
    return frame[pl.Series(places.astype(np.uint32))]


def _table(keys: pl.DataFrame, values: pl.DataFrame, one: Pass) -> pl.DataFrame:
    own = values.select(column.name for column in one.columns)
    return keys.hstack(own) if keys.width else own
