"""Which passes over the log a set of columns takes, and which of them share rows and key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import polars as pl

from competitions import Dataset
from features._aggregation.tiling import Grid
from features._arithmetic import State, is_filter, is_rowwise, plain_column, reads_window, serialized
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
    """What is done, in this order, for one window.

    ``levels``: per-pair columns; each level is one projection and reads earlier ones. ``bodies``: columns of one
    Python body (and variant) together.
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
    return tuple({name: state for body in bodies for name, state in body.aggregate.states.items()}.values())


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


Wanted = tuple[Lookback, State]
GroupName = tuple[str, Key]


@dataclass(frozen=True)
class Group:
    """States of one key over the rows that one filter keeps.

    ``wanted``: which states at which lookback. ``columns``: whom they are for. ``one_horizon``: whether all windows
    have the same, so that half-lives counted in horizons are one number.
    """

    source: str
    where: pl.Expr | None
    key: Key
    wanted: tuple[Wanted, ...]
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
        return looks_around or any(s.reference and not s.is_mergeable for _, s in self.wanted)

    @cached_property
    def merged(self) -> tuple[State, ...]:
        """States that are computed by tile and merged."""
        return _states(state for lookback, state in self.wanted if self.merges(lookback, state))

    @cached_property
    def tails(self) -> tuple[Wanted, ...]:
        """States over the last rows of the key."""
        return () if self.is_whole else tuple(w for w in self.wanted if w[0].kind == "last")

    @cached_property
    def direct(self) -> tuple[Wanted, ...]:
        """States that are computed for each window by itself: they cannot be merged."""
        own = (w for w in self.wanted if self.is_whole or w[0].kind != "last")
        return tuple(w for w in own if not self.merges(*w))

    def first_cell(self, grid: Grid, windows: Iterable[Window]) -> int:
        """First cell that some merged state of some window is made of."""
        firsts = (
            grid.cells(w, lookback)[0]
            for w in windows
            for lookback, s in self.wanted
            if self.merges(lookback, s)
        )
        return min(firsts, default=0)

    def merges(self, lookback: Lookback, state: State) -> bool:
        """Tell whether the state is computed by tile at this lookback."""
        if self.is_whole or lookback.kind == "last" or not state.is_mergeable:
            return False
        own = state.half_life
        return self.one_horizon or own is None or "horizon" not in own.meta.root_names()

    @cached_property
    def reads(self) -> frozenset[str]:
        """Columns of the history that it reads, the key and the clock among them."""
        states = [*(s for _, s in self.wanted), *self.carried]
        expressions = [s.expression for s in states] + ([] if self.where is None else [self.where])
        roots = {name for e in expressions for name in e.meta.root_names()}
        return frozenset({*roots, *self.key, "clock"} - {"cutoff", "horizon"})

    @property
    def references(self) -> dict[str, pl.Expr]:
        """First values that deviations are taken from, by column."""
        states = (*(s for _, s in self.wanted), *self.carried)
        return {
            str(s.reference): s.expression.cast(pl.Float64).drop_nulls().first()
            for s in states
            if s.reference
        }


def full_schema(dataset: Dataset) -> pl.Schema:
    """Columns of the history and those of the window, as expressions see them."""
    return pl.Schema({**dataset.history_schema, **WINDOW_COLUMNS})


def make_groups(
    passes: Sequence[Pass], windows: Iterable[Window], dataset: Dataset
) -> dict[GroupName, Group]:
    """Group passes by rows and key. What is over all keys at once becomes part of the group of the empty key."""
    one_horizon = len({window.horizon for window in windows}) < 2
    wanted: dict[GroupName, list[Wanted]] = {}
    columns: dict[GroupName, list[FeatureColumn]] = {}
    filters: dict[str, pl.Expr | None] = {}
    for one in passes:
        filters[one.source] = where_of(one)
        for state in one.states:
            name = (one.source, () if state.everywhere else one.key)
            wanted.setdefault(name, []).append(physical(one.lookback, state, dataset))
            columns.setdefault(name, []).extend(one.columns)
    return {
        name: Group(
            name[0],
            filters[name[0]],
            name[1],
            _unique(asked),
            tuple({c.name: c for c in columns[name]}.values()),
            one_horizon,
        )
        for name, asked in wanted.items()
    }


def where_of(one: Pass) -> pl.Expr | None:
    """Give the row filter of a pass."""
    body = one.columns[0].body
    return body.where if isinstance(body, AggregateBody) else None


def physical(lookback: Lookback, state: State, dataset: Dataset) -> Wanted:
    """Say what is computed for a state: another one if that has the same value and is cheaper or shared.

    Over all keys, the last rows of a key are all rows. Non-null values of a column without nulls are rows. The first
    and last clock are the smallest and largest.
    """
    if state.everywhere:
        lookback, state = (
            EVERYTHING if lookback.kind == "last" else lookback,
            replace(state, everywhere=False),
        )
    schema = full_schema(dataset)
    column = plain_column(state.expression, schema)
    if state.operation == "valid" and column in dataset.never_null:
        return lookback, State("count", pl.lit(1))
    if "clock" in (column, _filtered(state.expression, schema)) and state.operation in ("first", "last"):
        return lookback, State("smallest" if state.operation == "first" else "largest", state.expression)
    return lookback, state


def _filtered(expression: pl.Expr, schema: pl.Schema) -> str | None:
    """Name of the column that the expression is some rows of; None if it is anything else."""
    if not is_filter(expression):
        return None
    names = [plain_column(part, schema) for part in expression.meta.pop()]
    return next((name for name in names if name is not None and schema[name] != pl.Boolean), None)


def _unique(wanted: Iterable[Wanted]) -> tuple[Wanted, ...]:
    by_name: Mapping[tuple[Lookback, str], Wanted] = {(w[0], w[1].name): w for w in wanted}
    return tuple(by_name.values())


def _states(states: Iterable[State]) -> tuple[State, ...]:
    return tuple({state.name: state for state in states}.values())
