"""Which passes over the log a set of columns takes, and which of them share rows and key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import polars as pl

from competitions import Dataset, is_rowwise
from features._arithmetic import Operation, State, is_filter, plain_column, reads_window, serialized
from features._catalogue import WINDOW_COLUMNS, AggregateBody, Catalogue, FeatureColumn, PairBody, PythonBody
from features._declare import EVERYTHING, Key, Lookback
from validation import Window


@dataclass(frozen=True)
class Pass:
    """One group-by over the history of a window: many states, many columns.

    ``source`` is the text of the row filter (``where``), empty for the whole log.
    """

    source: str
    key: Key
    lookback: Lookback
    states: tuple[State, ...]
    columns: tuple[FeatureColumn, ...]


@dataclass(frozen=True)
class Plan:
    """What is computed, in this order.

    ``bodies``: columns of one Python body (and variant) together. ``levels``: per-pair columns; each level is one
    projection and reads earlier ones.
    """

    passes: tuple[Pass, ...]
    bodies: tuple[tuple[FeatureColumn, ...], ...]
    levels: tuple[tuple[FeatureColumn, ...], ...]


def make_plan(catalogue: Catalogue, names: Iterable[str]) -> Plan:
    """Plan exactly these columns; what they read must be among them or be given."""
    columns = [catalogue.columns[name] for name in dict.fromkeys(names)]
    return Plan(_passes(columns), _bodies(columns), _levels(columns))


def _passes(columns: Sequence[FeatureColumn]) -> tuple[Pass, ...]:
    groups: dict[tuple[str, Key, Lookback], list[FeatureColumn]] = {}
    for column in columns:
        body = column.body
        if isinstance(body, AggregateBody):
            source = "" if body.where is None else serialized(body.where)
            groups.setdefault((source, body.key, body.lookback), []).append(column)
    return tuple(
        Pass(source, key, lookback, states_of(members), tuple(members))
        for (source, key, lookback), members in groups.items()
    )


def states_of(columns: Sequence[FeatureColumn]) -> tuple[State, ...]:
    """States of aggregates, each once."""
    bodies = [c.body for c in columns if isinstance(c.body, AggregateBody)]
    return _distinct_states(state for body in bodies for state in body.aggregate.states.values())


def _bodies(columns: Sequence[FeatureColumn]) -> tuple[tuple[FeatureColumn, ...], ...]:
    groups: dict[tuple[str, str], list[FeatureColumn]] = {}
    for column in columns:
        if isinstance(column.body, PythonBody):
            groups.setdefault((column.declaration.name, column.body.variant), []).append(column)
    return tuple(tuple(members) for members in groups.values())


def _levels(columns: Sequence[FeatureColumn]) -> tuple[tuple[FeatureColumn, ...], ...]:
    level: dict[str, int] = {}
    for column in columns:  # the catalogue's order: a column comes after what it reads
        if isinstance(column.body, PairBody):
            level[column.name] = 1 + max((level.get(name, 0) for name in column.reads), default=0)
    groups: dict[int, list[FeatureColumn]] = {}
    for column in columns:
        if column.name in level:
            groups.setdefault(level[column.name], []).append(column)
    return tuple(tuple(groups[n]) for n in sorted(groups))


GroupName = tuple[str, Key]


class Request(NamedTuple):
    """A state that is asked for over a lookback."""

    lookback: Lookback
    state: State


@dataclass(frozen=True)
class Group:
    """States of one key over the rows that one filter keeps.

    ``columns``: those that are made of the states. ``one_horizon``: whether all windows have the same, so that
    half-lives counted in horizons are one number. ``carried``: states that coarser keys are rolled up from.
    """

    source: str
    where: pl.Expr | None
    key: Key
    requests: tuple[Request, ...]
    columns: tuple[FeatureColumn, ...]
    one_horizon: bool = True
    carried: tuple[State, ...] = ()

    @property
    def name(self) -> GroupName:
        """What passes find it by."""
        return self.source, self.key

    @cached_property
    def is_whole(self) -> bool:
        """Tell whether something looks at other rows or at the window, and so has to see whole histories of all keys.

        That is the filter, or an expression whose deviations from its first value are summed.
        """
        looks_around = self.where is not None and (reads_window(self.where) or not is_rowwise(self.where))
        return looks_around or any(one.state.origin and not one.state.is_mergeable for one in self.requests)

    def merges(self, request: Request) -> bool:
        """Tell whether the state is made of partials by tile."""
        lookback, state = request
        if self.is_whole or lookback.kind == "last" or not state.is_mergeable:
            return False
        own = state.half_life
        return self.one_horizon or own is None or "horizon" not in own.meta.root_names()

    @cached_property
    def merged(self) -> tuple[State, ...]:
        """States that are computed by tile and merged."""
        return _distinct_states(one.state for one in self.requests if self.merges(one))

    @property
    def by_tile(self) -> tuple[State, ...]:
        """States that are computed by tile: its own, and those of coarser keys."""
        return (*self.merged, *self.carried)

    @cached_property
    def over_last_rows(self) -> tuple[Request, ...]:
        """What is over the last rows of the key."""
        return () if self.is_whole else tuple(one for one in self.requests if one.lookback.kind == "last")

    @cached_property
    def by_window(self) -> tuple[Request, ...]:
        """What is computed for each window by itself, because it cannot be merged."""
        own = (one for one in self.requests if self.is_whole or one.lookback.kind != "last")
        return tuple(one for one in own if not self.merges(one))

    @property
    def is_by_tile_only(self) -> bool:
        """Tell whether all that it is for is made of partials by tile."""
        return bool(self.merged) and not self.over_last_rows and not self.by_window

    @cached_property
    def reads(self) -> frozenset[str]:
        """Columns of the history that it reads, the key and the clock among them."""
        expressions = [state.expression for state in self._states] + (
            [] if self.where is None else [self.where]
        )
        roots = {name for expression in expressions for name in expression.meta.root_names()}
        return frozenset({*roots, *self.key, "clock"} - {"cutoff", "horizon"})

    @property
    def origins(self) -> dict[str, pl.Expr]:
        """First values, that deviations are taken from, by column."""
        own = [state for state in self._states if state.origin]
        return {str(s.origin): s.expression.cast(pl.Float64).drop_nulls().first() for s in own}

    @property
    def _states(self) -> list[State]:
        return [*(one.state for one in self.requests), *self.carried]


def full_schema(dataset: Dataset) -> pl.Schema:
    """Columns of the history and those of the window, as expressions see them."""
    return pl.Schema({**dataset.history_schema, **WINDOW_COLUMNS})


def make_groups(
    passes: Sequence[Pass], windows: Iterable[Window], dataset: Dataset
) -> dict[GroupName, Group]:
    """Group passes by rows and key. What is over all keys at once belongs to the group of the empty key."""
    one_horizon = len({window.horizon for window in windows}) < 2
    requests: dict[GroupName, dict[tuple[Lookback, str], Request]] = {}
    columns: dict[GroupName, dict[str, FeatureColumn]] = {}
    filters: dict[str, pl.Expr | None] = {}
    for one in passes:
        filters[one.source] = where_of(one)
        for state in one.states:
            name = (one.source, () if state.everywhere else one.key)
            request = substitute(one.lookback, state, dataset)
            requests.setdefault(name, {})[request.lookback, request.state.name] = request
            columns.setdefault(name, {}).update((column.name, column) for column in one.columns)
    return {
        (source, key): Group(
            source,
            filters[source],
            key,
            tuple(own.values()),
            tuple(columns[source, key].values()),
            one_horizon,
        )
        for (source, key), own in requests.items()
    }


def where_of(one: Pass) -> pl.Expr | None:
    """Give the row filter of a pass."""
    body = one.columns[0].body
    return body.where if isinstance(body, AggregateBody) else None


def substitute(lookback: Lookback, state: State, dataset: Dataset) -> Request:
    """Say what is computed for a state: another one if that has the same value and is cheaper or shared.

    Over all keys, the last rows of a key are all rows. Non-null values of a column without nulls are rows. The first
    and last clock are the smallest and largest.
    """
    if state.everywhere:
        lookback = EVERYTHING if lookback.kind == "last" else lookback
        state = replace(state, everywhere=False)
    schema = full_schema(dataset)
    column = plain_column(state.expression, schema)
    if state.operation == "valid" and column in dataset.never_null:
        return Request(lookback, State("count", pl.lit(1)))
    if "clock" in (column, _filtered(state.expression, schema)) and state.operation in ("first", "last"):
        operation: Operation = "smallest" if state.operation == "first" else "largest"
        return Request(lookback, State(operation, state.expression))
    return Request(lookback, state)


def _filtered(expression: pl.Expr, schema: pl.Schema) -> str | None:
    """Name of the column that the expression is some rows of; None if it is anything else."""
    if not is_filter(expression):
        return None
    names = [plain_column(one, schema) for one in expression.meta.pop()]
    return next((name for name in names if name is not None and schema[name] != pl.Boolean), None)


def _distinct_states(states: Iterable[State]) -> tuple[State, ...]:
    return tuple({state.name: state for state in states}.values())
