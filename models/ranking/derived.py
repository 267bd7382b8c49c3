"""Frames whose columns nets read one number at a time: groups alone, powers of numbers, and numbers of vectors."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from models._pair_frame import PairFrame
from models.ranking.parameters import derived_parts


@dataclass
class Derived:
    """A frame with powers of its numbers, ``age^2``, and the numbers of its vectors, ``content[7]``.

    A power of a number below 0 has its sign. A column is read once for all that is made of it one after the other.
    """

    frame: PairFrame
    last: tuple[str, pl.Series] = field(default=("", pl.Series()), init=False)

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.frame.height

    def column(self, name: str) -> pl.Series:
        """One column, (height,)."""
        base, power, place = derived_parts(name)
        if self.last[0] != base:
            self.last = base, self.frame.column(base)
        column = self.last[1]
        if place is not None:
            return column.arr.get(place, null_on_oob=True)
        if power is not None:
            known = column.cast(pl.Float64)
            return (known.sign() * known.abs().pow(power)).cast(pl.Float32)
        return column


def group_firsts(frame: PairFrame) -> PairFrame:
    """The first pair of each (window, user), in the order in which they come."""
    return frame.take(pl.struct("window", frame.user).is_first_distinct())
