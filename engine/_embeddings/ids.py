"""Which row belongs to which id."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from engine._errors import TableError

Rows = npt.NDArray[np.int64]
MOST = 2**31 - 1  # rows of a table


class Run(NamedTuple):
    """Sorted ids and their rows, Int32 (n,)."""

    ids: pl.Series
    rows: npt.NDArray[np.int32]

    def places(self, asked: pl.Series) -> tuple[Rows, npt.NDArray[np.bool_]]:
        """Where sorted ids would lie in the run, and whether they do: (n,) each."""
        if asked.dtype == pl.Int64:  # Polars takes ten times as long to search for a thousand integers
            known, wanted = self.ids.to_numpy(), asked.to_numpy()
            place = np.minimum(known.searchsorted(wanted), len(known) - 1)
            return place, known[place] == wanted
        place = np.minimum(self.ids.search_sorted(asked).to_numpy(), len(self.ids) - 1)
        return place, (self.ids.gather(place) == asked).to_numpy()


@dataclass
class IdIndex:
    """The n-th distinct id that comes has row n.

    Ids lie in sorted runs. A new one is merged with those before it that are not twice as long, so that n ids in any
    number of steps are sorted O(log n) times and a look-up searches O(log n) runs.

    Attributes
    ----------
    arrived
        Ids in the order of their rows, in the portions they came in.
    """

    dtype: pl.DataType = field(default_factory=pl.Int64)
    arrived: list[pl.Series] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    n_ids: int = 0

    def plain(self, ids: pl.Series, table: str) -> pl.Series:
        """Ids as integers or texts, like those that are there. Raises TableError for lists and the like."""
        if ids.dtype.is_temporal() or ids.dtype == pl.Boolean:
            ids = ids.to_physical().cast(pl.Int64)
        elif ids.dtype.is_float() or ids.dtype.is_decimal():
            ids = ids.cast(pl.String)
        dtype = pl.Int64() if ids.dtype.is_integer() or ids.dtype == pl.Null else pl.String()
        if not (isinstance(ids.dtype, pl.Enum | pl.Categorical | pl.String) or dtype == pl.Int64()):
            raise TableError(
                f"Table {table!r}: ids are of dtype {ids.dtype}.",
                expected="single values",
                todo="cast them",
            )
        if self.n_ids and dtype != self.dtype and ids.dtype != pl.Null:
            raise TableError(
                f"Table {table!r}: ids are of dtype {ids.dtype}, those it has are {self.dtype}.",
                expected="ids of one kind",
                todo="cast them",
            )
        if ids.dtype == pl.UInt64:  # the upper half as negative numbers: which id is which is all that counts
            return ids.reinterpret(signed=True)
        plain = ids.cast(self.dtype if ids.dtype == pl.Null else dtype, strict=False)
        if plain.null_count() > ids.null_count():
            raise TableError(
                f"Table {table!r}: some ids are beyond 64 bits with a sign.", todo="take them as texts"
            )
        return plain

    def rows(self, ids: pl.Series) -> Rows:
        """Row of each id, Int64 (n,); -1 where an id is null or not there."""
        found = np.full(len(ids), -1, dtype=np.int64)
        at = ids.arg_sort(nulls_last=True).head(len(ids) - ids.null_count()).to_numpy()
        asked = ids.gather(at)
        for run in self.runs:
            place, is_there = run.places(asked)
            found[at[is_there]] = run.rows[place[is_there]]
            at, asked = at[~is_there], asked.filter(~is_there)
            if not len(at):
                break
        return found

    def unseen(self, ids: pl.Series) -> pl.Series:
        """Distinct ids that are not there, in the order in which they come first; without null."""
        return ids.gather(np.flatnonzero(self.rows(ids) < 0)).drop_nulls().unique(maintain_order=True)

    def add(self, new: pl.Series) -> None:
        """Give distinct ids, none of which is there, the next rows."""
        if new.is_empty():
            return
        self.dtype = new.dtype
        self.arrived.append(new)
        rows = np.arange(self.n_ids, self.n_ids + len(new), dtype=np.int32)
        self.n_ids += len(new)
        self.runs.append(_sorted([Run(new, rows)]))
        longer = len(self.runs) - 1
        while longer and len(self.runs[longer - 1].ids) < 2 * sum(len(run.ids) for run in self.runs[longer:]):
            longer -= 1
        self.runs[longer:] = [_sorted(self.runs[longer:])]

    def between(self, first: int, last: int) -> pl.Series:
        """Ids of rows ``first`` to ``last`` (exclusive)."""
        self.arrived = [pl.concat(self.arrived)] if len(self.arrived) > 1 else self.arrived
        return self.arrived[0][first:last] if self.arrived else pl.Series(dtype=self.dtype)


def _sorted(runs: list[Run]) -> Run:
    if len(runs) == 1 and runs[0].ids.is_sorted():
        return runs[0]
    ids = pl.concat([run.ids for run in runs])
    order = ids.arg_sort()
    return Run(ids.gather(order), np.concatenate([run.rows for run in runs])[order.to_numpy()])
