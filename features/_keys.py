"""The keys of the pairs, numbered: what aggregates are narrowed to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from io import BytesIO

import numpy as np
import polars as pl

from features._lookup import Codes, Lookup, Rows, distinct, make_lookup
from features._registry import Key
from features._threads import all_done
from validation import Window

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
