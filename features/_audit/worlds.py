"""Which altered worlds an audit computes columns in, and how one of them is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from engine import Settings
from features._audit.alterations import (
    ALONE,
    ALTERATIONS,
    FEW,
    OTHERS_GONE,
    SAMPLE,
    TOGETHER,
    Alteration,
    World,
    few_pairs,
    nothing,
    of_sample,
    one_pair,
    one_user,
    others_gone,
)
from features._audit.computed import Computed, computed
from features._audit.overflow import OVERFLOW, busy, can_overflow
from features._catalogue import Catalogue
from validation import Window

Frames = Mapping[Window, pl.DataFrame]
AGAIN = "a second run in the same process"
TOGETHER_AGAIN = "windows computed one by one"
_ALONE_OF = {"row": one_pair, "user": one_user}  # by the scope of what is computed there


@dataclass(frozen=True)
class Worlds:
    """What is altered: a data set that can be computed again and again, and windows with the pairs to compare.

    ``windows``: the ones to alter. ``pairs``: of these and, for the values alone, of others such as the test window.
    ``is_brief``: only what alters the log, and not the pairs or the process.
    """

    catalogue: Catalogue
    names: tuple[str, ...]
    windows: tuple[Window, ...]
    pairs: Frames
    seed: int
    settings: Settings
    is_brief: bool = False

    def of(self, window: Window) -> World:
        """The unaltered world of a window."""
        return World(self.catalogue.dataset, window, self.pairs[window])

    def of_scope(self, scopes: Sequence[str]) -> tuple[str, ...]:
        """The columns of these scopes."""
        return tuple(n for n in self.names if self.catalogue.columns[n].scope in scopes)


@dataclass(frozen=True)
class Sight:
    """A world to compute: under which name, what it alters, and which columns are looked at there."""

    check: str
    window: Window
    alter: Alteration
    names: tuple[str, ...]


def plain_values(worlds: Worlds) -> Computed:
    """Compute every column of every window, nothing altered."""
    return computed(worlds.catalogue, worlds.names, worlds.pairs)


def seen(worlds: Worlds, sight: Sight) -> Computed:
    """Compute the columns in one altered world of one window."""
    world = sight.alter(worlds.of(sight.window), worlds.seed)
    catalogue = replace(worlds.catalogue, dataset=world.dataset)
    return computed(catalogue, sight.names, {world.window: world.pairs})


def first_sights(worlds: Worlds) -> list[Sight]:
    """The worlds that every column is computed in; more only for what differs in one of them."""
    sights = [
        Sight(check, window, alter, worlds.names)
        for window in worlds.windows
        for check, alter in TOGETHER.items()
    ]
    return sights if worlds.is_brief else [*sights, *_of_few_pairs(worlds)]


def _of_few_pairs(worlds: Worlds) -> list[Sight]:
    """Worlds of the last window alone; that without other users only where users have been left out already."""
    last, schema = worlds.windows[-1], worlds.catalogue.dataset.history_schema
    wide = tuple(n for n in worlds.names if can_overflow(worlds.catalogue.columns[n], schema))
    sights = [
        Sight(SAMPLE, last, of_sample, worlds.of_scope(("row", "user"))),
        Sight(OVERFLOW, last, busy, wide),
        *(Sight(ALONE, last, alter, worlds.of_scope((scope,))) for scope, alter in _ALONE_OF.items()),
    ]
    if worlds.settings.sample.users < 1:
        sights.append(Sight(OTHERS_GONE, last, others_gone, worlds.names))
    return [sight for sight in sights if sight.names]


def one_by_one(sight: Sight, names: Sequence[str], catalogue: Catalogue) -> list[Sight]:
    """The single alterations of a world, for the columns that differ there."""
    if not names:
        return []
    if sight.check == SAMPLE:
        shown = tuple(n for n in names if catalogue.columns[n].scope != "window")
        return [Sight(FEW, sight.window, few_pairs, shown), Sight(SAMPLE, sight.window, of_sample, shown)]
    if sight.check == AGAIN:
        return [Sight(TOGETHER_AGAIN, sight.window, nothing, tuple(names))]
    if sight.check == ALONE:
        scope = "user" if sight.alter is one_user else "row"
        own = tuple(n for n in names if catalogue.columns[n].scope == scope)
        return [Sight(ALONE, sight.window, sight.alter, own)]
    return [Sight(check, sight.window, alter, tuple(names)) for check, alter in ALTERATIONS.items()]
