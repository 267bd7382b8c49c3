"""Worlds in which only labels are others: ids, numbers of rows, the time. A right feature has the same bits there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from competitions import Dataset
from validation import Window

WEEK = 7 * 86_400_000_000  # of microseconds
FARTHEST = 60 * 366 * 86_400_000_000  # that a world is moved, so that no calendar ends
ELSEWHERE_ON_CALENDAR = (
    521 * WEEK
)  # where the clock counts no time; the calendar of ten years on is another one
Pairs = Mapping[Window, pl.DataFrame]
NewIds = Mapping[str, tuple[pl.Series, pl.Series]]
"""By key column: the ids that there are, in their order, and the new ones in the same order."""


@dataclass(frozen=True)
class Labels:
    """Which labels are others.

    ``ids``: users, items and integer sources, in the same order as before; Enums and texts keep their values, but for
    texts that are users or items. ``rows``: ``row`` and ``pair_id``, in the same order. ``time``: the clock, the
    windows and every instant are moved by a multiple of seven days and of the horizon, and windows have no name.
    """

    ids: bool = False
    rows: bool = False
    time: bool = False


SAME = Labels()


@dataclass(frozen=True)
class Relabelled:
    """A data set with other labels. ``windows``: by each window, what it is there. ``pairs``: by the window there."""

    dataset: Dataset
    windows: Mapping[Window, Window]
    pairs: Pairs
    number: Affine

    def restored(self, values: Pairs) -> dict[Window, pl.DataFrame]:
        """Give values that were computed there by the windows and pairs that they stand for."""
        back = pl.col("pair_id").cast(pl.Int64) - self.number.offset
        return {
            window: values[there].with_columns((back // self.number.factor).cast(pl.UInt32).alias("pair_id"))
            for window, there in self.windows.items()
        }


@dataclass(frozen=True)
class Affine:
    """Numbers rows anew."""

    factor: int = 1
    offset: int = 0

    def of(self, name: str, dtype: pl.DataType) -> pl.Expr:
        """Give the new numbers of a column."""
        return (pl.col(name).cast(pl.Int64) * self.factor + self.offset).cast(dtype).alias(name)


class Nameless(Window):
    """A window of which only the numbers are told."""

    @property
    def name(self) -> str:
        """No text."""
        return ""


def relabelled(dataset: Dataset, pairs: Pairs, labels: Labels, seed: int) -> Relabelled:
    """Give a data set and the pairs of its windows other labels."""
    number = _numbering(dataset, pairs) if labels.rows else Affine()
    ids = new_ids(dataset, pairs, seed) if labels.ids else {}
    clocks, instants = _moves(dataset, pairs) if labels.time else (0, 0)

    def changed(table: pl.LazyFrame) -> pl.LazyFrame:
        schema = table.collect_schema()
        numbered = [number.of(name, schema[name]) for name in ("row", "pair_id") if name in schema]
        named = [pl.col(name).replace(*ids[name]).cast(schema[name]) for name in ids if name in schema]
        moved = [_moved(name, dtype, instants) for name, dtype in schema.items() if _has_instants(dtype)]
        clock = [pl.col("clock") + clocks] if "clock" in schema else []
        return table.with_columns(*numbered, *named, *moved, *clock)

    there = replace(
        dataset,
        log=changed(dataset.log),
        users=changed(dataset.users),
        items=changed(dataset.items),
        test_pairs=changed(dataset.test_pairs),
        test_start=dataset.test_start + clocks,
        test_until=dataset.test_until + clocks,
        partitioned=None,
    )
    kind = Nameless if labels.time else Window
    windows = {w: kind(w.cutoff + clocks, w.start + clocks, w.until + clocks) for w in pairs}
    shown = {windows[w]: changed(rows.lazy()).collect(engine="in-memory") for w, rows in pairs.items()}
    return Relabelled(there, windows, shown, number)


def new_ids(dataset: Dataset, pairs: Pairs, seed: int) -> NewIds:
    """Draw new ids for users, items and integer sources: not one that there is, if the dtype has others."""
    c = dataset.competition
    tables = [*_tables(dataset), *(frame.lazy() for frame in pairs.values())]
    found = {}
    for name in dict.fromkeys((c.user, c.item, c.source or c.item)):
        known = [t.select(name).unique().collect(engine="streaming")[name] for t in tables if _has(t, name)]
        dtype = known[0].dtype
        if dtype.is_integer() or (dtype == pl.String and name in (c.user, c.item)):
            ids = pl.concat(known).drop_nulls().unique().sort()
            found[name] = (ids, _in_order(ids, seed))
    return found | {alias: found[own] for alias, own in c.aliases.items() if own in found}


def _in_order(ids: pl.Series, seed: int) -> pl.Series:
    """As many new ids, with gaps that differ: above all known ones, or below; else where most of them are others."""
    n = len(ids)
    steps = np.cumsum(np.random.default_rng(seed).integers(1, 4, n)).tolist()
    if ids.dtype == pl.String:
        return pl.Series([f"{step:012}" for step in steps], dtype=pl.String)
    if not n:
        return ids
    lowest, highest = (int(pl.select(end).item()) for end in (ids.dtype.min(), ids.dtype.max()))  # type: ignore[attr-defined]
    first, last = int(ids[0]), int(ids[-1])
    if last + steps[-1] <= highest:
        found = [last + step for step in steps]
    elif first - steps[-1] >= lowest:
        found = [first - steps[-1] - 1 + step for step in steps]
    else:
        ends = [range(highest - n + 1, highest + 1), range(lowest, lowest + n)]
        found = [*min(ends, key=lambda new: sum(a == b for a, b in zip(new, ids, strict=True)))]
    return pl.Series(found, dtype=ids.dtype)


def _tables(dataset: Dataset) -> Iterator[pl.LazyFrame]:
    yield from (dataset.log, dataset.users, dataset.items, dataset.test_pairs)


def _has(table: pl.LazyFrame, name: str) -> bool:
    return name in table.collect_schema()


def _numbering(dataset: Dataset, pairs: Pairs) -> Affine:
    last = max((int(rows["pair_id"].max() or 0) for rows in pairs.values()), default=0)  # type: ignore[arg-type]
    last = max(last, dataset.log.select(pl.col("row").max()).collect(engine="streaming").item() or 0)
    factor = 3 if 3 * last + 11 < 2**32 else 1
    return Affine(factor, min(11, 2**32 - 1 - factor * last))


def _moves(dataset: Dataset, pairs: Pairs) -> tuple[int, int]:
    """How far the clock is moved, and how far instants are, in microseconds: beyond all windows that there are."""
    first = dataset.log.select(pl.col("clock").min()).collect(engine="streaming").item() or 0
    reach = max(dataset.test_until, *(window.until for window in pairs)) - first
    horizon = math.lcm(dataset.horizon, *(window.horizon for window in pairs))
    if dataset.competition.clock.kind != "time":
        return horizon * -(-reach // horizon), ELSEWHERE_ON_CALENDAR
    unit = math.lcm(WEEK, horizon)
    unit = unit if unit <= FARTHEST else WEEK
    clocks = unit * -(-reach // unit)
    return clocks, clocks


def _has_instants(dtype: pl.DataType) -> bool:
    inner = dtype.inner if isinstance(dtype, pl.List | pl.Array) else dtype
    return isinstance(inner, pl.Datetime | pl.Date)


def _moved(name: str, dtype: pl.DataType, by: int) -> pl.Expr:
    span = pl.duration(microseconds=by)
    if isinstance(dtype, pl.List):
        return pl.col(name).list.eval(pl.element() + span).cast(dtype)
    if isinstance(dtype, pl.Array):
        return pl.col(name).arr.eval(pl.element() + span).cast(dtype)
    return (pl.col(name) + span).cast(dtype)
