"""The partial states of a group over the rows of a tile, by key: one group-by, or sums over sorted rows.

A wide key has few rows each. Sorting the numbers of their rows is several times cheaper than hashing the keys.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from polars.exceptions import ComputeError, PolarsError

from competitions import Dataset
from features._aggregation.column_values import SAFE, SAFE_PART, names_with, too_large
from features._aggregation.keys import KeyIndex, n_distinct, n_distinct_at_most
from features._aggregation.last_rows import References, narrowed
from features._aggregation.plan import Group, full_schema, states_of
from features._aggregation.prefix_sums import EXTREME, NONE, is_integer_extreme
from features._arithmetic import State, dtype_of, is_rowwise, plain_column
from features._catalogue import FeatureColumn

_SUMMED = (
    pl.Boolean,
    pl.Int8,
    pl.UInt8,
    pl.Int16,
    pl.UInt16,
    pl.Int32,
    pl.UInt32,
)  # as they are; others as Int64


def can_reduce(state: State, schema: pl.Schema) -> bool:
    """Tell whether the state is a number of rows, a sum of what rows add, or an extreme of integers.

    What leaves rows out (``x.filter(...)``), and a constant, has no value for each of them.
    """
    x = state.expression
    if state.operation == "count":
        return True
    if not x.meta.is_known_length() or not x.meta.root_names():
        return False
    is_extreme = is_integer_extreme(state, schema) and is_rowwise(x)
    return is_extreme or state.by_row(schema, 0.0) is not None


def reduced(
    states: Sequence[State], rows: pl.DataFrame, schema: pl.Schema, references: Mapping[str, float | None]
) -> pl.DataFrame:
    """Give what ``State.partial`` gives in a group-by of ``code``, which is a column of the rows; codes ascend."""
    runs = _Runs(rows["code"].to_numpy())
    added = {s.name: _by_row(s, schema, references) for s in states if s.operation != "count"}
    values = rows.select(expression.alias(name) for name, expression in added.items())
    found: dict[str, pl.Series] = {"code": pl.Series("code", runs.codes)}
    for state in states:
        if state.operation == "count":
            parts = runs.lengths
        elif state.operation in EXTREME:
            none = NONE[state.operation]
            column = values[state.name].cast(pl.Int64).fill_null(none).to_numpy()
            parts = EXTREME[state.operation].reduceat(column.take(runs.order), runs.starts)
        else:
            parts = runs.sums(values[state.name])
        found[state.name] = pl.Series(state.name, parts)
    return pl.DataFrame(list(found.values()))


def _by_row(state: State, schema: pl.Schema, references: Mapping[str, float | None]) -> pl.Expr:
    if state.operation in EXTREME:
        return state.expression
    name = plain_column(state.expression, schema)
    if state.operation == "total" and name is not None and schema[name] in _SUMMED:
        return pl.col(name)  # in as few bytes as it has
    added = state.by_row(schema, references.get(str(state.reference)))
    return pl.lit(0) if added is None else added


class _Runs:
    """Rows of the same code, one after the other. ``order``: numbers of the rows, in that order."""

    def __init__(self, codes: npt.NDArray[np.uint32]) -> None:
        n_bits = np.uint64(len(codes).bit_length())
        packed = codes.astype(np.uint64) << n_bits
        packed |= np.arange(len(codes), dtype=np.uint64)
        packed.sort()
        self.order = (packed & ((np.uint64(1) << n_bits) - np.uint64(1))).astype(np.int64)
        ordered = (packed >> n_bits).astype(np.uint32)
        is_start = np.ones(len(codes), dtype=np.bool_)
        np.not_equal(ordered[1:], ordered[:-1], out=is_start[1:])
        self.starts = np.flatnonzero(is_start)
        self.codes = ordered.take(self.starts)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Number of rows of each code."""
        return np.diff(self.starts, append=len(self.order))

    def sums(self, values: pl.Series) -> npt.NDArray[np.int64]:
        """Sum of the values of each code, null counting as 0."""
        narrow = values if values.dtype in _SUMMED else values.cast(pl.Int64)
        column: npt.NDArray[Any] = narrow.fill_null(0 if narrow.dtype != pl.Boolean else False).to_numpy()
        return np.add.reduceat(column.take(self.order), self.starts, dtype=np.int64)


Cells = list[tuple[int, pl.DataFrame]]  # parts by cell of the grid

HEAD = 2**10  # rows that references are looked for in first
WIDE = 0.25  # of the rows: with more distinct keys than that, rows are narrowed before they are grouped


def _size_of(name: str) -> str:
    return f"{name} size"


@dataclass(frozen=True)
class Known:
    """References found so far, and how large the sums of each state could be by now."""

    references: References
    sizes: Mapping[str, float]


class Partials:
    """Computes the parts of one group for the keys of an index.

    Deviations are taken from the first value of the log, which is the first of every history: it is found when the
    rows first go by, and is the same for all tiles.
    """

    def __init__(self, group: Group, dataset: Dataset, index: KeyIndex, horizon: int) -> None:
        self.group, self.index = group, index
        self.schema = full_schema(dataset)
        self.half_lives = {
            s.name: s.clock_units(horizon) for s in (*group.merged, *group.carried) if s.half_life is not None
        }
        self.references: References = dict.fromkeys(group.references)
        self.states = (*group.merged, *group.carried)
        self.addends = {s.name: a for s in self.states if (a := s.addend(self.schema)) is not None}
        self.sizes: dict[str, float] = {}
        self.watched: set[str] = set()
        self.is_wide: bool | None = None
        self.expressions: dict[tuple[int, tuple[float | None, ...], int], list[pl.Expr]] = {}

    def known(self) -> Known:
        """Copy what is known of the log so far: it is part of what the parts of the next slice are made of."""
        return Known(dict(self.references), dict(self.sizes))

    @property
    def engine(self) -> Literal["in-memory", "streaming"]:
        """Streaming is twice as fast, but does not go through a group's rows in their order."""
        is_ordered = any(s.operation in ("first", "last") for s in self.states)
        return "in-memory" if is_ordered else "streaming"

    def prepared(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Filter the rows of a slice, and find the references that are not known yet."""
        if self.group.where is not None:
            rows = rows.filter(self.group.where)
        for name, first in self.group.references.items():
            for some in (rows.head(HEAD), rows):
                if self.references[name] is None:
                    self.references[name] = some.select(first.alias(name)).item()
        return rows

    def narrowed(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Keep the prepared rows of indexed keys, with ``code`` and the columns that the group's states read."""
        return narrowed(rows.select(name for name in rows.columns if name in self.group.reads), self.index)

    def of(self, rows: pl.DataFrame, until: int) -> pl.DataFrame:
        """Give the parts by ``code``. ``until``: end of the tile, that decayed sums are weighed from."""
        if self.group.key:
            return self.coded(self.by_key(rows, until))
        parts = self._expressions(until)
        return self._within_range(rows.select(pl.lit(0, pl.UInt32).alias("code"), *parts))

    def of_narrowed(self, rows: pl.DataFrame, until: int) -> pl.DataFrame:
        """Give the parts by ``code`` of what ``narrowed`` gave."""
        if not rows.height or not self.reducible or self.watched:
            lazy = rows.lazy().group_by("code").agg(self._expressions(until))
            return self._within_range(lazy.collect(engine=self.engine))
        own = {state.name for state in self.reducible}
        found = reduced(self.reducible, rows, self.schema, self.references)
        rest = [s for s in self.states if s.name not in own]
        if rest:
            lazy = rows.lazy().group_by("code").agg(self._parts(rest, until))
            others = lazy.collect(engine=self.engine)
            found = found.hstack(others.sort("code").drop("code"))  # both have each code once
        return found

    @cached_property
    def reducible(self) -> tuple[State, ...]:
        """States whose parts need no group-by where rows are sorted."""
        return tuple(state for state in self.states if can_reduce(state, self.schema))

    def by_key(self, rows: pl.DataFrame, until: int, only: Sequence[State] | None = None) -> pl.DataFrame:
        """Give the parts of all keys, by the key's columns (``code`` 0 for the empty key).

        ``only``: of these states of a key, while nothing is watched.
        """
        if not self.group.key:
            return self.of(rows, until)
        on, key = self.index.on, self.group.key
        parts = self._expressions(until) if only is None else self._parts(only, until)
        lazy = self._known(self.index.with_lookup(rows)).group_by(on).agg(parts)
        found = self._within_range(lazy.collect(engine=self.engine))
        return self.index.unpacked(found) if on != list(key) else found

    def _known(self, rows: pl.DataFrame) -> pl.LazyFrame:
        """Leave out rows whose key is null: they are of no key."""
        return rows.lazy().filter(pl.all_horizontal(pl.col(name).is_not_null() for name in self.index.on))

    def coded(self, by_key: pl.DataFrame) -> pl.DataFrame:
        """Keep the parts of indexed keys, with ``code``, of what ``by_key`` or a roll-up gave."""
        if not self.group.key:
            return by_key.with_columns(pl.lit(0, pl.UInt32).alias("code"))
        return narrowed(by_key, self.index)

    def check(self, parts: Iterable[pl.DataFrame]) -> None:
        """Look at the size of what is added up, of all keys: refuse what is no number, watch what could wrap around.

        Raises PolarsError for values that are not finite.
        """
        for rows in parts:
            for name, size in self.addends.items():
                values = rows.select(size.alias("size"))["size"].drop_nulls()
                if not values.is_finite().all():
                    raise ComputeError("a value that is added up is not finite")
                largest = values.max()
                if isinstance(largest, float):
                    self.sizes[name] = self.sizes.get(name, 0.0) + largest * rows.height
                    if self.sizes[name] >= SAFE:
                        self.watched.add(name)

    def _within_range(self, parts: pl.DataFrame) -> pl.DataFrame:
        """Refuse sums that may have wrapped around, which would hide how large they are."""
        for state in self.states:
            if state.name in self.watched:
                largest = parts[_size_of(state.name)].max()
                if isinstance(largest, float) and not largest < SAFE_PART:
                    raise too_large(names_with(state, self.group.columns), largest, SAFE_PART)
        return parts.drop(_size_of(name) for name in self.watched)

    def is_narrow(self, rows: pl.DataFrame) -> bool:
        """Tell whether so few keys are in the rows that grouping all of them is cheaper than narrowing the rows."""
        if self.is_wide is None and self.group.key:
            most = WIDE * rows.height
            self.is_wide = all(
                math.prod(count(rows[name]) for name in self.group.key) > most
                for count in (n_distinct_at_most, n_distinct)
            )
        return not self.is_wide

    def _expressions(self, until: int) -> list[pl.Expr]:
        own = (until if self.half_lives else 0, tuple(self.references.values()), len(self.watched))
        if own not in self.expressions:
            watched = [self.addends[name].sum().alias(_size_of(name)) for name in sorted(self.watched)]
            self.expressions[own] = self._parts(self.states, until) + watched
        return self.expressions[own]

    def _parts(self, states: Iterable[State], until: int) -> list[pl.Expr]:
        return [part for state in states for part in self._partial(state, until)]

    def _partial(self, state: State, until: int) -> list[pl.Expr]:
        if state.operation == "total" and dtype_of(state.expression, self.schema) == pl.Boolean:
            return [
                state.expression.sum().cast(pl.Int64).alias(state.name)
            ]  # twice as fast as a sum of Int64
        half_life = self.half_lives.get(state.name, 1.0)
        return state.partial(self.schema, until, half_life, self.references.get(str(state.reference)))

    def fails_on(self, rows: pl.DataFrame, column: FeatureColumn) -> PolarsError | None:
        """Tell what goes wrong with one column's states by themselves, if anything."""
        literals = {n: pl.lit(0.0 if v is None else v) for n, v in self.references.items()}
        window = {"cutoff": pl.lit(0, pl.Int64), "horizon": pl.lit(1, pl.Int64)}
        try:
            frame = rows.with_columns(**literals, **window)
            frame = frame if self.group.where is None else frame.filter(self.group.where)
            frame.group_by("clock").agg(s.within_group(self.schema) for s in states_of([column]))
        except PolarsError as error:
            return error
        return None
