"""Names of kept parts: by what the parts of a group's states in a partition are made of."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from competitions import Partition
from engine import Json, Recipe, digest_json
from features._grid import Grid
from features._partials import Known, Partials
from features._recipes import FORMAT
from features._states import State

LAYOUT = 2  # of the files; raise it when they hold something else


@dataclass(frozen=True)
class PartNames:
    """Names the parts of one group in one partition. ``attributes``: digest of those of users and items.

    ``first_cell``: the parts begin there. ``is_narrowed``: they are by ``code`` and of the pairs' keys, not of all.
    ``before`` of the methods: what was known of the log before the partition.
    """

    piece: Partition
    partials: Partials
    grid: Grid
    first_cell: int
    attributes: str
    is_narrowed: bool = False

    @property
    def key(self) -> tuple[str, ...]:
        """Columns that tell whose a part is."""
        return ("code",) if self.is_narrowed else self.partials.group.key

    @cached_property
    def cuts(self) -> Sequence[int]:
        """Boundaries of the grid within the partition."""
        first, last = self.piece.first_clock or 0, self.piece.last_clock or 0
        return [bound for bound in self.grid.bounds if first < bound <= last]

    @property
    def begin_cell(self) -> int:
        """Cell of the grid that the partition begins in; its own are counted from there."""
        return sum(bound <= (self.piece.first_clock or 0) for bound in self.grid.bounds)

    def recipe(self, competition: str, before: Known) -> Recipe:
        """Give the recipe of the parts of just these states with just these cuts."""
        key = " x ".join(self.partials.group.key) or "nothing"
        exact: dict[str, Json] = {"cut at": [*self.cuts]}
        states = sorted(digest_json({**self._of(state, before), **exact}) for state in self.partials.states)
        name = f"{competition}: parts by {key} @ {self.piece.digest[:12]}"
        return Recipe("part", name, {"states": [*states], "format": [FORMAT, LAYOUT]})

    def pointer(self, state: State, before: Known) -> str:
        """Name the pointer to the last parts of a state, however they are cut.

        Decayed sums are weighed from the end of their tile, so those that are cut otherwise are others.
        """
        return f"part-{digest_json(self._of(state, before))}"

    def _of(self, state: State, before: Known) -> dict[str, Json]:
        decays = state.half_life is not None
        ends = [*self.cuts, *self.grid.bounds[self.begin_cell + len(self.cuts) :][:1]]
        return {
            **self._common,
            "cut at": [*self.cuts] if decays else None,
            "weighed from": [*ends] if decays else None,
            "state": state.name,
            "half life": self.partials.half_lives.get(state.name),
            "reference": before.references.get(state.reference) if state.reference else None,
        }

    @cached_property
    def _common(self) -> dict[str, Json]:
        """Say what the parts of all states are made of."""
        first, last = self.piece.first_clock or 0, self.piece.last_clock or 0
        group, bounds = self.partials.group, self.grid.bounds
        return {
            "partition": self.piece.digest,
            "key": list(group.key),
            "keys": self.partials.index.digest if self.is_narrowed else None,
            "where": hashlib.blake2b(group.source.encode(), digest_size=16).hexdigest(),
            "from": max(first, bounds[self.first_cell - 1]) if self.first_cell else first,
            "until": min(bounds[-1], last + 1),
            "attributes": self.attributes,
            "polars": pl.__version__,
            "format": [FORMAT, LAYOUT],
        }
