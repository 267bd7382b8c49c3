"""The keys of the pairs, numbered: what aggregates are narrowed to.

Small ids are looked up in arrays, which is several times faster than a join. Each column's ids get ranks. The ranks
of all columns are one number, the *place*; a table over all places has the key's number. Where that table would be
too large, a table of bits over hashed places sorts most of the other rows out, and what is left is joined.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from features._aggregation.threads import all_done
from features._declare import Key
from validation import Window

Codes = npt.NDArray[np.uint32]
Places = npt.NDArray[Any]  # UInt32 or Int64
Rows = npt.NDArray[np.intp]

MOST_IDS = 2**24  # of a column: they are looked up in an array
MOST_PLACES = 2**25  # of a table with the number of each place
HASH_BITS = (16, 27)  # of a table that says where some key is; fewer and most
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: spreads neighbours (Knuth, 6.4)
_NUMBERS = (pl.UInt8, pl.UInt16, pl.UInt32)
_SMALL = (pl.UInt8, pl.UInt16, pl.UInt32, pl.Enum, pl.Boolean)


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
        return _taken(self.series, rows[self.name])


def _taken(by_id: pl.Series, ids: pl.Series) -> npt.NDArray[np.uint32]:
    """Look ids up; the last entry is for what is null or lies beyond."""
    last = len(by_id) - 1
    where = _ids(ids).fill_null(last)
    largest = where.max()
    if isinstance(largest, int) and largest > last:
        where = where.clip(upper_bound=last)
    return by_id[where].to_numpy()


def _ids(column: pl.Series) -> pl.Series:
    return column.to_physical().cast(pl.UInt32)


@dataclass(frozen=True)
class Lookup:
    """Numbers of keys without nulls: row ``i`` of what it was made from is key number ``i``. ``n_keys`` = no key."""

    ranks: tuple[Ranks, ...]
    n_keys: int
    places: Places

    def fits(self, rows: pl.DataFrame) -> bool:
        """Tell whether the rows have the key's columns in its dtypes."""
        return all(rows.schema.get(one.name) == one.dtype for one in self.ranks)

    def codes(self, rows: pl.DataFrame) -> Codes:
        """Number of each row's key."""
        if len(self.ranks) == 1:
            return _taken(self._by_id, rows[self.ranks[0].name])
        codes = np.full(rows.height, self.n_keys, dtype=np.uint32)
        chosen, own = self.found(rows)
        codes[chosen] = own
        return codes

    def found(self, rows: pl.DataFrame) -> tuple[Rows, Codes]:
        """Give the positions of the rows that have some key, ascending, and its number in each."""
        if len(self.ranks) == 1:
            codes = self.codes(rows)
            chosen = np.flatnonzero(codes < self.n_keys)
            return chosen, codes.take(chosen)
        place = _places(rows, self.ranks)
        if self._n_places <= MOST_PLACES:
            chosen = np.flatnonzero(self._is_some.take(place))
            return chosen, self._table.take(place.take(chosen))
        chosen = np.flatnonzero(self._is_some.take(self._hashed(place)))
        keys = pl.DataFrame({"place": self.places, "code": np.arange(self.n_keys, dtype=np.uint32)})
        wanted = pl.DataFrame({"place": place.take(chosen), "row": chosen})
        found = wanted.join(keys, on="place", how="inner", validate="m:1", maintain_order="left")
        return found["row"].to_numpy(), found["code"].to_numpy()

    @cached_property
    def _n_places(self) -> int:
        return math.prod(one.n_ranks for one in self.ranks)

    @cached_property
    def _table(self) -> Codes:
        table = np.full(self._n_places, self.n_keys, dtype=np.uint32)
        table[self.places] = np.arange(self.n_keys, dtype=np.uint32)
        return table

    @cached_property
    def _by_id(self) -> pl.Series:
        """Number of each id of the only column."""
        return pl.Series(self._table.take(self.ranks[0].by_id))

    @cached_property
    def _n_bits(self) -> int:
        return min(max((8 * self.n_keys).bit_length(), HASH_BITS[0]), HASH_BITS[1])

    @cached_property
    def _is_some(self) -> npt.NDArray[np.bool_]:
        is_table = self._n_places <= MOST_PLACES
        table = np.zeros(self._n_places if is_table else 2**self._n_bits, dtype=np.bool_)
        table[self.places if is_table else self._hashed(self.places)] = True
        return table

    def _hashed(self, places: Places) -> npt.NDArray[np.uint64]:
        return (places.astype(np.uint64) * _FACTOR) >> np.uint64(64 - self._n_bits)


def make_lookup(keys: pl.DataFrame, names: Sequence[str]) -> Lookup | None:
    """Lay out the keys in the rows of a frame, each once and without nulls; None if some ids are not small."""
    if not keys.height or not all(isinstance(keys.schema[name], _SMALL) for name in names):
        return None
    ranks = _ranks(keys, names)
    return None if ranks is None else Lookup(ranks, keys.height, _places(keys, ranks))


def distinct(keys: pl.DataFrame) -> pl.DataFrame | None:
    """Give the distinct keys without nulls, sorted; None if some ids are not small."""
    keys = keys.drop_nulls()
    if not keys.height or not all(isinstance(dtype, _SMALL) for dtype in keys.dtypes):
        return None
    ranks = _ranks(keys, keys.columns)
    n_bits = keys.height.bit_length()
    if ranks is not None and keys.dtypes[0] in _NUMBERS and keys.width == 1:
        return pl.DataFrame({ranks[0].name: np.flatnonzero(ranks[0].by_id)}, schema=keys.schema)
    if ranks is None or math.prod(one.n_ranks for one in ranks) >= 2 ** (63 - n_bits):
        return None
    packed = (_places(keys, ranks).astype(np.int64) << n_bits) | np.arange(keys.height)
    packed.sort()
    places = packed >> n_bits
    firsts = packed[np.flatnonzero(np.diff(places, prepend=-1))] & (2**n_bits - 1)
    return keys[pl.Series(firsts.astype(np.uint32))]


def _ranks(keys: pl.DataFrame, names: Sequence[str]) -> tuple[Ranks, ...] | None:
    ranks = []
    for name in names:
        ids = _ids(keys[name]).to_numpy()
        if int(ids.max()) >= MOST_IDS:
            return None
        is_there = np.zeros(int(ids.max()) + 2, dtype=np.bool_)
        is_there[ids] = True
        by_id = np.cumsum(is_there, dtype=np.uint32)
        by_id[~is_there] = 0
        ranks.append(Ranks(name, keys.schema[name], by_id))
    return None if math.prod(one.n_ranks for one in ranks) >= 2**62 else tuple(ranks)


def _places(keys: pl.DataFrame, ranks: Sequence[Ranks]) -> Places:
    """Place of each row: 32 bits where that is enough, which is half the work."""
    dtype = np.int64 if math.prod(one.n_ranks for one in ranks) >= 2**32 else np.uint32
    places = ranks[0].of(keys).astype(dtype)  # a copy: what is looked up may be read only
    for one in ranks[1:]:
        np.multiply(places, dtype(one.n_ranks), out=places)
        np.add(places, one.of(keys), out=places)
    return places


def n_distinct_at_most(column: pl.Series) -> int:
    """Give a bound on the number of distinct values, null being one, that takes no counting."""
    largest = _ids(column).max() if isinstance(column.dtype, _SMALL) else None
    return largest + 2 if isinstance(largest, int) else len(column)


def n_distinct(column: pl.Series) -> int:
    """Number of distinct values, null being one."""
    if isinstance(column.dtype, _SMALL) and len(column):
        ids = _ids(column)
        largest = ids.max()
        if isinstance(largest, int) and largest < MOST_IDS:
            is_there = np.zeros(largest + 2, dtype=np.bool_)
            is_there[ids.fill_null(largest + 1).to_numpy()] = True
            return int(np.count_nonzero(is_there))
    return column.n_unique()


PACKED = "packed key"
_PACKABLE = (pl.UInt8, pl.UInt16, pl.UInt32, pl.Enum, pl.Boolean)


@dataclass(frozen=True)
class KeyIndex:
    """Keys by number: the key's columns and ``code`` UInt32, 0, 1, ..., without nulls."""

    key: Key
    frame: pl.DataFrame

    @property
    def n_keys(self) -> int:
        """Number of keys."""
        return self.frame.height

    @cached_property
    def digest(self) -> str:
        """Digest of the keys and their numbers."""
        as_bytes = BytesIO()
        self.frame.write_ipc(as_bytes)
        return hashlib.blake2b(as_bytes.getbuffer(), digest_size=16).hexdigest()

    @cached_property
    def lookup(self) -> pl.DataFrame:
        """The columns that ``with_lookup`` gives to rows, and ``code``."""
        if self.key and (packed := self._packing()) is not None:
            return self.frame.select(packed, "code")
        return self.frame

    @cached_property
    def arrays(self) -> Lookup | None:
        """Look-up of small ids in arrays; None if others are among the key's columns."""
        return make_lookup(self.frame, self.key) if self.key else None

    @property
    def on(self) -> list[str]:
        """Columns to group and join by."""
        return [PACKED] if self._packing() is not None else list(self.key)

    def with_lookup(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Give rows the columns ``on``: two small keys are packed into one number, which is joined much faster."""
        packed = self._packing()
        return rows if packed is None else rows.with_columns(packed)

    def unpacked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Give rows of packed keys the key's columns back."""
        high, low = self.key
        parts = {high: pl.col(PACKED) // 2**32, low: pl.col(PACKED) % 2**32}
        columns = [_unpacked(value, self.frame.schema[name]).alias(name) for name, value in parts.items()]
        return rows.select(*columns, pl.exclude(PACKED))

    def _packing(self) -> pl.Expr | None:
        dtypes = [self.frame.schema[name] for name in self.key]
        if len(dtypes) != 2 or not all(isinstance(dtype, _PACKABLE) for dtype in dtypes):
            return None
        high, low = (pl.col(name).to_physical().cast(pl.UInt64) for name in self.key)
        return (high * 2**32 + low).alias(PACKED)

    def codes(self, rows: pl.DataFrame) -> Codes:
        """Number of each row's key; ``n_keys`` where it is null or not in the index."""
        if not self.key:
            return np.zeros(rows.height, dtype=np.uint32)
        if self.arrays is not None and self.arrays.fits(rows):
            return self.arrays.codes(rows)
        wanted = self.with_lookup(rows.select(self.key)).select(self.on)
        found = wanted.join(self.lookup, on=self.on, how="left", validate="m:1", maintain_order="left")
        return found["code"].fill_null(self.n_keys).to_numpy()

    def found(self, rows: pl.DataFrame) -> tuple[Rows, Codes]:
        """Give the positions of the rows whose key is in the index, ascending, and its number in each."""
        if self.arrays is not None and self.arrays.fits(rows):
            return self.arrays.found(rows)
        codes = self.codes(rows)
        chosen = np.flatnonzero(codes < self.n_keys)
        return chosen, codes.take(chosen)

    def part(self, number: int, n_parts: int) -> KeyIndex:
        """Keep one of so many equal parts of the keys, numbered anew."""
        if n_parts == 1:
            return self
        kept = self.frame.filter(pl.col("code") % n_parts == number).drop("code")
        return KeyIndex(self.key, _numbered(kept))


def _unpacked(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if isinstance(dtype, pl.Enum):
        names = dtype.categories
        return value.replace_strict(list(range(len(names))), names, return_dtype=dtype)
    return value.cast(dtype)


def index_of(key: Key, frames: Iterable[pl.DataFrame]) -> KeyIndex:
    """Number the keys that occur in the frames; the empty key is one key."""
    if not key:
        return KeyIndex((), pl.DataFrame({"code": [0]}, schema={"code": pl.UInt32}))
    keys = pl.concat([frame.select(key) for frame in frames])
    found = distinct(keys)
    if found is None:
        found = keys.lazy().drop_nulls().unique().collect(engine="streaming").sort(key)
    return KeyIndex(key, _numbered(found))


def _numbered(keys: pl.DataFrame) -> pl.DataFrame:
    return keys.with_row_index("code").with_columns(pl.col("code").cast(pl.UInt32))


def index_pairs(keys: Iterable[Key], frames: Mapping[Window, pl.DataFrame]) -> dict[Key, KeyIndex]:
    """Index the keys of the pairs of all windows, side by side."""
    found: dict[Key, KeyIndex] = dict.fromkeys(keys, KeyIndex((), pl.DataFrame()))

    def index(key: Key) -> None:
        found[key] = index_of(key, frames.values())

    all_done([partial(index, key) for key in found])
    return found
