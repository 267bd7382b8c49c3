"""Keep a share of the users for a quick look: the same ones on every machine and with every version of Polars."""

from __future__ import annotations

from hashlib import blake2b

import polars as pl

from engine import DataError

GOLDEN = 0x9E3779B97F4A7C15  # the step of splitmix64
FIRST_MIX = 0xBF58476D1CE4E5B9
SECOND_MIX = 0x94D049BB133111EB


def in_share(ids: pl.Expr, dtype: pl.DataType, share: float, *, salt: int = 0) -> pl.Expr:
    """Return the Boolean expression that holds for a share of the ids, and for null; ``dtype`` is that of the ids.

    An id is in the share if its hash, evenly spread over [0, 2^64), lies below ``share * 2^64``: so a smaller share
    is a part of a larger one of the same salt, and shares of different salts are independent. Integers are hashed
    with splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014), texts with
    blake2b first.

    Raises DataError for ids that are neither integers nor text.
    """
    if share >= 1:
        return pl.lit(True)
    limit = pl.lit(int(share * 2**64), dtype=pl.UInt64)
    return (_mixed(_as_bits(ids, dtype) + _bits(GOLDEN * (salt + 1) % 2**64)) < limit).fill_null(True)


def _as_bits(ids: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Return the ids as UInt64, different ids different; negative ones by their two's complement."""
    if dtype.is_unsigned_integer():
        return ids.cast(pl.UInt64)
    if dtype.is_integer():
        return ids.cast(pl.Int64).reinterpret(signed=False)
    if dtype == pl.String or isinstance(dtype, pl.Enum | pl.Categorical):
        return ids.cast(pl.String).map_batches(_text_bits, return_dtype=pl.UInt64, is_elementwise=True)
    raise DataError(
        f"Users with ids of dtype {dtype} cannot be sampled.", expected="whole numbers or text as ids"
    )


def _text_bits(ids: pl.Series) -> pl.Series:
    known = ids.drop_nulls().unique()
    bits = [int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") for text in known]
    return ids.replace_strict(known, pl.Series(bits, dtype=pl.UInt64), default=None, return_dtype=pl.UInt64)


def _mixed(z: pl.Expr) -> pl.Expr:
    # Polars has no shift: dividing an unsigned number by a power of two is one. Products wrap around, as they must.
    z = (z ^ (z // _bits(1 << 30))) * _bits(FIRST_MIX)
    z = (z ^ (z // _bits(1 << 27))) * _bits(SECOND_MIX)
    return z ^ (z // _bits(1 << 31))


def _bits(number: int) -> pl.Expr:
    return pl.lit(number, dtype=pl.UInt64)
