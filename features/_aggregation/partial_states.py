"""The partials of a group: what the rows of a tile add up to, by key. All that is added up is watched for its size.

A tile whose partials are sums of which the total is known need not be grouped: they are the total less the partials of
the other tiles (``recut``).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from polars.exceptions import ComputeError, PolarsError

from competitions import Dataset, is_rowwise
from features._aggregation.column_values import too_large
from features._aggregation.keys import KeyIndex, are_positions, has_key, n_distinct, n_distinct_at_most
from features._aggregation.limits import LIMITS, Limits
from features._aggregation.plan import Group, full_schema, states_of
from features._aggregation.tiling import ByTile, Tiling
from features._arithmetic import EXTREMES, INT64_SAFE, INT64_SAFE_TILE, NO_EXTREME, State
from features._catalogue import AggregateBody, FeatureColumn

HEAD = 2**10  # rows that origins are looked for in first
_SUMS = ("count", "valid", "total", "deviation", "squares")


@dataclass(frozen=True)
class LogFacts:
    """What is known of the log up to some row: origins of deviations, and how large the sums of states could be."""

    origins: Mapping[str, float | None]
    sizes: Mapping[str, float]


class PartialStates:
    """Computes the partials of one group for the keys of an index.

    Deviations are taken from the first value of the log, which is the first of every history: it is found when the
    rows first go by, and is the same for all tiles.
    """

    def __init__(
        self, group: Group, dataset: Dataset, index: KeyIndex, horizon: int, limits: Limits = LIMITS
    ) -> None:
        self.group, self.index, self.limits = group, index, limits
        self.schema, self.states = full_schema(dataset), group.by_tile
        self.half_lives = {s.name: s.clock_units(horizon) for s in self.states if s.half_life is not None}
        self.addends = {s.name: a for s in self.states if (a := s.addend(self.schema)) is not None}
        self.origins: dict[str, float | None] = dict.fromkeys(group.origins)
        self.sizes: dict[str, float] = {}
        self.watched: set[str] = set()
        self.is_wide: bool | None = None
        self._known: dict[tuple[int, tuple[float | None, ...], int], list[pl.Expr]] = {}

    def facts(self) -> LogFacts:
        """Copy what is known of the log so far: the partials of the next partition are made of it."""
        return LogFacts(dict(self.origins), dict(self.sizes))

    def prepared(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Filter the rows of a partition, and find the origins that are not known yet."""
        if self.group.where is not None:
            rows = rows.filter(self.group.where)
        for name, first in self.group.origins.items():
            for some in (rows.head(HEAD), rows):
                if self.origins[name] is None:
                    self.origins[name] = some.select(first.alias(name)).item()
        return rows

    def narrowed(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Keep the prepared rows of indexed keys, with ``code`` and the columns that the group reads."""
        return self.index.narrow(rows.select(name for name in rows.columns if name in self.group.reads))

    def by_code(self, rows: pl.DataFrame, until: int) -> pl.DataFrame:
        """Give the partials by ``code`` of what ``narrowed`` gave.

        ``until``: what decayed sums are weighed from.
        """
        return self._grouped(rows.lazy(), ["code"], self._expressions(until))

    def by_key(self, rows: pl.DataFrame, until: int, only: Sequence[State] | None = None) -> pl.DataFrame:
        """Give the partials of all keys, by the key's columns (``code`` 0 for the empty key).

        ``only``: of these states of a key, while nothing is watched.
        """
        expressions = self._expressions(until) if only is None else self._partials(only, until)
        if not self.group.key:
            return self._within_range(rows.select(pl.lit(0, pl.UInt32).alias("code"), *expressions))
        known = self.index.packed(rows).lazy().filter(has_key(self.index.on))
        return self.index.unpacked(self._grouped(known, self.index.on, expressions))

    def coded(self, by_key: pl.DataFrame) -> pl.DataFrame:
        """Keep the partials of indexed keys, with ``code``, of what ``by_key`` or a roll-up gave."""
        return self.index.narrow(by_key)

    def check(self, tiles: Iterable[pl.DataFrame]) -> None:
        """Look at the size of what is added up, of all keys: refuse what is no number, watch what could wrap around.

        Raises PolarsError for values that are not finite.
        """
        for rows in tiles:
            for name, size in self.addends.items():
                values = rows.select(size.alias("size"))["size"].drop_nulls()
                if not values.is_finite().all():
                    raise ComputeError("a value that is added up is not finite")
                largest = values.max()
                if isinstance(largest, float):
                    self.sizes[name] = self.sizes.get(name, 0.0) + largest * rows.height
                    if self.sizes[name] >= INT64_SAFE:
                        self.watched.add(name)

    def is_narrow(self, rows: pl.DataFrame) -> bool:
        """Tell whether so few keys are in the rows that grouping all of them is cheaper than narrowing the rows."""
        if self.is_wide is None and self.group.key:
            most = self.limits.wide * rows.height
            self.is_wide = all(
                math.prod(count(rows[name]) for name in self.group.key) > most
                for count in (n_distinct_at_most, n_distinct)
            )
        return not self.is_wide

    def fails_on(self, rows: pl.DataFrame, column: FeatureColumn) -> PolarsError | None:
        """Tell what goes wrong with one column's states by themselves, if anything."""
        literals = {name: pl.lit(0.0 if value is None else value) for name, value in self.origins.items()}
        window = {"cutoff": pl.col("clock").max(), "horizon": pl.lit(1, pl.Int64)}
        try:
            frame = rows.with_columns(**literals, **window)
            frame = frame if self.group.where is None else frame.filter(self.group.where)
            frame.group_by("clock").agg(s.within_group(self.schema) for s in states_of([column]))
        except PolarsError as error:
            return error
        return None

    def _grouped(self, rows: pl.LazyFrame, on: Sequence[str], expressions: Sequence[pl.Expr]) -> pl.DataFrame:
        return self._within_range(rows.group_by(on).agg(expressions).collect(engine=self._engine))

    @property
    def _engine(self) -> Literal["in-memory", "streaming"]:
        """Streaming is up to three times as fast, but does not go through a group's rows in their order."""
        is_ordered = any(s.operation in ("first", "last") for s in self.states)
        return "in-memory" if is_ordered else "streaming"

    def _within_range(self, partials: pl.DataFrame) -> pl.DataFrame:
        """Refuse sums that may have wrapped around, which would hide how large they are."""
        for state in self.states:
            if state.name in self.watched:
                largest = partials[_size_of(state.name)].max()
                if isinstance(largest, float) and not largest < INT64_SAFE_TILE:
                    raise too_large(_columns_of(state, self.group.columns), largest, INT64_SAFE_TILE)
        return partials.drop(_size_of(name) for name in self.watched)

    def _expressions(self, until: int) -> list[pl.Expr]:
        own = (until if self.half_lives else 0, tuple(self.origins.values()), len(self.watched))
        if own not in self._known:
            watched = [self.addends[name].sum().alias(_size_of(name)) for name in sorted(self.watched)]
            self._known[own] = self._partials(self.states, until) + watched
        return self._known[own]

    def _partials(self, states: Iterable[State], until: int) -> list[pl.Expr]:
        return [
            partial
            for state in states
            for partial in state.partial(
                self.schema, until, self.half_lives.get(state.name, 1.0), self.origins.get(str(state.origin))
            )
        ]


def _size_of(name: str) -> str:
    return f"{name} size"


def _columns_of(state: State, columns: Collection[FeatureColumn]) -> list[str]:
    """Name the columns that are made of a state, by key or over all keys."""
    text = state.expression.meta.serialize(format="binary")

    def reads(column: FeatureColumn) -> bool:
        states = column.body.aggregate.states.values() if isinstance(column.body, AggregateBody) else ()
        return any(
            s.operation == state.operation and s.expression.meta.serialize(format="binary") == text
            for s in states
        )

    return [column.name for column in columns if reads(column)]


def is_sum(state: State, schema: pl.Schema) -> bool:
    """Tell whether partials are Int64 sums wherever the clock is cut, so that one can be taken off another."""
    return state.operation in _SUMS and (state.operation != "squares" or state.is_small(schema))


def recut(partials: PartialStates, rows: ByTile, tiling: Tiling, sums: pl.DataFrame) -> ByTile:
    """Give the partials by key of the rows of each tile, which together are those that ``sums`` are of.

    ``sums``: the key, and the partials of states that are sums, by key; a key may have several rows, and null is 0.
    """
    largest = max(range(len(rows)), key=lambda number: rows[number][1].height)
    others = [one for number, one in enumerate(rows) if number != largest]
    found = [(tile, partials.by_key(own, tiling.anchor(tile))) for tile, own in others]
    tile, own = rows[largest]
    left = _difference(sums, [other for _, other in found], partials.group.key)
    rest = _not_sums(partials, own, tiling.anchor(tile), left.columns)
    names = [name for state in partials.states for name in state.partial_columns(partials.schema)]
    both = rest.join(left, on=partials.group.key, how="left", validate="1:1")
    found.insert(largest, (tile, both.select(*partials.group.key, *names)))
    return found


def _difference(sums: pl.DataFrame, less: Sequence[pl.DataFrame], key: Sequence[str]) -> pl.DataFrame:
    """Take partials off the sums of their keys."""
    names = [name for name in sums.columns if name not in key]
    negative = [one.select(*key, *(-pl.col(name) for name in names)) for one in less]
    return (
        pl.concat([sums, *negative]).lazy().group_by(key).agg(pl.col(names).sum()).collect(engine="in-memory")
    )


def _not_sums(partials: PartialStates, rows: pl.DataFrame, until: int, known: Sequence[str]) -> pl.DataFrame:
    """Take the partials that are not known from rows: for all keys of the rows, even if there are no such ones."""
    schema, key = partials.schema, partials.group.key
    rest = [s for s in partials.states if not set(s.partial_columns(schema)) <= set(known)]
    ends = [s for s in rest if s.is_integer_extreme(schema) and _has_value_by_row(s.expression)]
    if not ends or len(key) > 1 or not are_positions(rows[key[0]]):
        return partials.by_key(rows, until, rest)
    found = _extremes(ends, rows.filter(has_key(key)), key[0])
    names = {state.name for state in ends}
    rest = [state for state in rest if state.name not in names]
    if rest:
        found = found.join(partials.by_key(rows, until, rest), on=key, how="left", validate="1:1")
    return found


def _has_value_by_row(x: pl.Expr) -> bool:
    """Tell whether there is one value a row: a constant has none, nor what leaves rows out (``x.filter(...)``)."""
    return x.meta.is_known_length() and bool(x.meta.root_names()) and is_rowwise(x)


def _extremes(states: Sequence[State], rows: pl.DataFrame, key: str) -> pl.DataFrame:
    """Give extremes of integers by ids that are positions in an array: several times faster than to group."""
    ids = rows[key].to_numpy().astype(np.intp)
    n_rows = np.bincount(ids)
    there = np.flatnonzero(n_rows)
    values = rows.select(
        s.expression.cast(pl.Int64).fill_null(NO_EXTREME[s.operation]).alias(s.name) for s in states
    )
    found = {key: pl.Series(there, dtype=rows.schema[key])}
    for state in states:
        ends = np.full(len(n_rows), NO_EXTREME[state.operation])
        EXTREMES[state.operation].at(ends, ids, values[state.name].to_numpy())
        found[state.name] = pl.Series(ends.take(there))
    is_some = [pl.when(pl.col(s.name) != NO_EXTREME[s.operation]).then(pl.col(s.name)) for s in states]
    return pl.DataFrame(found).with_columns(is_some)
