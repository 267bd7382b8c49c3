"""Golden cases: requests of every awkward kind, made of pairs of the test window, and what Python says of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from models import FittedRanker, PairFrame, StoredColumns
from stacking._blender import FittedBlend, ScoreFrame

_MANY = 100  # pairs of the longest request
_N_USUAL = 3
_LARGE = 3e38


@dataclass(frozen=True)
class Scorer:
    """Python's own scores of pairs: models as they were fitted last, and the blends of them."""

    models: Mapping[str, FittedRanker]
    blends: Mapping[str, FittedBlend]
    user: str
    item: str
    source: str | None

    @property
    def names(self) -> tuple[str, ...]:
        """Models, then blends."""
        return (*self.models, *self.blends)

    def scores(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Score pairs, one Float64 column a model and blend; ``pairs`` holds keys, ``window`` and all features."""
        keys = {"pair_id", "window", self.user, self.item, self.source}
        features = tuple(c for c in pairs.columns if c not in keys)
        frame = PairFrame(pairs, features, self.user, self.item, self.source)
        table = pairs.select("pair_id", "window", self.user)
        for name, model in self.models.items():
            table = table.with_columns(pl.Series(name, model.predict(frame)))
        rows = pl.Series(np.arange(pairs.height, dtype=np.uint32))
        stored = StoredColumns(pairs.schema, lambda name: pairs[name], rows)
        scored = ScoreFrame(table, tuple(self.models), self.user, stored)
        for name, blend in self.blends.items():
            table = table.with_columns(pl.Series(name, blend.predict(scored)))
        return table.select(self.names)


def golden_pairs(
    pairs: pl.DataFrame, user: str, ids: Sequence[str], known_users: pl.Series
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Make the requests: a name and the pairs of one user each.

    Parameters
    ----------
    pairs
        Pairs of some users of the test window, sorted by user, with keys and all columns that are read.
    ids
        The key columns.
    known_users
        Users who have rows in the log.
    """
    groups = [g for _, g in pairs.group_by(user, maintain_order=True)]
    for number, group in enumerate(groups[:_N_USUAL], start=1):
        yield f"usual {number}", group
    largest = max(groups, key=lambda g: g.height)
    yield "largest", largest
    yield "one pair", largest.head(1)
    yield "a pair twice", pl.concat([largest, largest.head(1)])
    yield "many", _of_one_user(pairs.head(_MANY), user)
    news = [g for g in groups if not g[user].is_in(known_users.implode()).any()]
    if news:
        yield "no history", news[0]
    yield "unseen ids", _of_one_user(largest.with_columns(_unseen(largest[name]) for name in ids), user)
    nothing = _blank(largest, [c for c in largest.columns if c not in ("pair_id", "window")])
    yield "all null", nothing
    yield "one pair, all null", nothing.head(1)
    yield "no features", _blank(largest, [c for c in largest.columns if c not in ("pair_id", "window", *ids)])
    yield "large numbers", _large(largest, ids)


def _of_one_user(pairs: pl.DataFrame, user: str) -> pl.DataFrame:
    """Give all pairs to the first user, with what is known of that user as a whole: arrays."""
    same = [user, *(name for name, dtype in pairs.schema.items() if isinstance(dtype, pl.Array))]
    return pairs.with_columns(pl.col(same).first())


def _unseen(ids: pl.Series) -> pl.Series:
    """Other ids, of the same dtype, that no log has: near the end of the range, or of other text."""
    if ids.dtype.is_integer():
        highest = min(_ends(ids.dtype)[1], 2**62)
        values = [highest - i for i in range(len(ids))]
        return pl.Series(ids.name, values, dtype=ids.dtype)
    if ids.dtype == pl.String:
        return pl.Series(ids.name, [f"unseen {i}" for i in range(len(ids))])
    return pl.Series(ids.name, [None] * len(ids), dtype=ids.dtype)


def _blank(pairs: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    return pairs.with_columns(pl.lit(None, dtype=pairs.schema[name]).alias(name) for name in names)


def _large(pairs: pl.DataFrame, ids: Sequence[str]) -> pl.DataFrame:
    """Numbers at the ends of their range, of either sign in turn."""
    rows = np.arange(pairs.height)
    columns = []
    for number, (name, dtype) in enumerate(pairs.schema.items()):
        if name in (*ids, "pair_id", "window"):
            continue
        low = (rows + number) % 2 == 0
        if dtype.is_float():
            columns.append(pl.Series(name, np.where(low, -_LARGE, _LARGE)).cast(dtype))
        elif dtype.is_integer():
            bound = [max(-(2**53), min(2**53, end)) for end in _ends(dtype)]
            columns.append(pl.Series(name, np.where(low, *bound)).cast(dtype))
    return pairs.with_columns(columns)


def _ends(dtype: pl.DataType) -> tuple[int, int]:
    """Least and greatest value of an integer dtype."""
    ends = pl.select(low=dtype.min(), high=dtype.max()).row(0)  # type: ignore[attr-defined]
    return int(ends[0]), int(ends[1])
