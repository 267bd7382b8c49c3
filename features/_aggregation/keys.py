"""The keys of the pairs, numbered: what aggregates are narrowed to, and how a null key is treated.

A key with a null in some column is no key: rows with it count for nothing but what is over all keys, and pairs with it
have the values of a key without rows. ``code`` is the number of a key.

Small ids are looked up in arrays, which is several times faster than a join. Each column's ids get ranks. The ranks
of all columns are one number, the *place*; a table over all places has the key's code. Where that table would be too
large, keys are joined.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from features._aggregation.limits import LIMITS, Limits
from features._declare import Key

Codes = npt.NDArray[np.uint32]
Positions = npt.NDArray[np.intp]
Places = npt.NDArray[Any]  # UInt32 or Int64

MAX_ID = 2**24  # ids below it are positions in an array
PACKED = "packed key"
_NUMBERS = (pl.UInt8, pl.UInt16, pl.UInt32)
_SMALL = (pl.UInt8, pl.UInt16, pl.UInt32, pl.Enum, pl.Boolean)


def has_key(names: Iterable[str]) -> pl.Expr:
    """Whether a row has a key: none of its columns is null. Every row has the empty key."""
    names = list(names)
    return pl.all_horizontal(pl.col(name).is_not_null() for name in names) if names else pl.lit(True)


@dataclass(frozen=True)
class Ranks:
    """Ranks 1, 2, ... of a column's ids by id; 0 = of no key, as is the last entry, for whatever lies beyond."""

    name: str
    dtype: pl.DataType
    by_id: npt.NDArray[np.uint32]

    @cached_property
    def series(self) -> pl.Series:
        """The ranks as Polars takes them, which is faster than NumPy does."""
        return pl.Series(self.by_id)

    @cached_property
    def n_ranks(self) -> int:
        """Number of ranks, 0 among them."""
        return int(self.by_id.max()) + 1

    def of(self, rows: pl.DataFrame) -> npt.NDArray[np.uint32]:
        """Rank of the id in each row; 0 where it is null or in no key."""
        return _looked_up(self.series, rows[self.name])


def _looked_up(by_id: pl.Series, ids: pl.Series) -> npt.NDArray[np.uint32]:
    """Look ids up; the last entry is for what is null or lies beyond."""
    last = len(by_id) - 1
    where = _as_ids(ids).fill_null(last)
    largest = where.max()
    if isinstance(largest, int) and largest > last:
        where = where.clip(upper_bound=last)
    return by_id[where].to_numpy()


def _as_ids(column: pl.Series) -> pl.Series:
    return column.to_physical().cast(pl.UInt32)


@dataclass(frozen=True)
class Lookup:
    """Codes of keys without nulls: row ``i`` of what it was made from is key number ``i``. ``n_keys`` = no key."""

    ranks: tuple[Ranks, ...]
    n_keys: int
    places: Places

    def fits(self, rows: pl.DataFrame) -> bool:
        """Tell whether the rows have the key's columns in its dtypes."""
        return all(rows.schema.get(one.name) == one.dtype for one in self.ranks)

    def codes(self, rows: pl.DataFrame) -> Codes:
        """Code of each row's key."""
        if len(self.ranks) == 1:
            return _looked_up(self._by_id, rows[self.ranks[0].name])
        return self._table.take(_places(rows, self.ranks))

    @cached_property
    def _table(self) -> Codes:
        table = np.full(_n_places(self.ranks), self.n_keys, dtype=np.uint32)
        table[self.places] = np.arange(self.n_keys, dtype=np.uint32)
        return table

    @cached_property
    def _by_id(self) -> pl.Series:
        """Code of each id of the only column."""
        return pl.Series(self._table.take(self.ranks[0].by_id))


def make_lookup(keys: pl.DataFrame, names: Sequence[str], limits: Limits = LIMITS) -> Lookup | None:
    """Lay out the keys in the rows of a frame, each once and without nulls; None if they are to be joined."""
    if not keys.height or not all(isinstance(keys.schema[name], _SMALL) for name in names):
        return None
    ranks = _ranks(keys, names)
    if ranks is None or _n_places(ranks) > limits.looked_up:
        return None
    return Lookup(ranks, keys.height, _places(keys, ranks))


def distinct(keys: pl.DataFrame) -> pl.DataFrame:
    """Give the distinct keys without nulls, sorted."""
    keys = keys.drop_nulls()
    ranks = None
    if keys.height and all(isinstance(dtype, _SMALL) for dtype in keys.dtypes):
        ranks = _ranks(keys, keys.columns)
    n_bits = keys.height.bit_length()
    if ranks is not None and keys.dtypes[0] in _NUMBERS and keys.width == 1:
        return pl.DataFrame({ranks[0].name: np.flatnonzero(ranks[0].by_id)}, schema=keys.schema)
    if ranks is None or _n_places(ranks) >= 2 ** (63 - n_bits):
        return keys.lazy().unique().collect(engine="streaming").sort(keys.columns)
    packed = (_places(keys, ranks).astype(np.int64) << n_bits) | np.arange(keys.height)
    packed.sort()
    places = packed >> n_bits
    firsts = packed[np.flatnonzero(np.diff(places, prepend=-1))] & (2**n_bits - 1)
    return keys[pl.Series(firsts.astype(np.uint32))]


def _ranks(keys: pl.DataFrame, names: Sequence[str]) -> tuple[Ranks, ...] | None:
    ranks = []
    for name in names:
        ids = _as_ids(keys[name]).to_numpy()
        if int(ids.max()) >= MAX_ID:
            return None
        is_there = np.zeros(int(ids.max()) + 2, dtype=np.bool_)
        is_there[ids] = True
        by_id = np.cumsum(is_there, dtype=np.uint32)
        by_id[~is_there] = 0
        ranks.append(Ranks(name, keys.schema[name], by_id))
    return None if _n_places(ranks) >= 2**62 else tuple(ranks)


def _n_places(ranks: Iterable[Ranks]) -> int:
    return math.prod(one.n_ranks for one in ranks)


def _places(keys: pl.DataFrame, ranks: Sequence[Ranks]) -> Places:
    """Place of each row: 32 bits where that is enough, which is half the work."""
    dtype = np.int64 if _n_places(ranks) >= 2**32 else np.uint32
    places = ranks[0].of(keys).astype(dtype)  # a copy: what is looked up may be read only
    for one in ranks[1:]:
        np.multiply(places, dtype(one.n_ranks), out=places)
        np.add(places, one.of(keys), out=places)
    return places


def are_positions(ids: pl.Series) -> bool:
    """Tell whether ids are so small that they can be positions in an array."""
    largest = ids.max() if ids.dtype in _NUMBERS else None
    return isinstance(largest, int) and largest < MAX_ID


def n_distinct_at_most(column: pl.Series) -> int:
    """Give a bound on the number of distinct values, null being one, that takes no counting."""
    largest = _as_ids(column).max() if isinstance(column.dtype, _SMALL) else None
    return largest + 2 if isinstance(largest, int) else len(column)


def n_distinct(column: pl.Series) -> int:
    """Number of distinct values, null being one."""
    ids = _as_ids(column) if isinstance(column.dtype, _SMALL) else pl.Series(dtype=pl.UInt32)
    largest = ids.max()
    if isinstance(largest, int) and largest < MAX_ID:
        is_there = np.zeros(largest + 2, dtype=np.bool_)
        is_there[ids.fill_null(largest + 1).to_numpy()] = True
        return int(np.count_nonzero(is_there))
    return column.n_unique()


@dataclass(frozen=True)
class KeyIndex:
    """Keys and their codes: the key's columns and ``code`` UInt32, 0, 1, ..., without nulls."""

    key: Key
    frame: pl.DataFrame
    limits: Limits = LIMITS

    @property
    def n_keys(self) -> int:
        """Number of keys."""
        return self.frame.height

    @cached_property
    def digest(self) -> str:
        """Digest of the keys and their codes."""
        as_bytes = BytesIO()
        self.frame.write_ipc(as_bytes)
        return hashlib.blake2b(as_bytes.getbuffer(), digest_size=16).hexdigest()

    @cached_property
    def lookup(self) -> Lookup | None:
        """Look-up of small ids in arrays; None if the keys are joined."""
        return make_lookup(self.frame, self.key, self.limits) if self.key else None

    def codes(self, rows: pl.DataFrame) -> Codes:
        """Code of each row's key; ``n_keys`` where it is null or not in the index."""
        if not self.key:
            return np.zeros(rows.height, dtype=np.uint32)
        if self.lookup is not None and self.lookup.fits(rows):
            return self.lookup.codes(rows)
        asked = self.packed(rows.select(self.key)).select(self.on)
        known = self.packed(self.frame).select(*self.on, "code")
        found = asked.join(known, on=self.on, how="left", validate="m:1", maintain_order="left")
        return found["code"].fill_null(self.n_keys).to_numpy()

    def find(self, rows: pl.DataFrame) -> tuple[Positions, Codes]:
        """Give the positions of the rows whose key is in the index, ascending, and the code of each."""
        codes = self.codes(rows)
        chosen = np.flatnonzero(codes < self.n_keys)
        return chosen, codes.take(chosen)

    def narrow(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Keep the rows of the indexed keys, in their order, with ``code``."""
        if not self.key:
            return rows.with_columns(pl.lit(0, pl.UInt32).alias("code"))
        chosen, codes = self.find(rows)
        if len(chosen) < rows.height:
            rows = rows[pl.Series(chosen.astype(np.uint32))]
        return rows.with_columns(pl.Series("code", codes, dtype=pl.UInt32))

    def shard(self, number: int, n_shards: int) -> KeyIndex:
        """Keep one of so many equal shares of the keys, numbered anew."""
        if n_shards == 1:
            return self
        own = self.frame.filter(pl.col("code") % n_shards == number).drop("code")
        return KeyIndex(self.key, _numbered(own), self.limits)

    @property
    def on(self) -> list[str]:
        """Columns to group and join by, of ``packed`` rows."""
        return [PACKED] if self._packing() is not None else list(self.key)

    def packed(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Give rows the columns ``on``: two small columns as one number are grouped and joined twice as fast."""
        packing = self._packing()
        return rows if packing is None else rows.with_columns(packing)

    def unpacked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Give packed rows the key's columns back."""
        if self._packing() is None:
            return rows
        high, low = self.key
        numbers = {high: pl.col(PACKED) // 2**32, low: pl.col(PACKED) % 2**32}
        columns = [_unpacked(value, self.frame.schema[name]).alias(name) for name, value in numbers.items()]
        return rows.select(*columns, pl.exclude(PACKED))

    def _packing(self) -> pl.Expr | None:
        dtypes = [self.frame.schema[name] for name in self.key]
        if len(dtypes) != 2 or not all(isinstance(dtype, _SMALL) for dtype in dtypes):
            return None
        high, low = (pl.col(name).to_physical().cast(pl.UInt64) for name in self.key)
        return (high * 2**32 + low).alias(PACKED)


def _unpacked(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if isinstance(dtype, pl.Enum):
        names = dtype.categories
        return value.replace_strict(list(range(len(names))), names, return_dtype=dtype)
    return value.cast(dtype)


def index_of(key: Key, frames: Iterable[pl.DataFrame], limits: Limits = LIMITS) -> KeyIndex:
    """Number the keys that occur in the frames; the empty key is one key."""
    if not key:
        return KeyIndex((), pl.DataFrame({"code": [0]}, schema={"code": pl.UInt32}))
    keys = distinct(pl.concat([frame.select(key) for frame in frames]))
    return KeyIndex(key, _numbered(keys), limits)


def _numbered(keys: pl.DataFrame) -> pl.DataFrame:
    return keys.with_row_index("code").with_columns(pl.col("code").cast(pl.UInt32))
