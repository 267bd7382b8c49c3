"""Which passes over the log a set of columns takes: everything that shares (source, key, lookback) is one group-by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from features._catalogue import Catalogue
from features._column import AggregateBody, FeatureColumn, PairBody, PythonBody
from features._lookback import Lookback
from features._registry import Key
from features._states import State, serialized


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
