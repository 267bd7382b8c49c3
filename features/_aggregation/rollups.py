"""Partials of a coarse key from those of a finer one: the sources' from the items', everything's from the users'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from competitions import Dataset
from features._aggregation.keys import has_key
from features._aggregation.log_rows import Attributes
from features._aggregation.plan import Group, GroupName, full_schema
from features._arithmetic import State
from features._declare import Key

_MERGED_BY = {"smallest": pl.Expr.min, "largest": pl.Expr.max}


@dataclass(frozen=True)
class Rollup:
    """How a group is made of another: the finer one's name, and what its key's columns are looked up in."""

    finer: GroupName
    key: Key
    states: tuple[State, ...]
    attributes: Attributes | None
    schema: pl.Schema

    def of(self, partials: pl.DataFrame) -> pl.DataFrame:
        """Give the partials by the coarse key's columns (``code`` 0 for the empty key) from those of the finer key."""
        if self.attributes is not None:
            partials = self.attributes.given_to(partials)
        merged = [
            _MERGED_BY.get(state.operation, pl.Expr.sum)(pl.col(name))
            for state in self.states
            for name in state.partial_columns(self.schema)
        ]
        if not self.key:
            return partials.select(pl.lit(0, pl.UInt32).alias("code"), *merged)
        known = partials.lazy().filter(has_key(self.key))
        return known.group_by(self.key).agg(merged).collect(engine="in-memory")


def plan_rollups(
    groups: Mapping[GroupName, Group], dataset: Dataset
) -> tuple[dict[GroupName, Group], dict[GroupName, Rollup]]:
    """Find what can be rolled up. Returns the groups, the finer ones with what coarser ones need, and the roll-ups."""
    rollups: dict[GroupName, Rollup] = {}
    carried: dict[GroupName, list[State]] = {}
    for name, group in groups.items():
        finer = _finer(group, groups, dataset)
        if finer is not None and _is_rollable(group):
            attributes = _attributes(finer[1], group.key, dataset)
            rollups[name] = Rollup(finer, group.key, group.merged, attributes, full_schema(dataset))
            carried.setdefault(finer, []).extend(group.merged)
    return {name: replace(g, carried=_new(g, carried.get(name, ()))) for name, g in groups.items()}, rollups


def _is_rollable(group: Group) -> bool:
    """First and last values would need to know which key's came first; the rest does not."""
    return group.is_by_tile_only and not any(s.operation in ("first", "last") for s in group.merged)


def _finer(group: Group, groups: Mapping[GroupName, Group], dataset: Dataset) -> GroupName | None:
    """Find a key, of users or items, that determines the group's key and is itself grouped over the same rows."""
    c = dataset.competition
    for key, table in ((c.item, dataset.items), (c.user, dataset.users)):
        name = (group.source, (key,))
        if name == group.name or name not in groups or not groups[name].merged:
            continue
        if set(group.key) <= set(table.collect_schema().names()) - {key}:
            return name
    return None


def _attributes(finer: Key, key: Key, dataset: Dataset) -> Attributes | None:
    if not key:
        return None
    table = dataset.users if finer == (dataset.competition.user,) else dataset.items
    return Attributes.of(table, finer[0], key)


def _new(group: Group, states: Sequence[State]) -> tuple[State, ...]:
    own = {state.name for state in group.merged}
    return tuple({state.name: state for state in states if state.name not in own}.values())
