"""From raw interactions to rows of the log: sampled, clocked, with derived columns and relevance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from hashlib import blake2b
from math import ceil

import polars as pl

from competitions._competition import Clock, Competition, Role
from competitions._intake.author_code import blamed_on, file_of
from competitions._intake.tables import TableRules
from engine import DataError

GOLDEN = 0x9E3779B97F4A7C15  # the step of splitmix64
FIRST_MIX = 0xBF58476D1CE4E5B9
SECOND_MIX = 0x94D049BB133111EB


def interaction_rules(c: Competition, file: str = "") -> TableRules:
    """Rules of the interactions; user, item and the clock's column are never null. ``file``: where they lie."""
    never_null = dict.fromkeys((c.user, c.item, *([c.clock.column] if c.clock.column else [])))
    return TableRules("interactions", c.name, c.interactions, tuple(never_null), file=file)


def no_rows(c: Competition, sample_users: float) -> DataError:
    """Return the error of an empty log, or of a sample of its users that is empty."""
    if sample_users < 1:
        return DataError(
            f"No user of the log of competition {c.name!r} is in the sample of {sample_users:g} of them.",
            expected="at least one",
            todo="take a larger share: sample.users",
        )
    return DataError(
        f"Table 'interactions' of competition {c.name!r} has no rows.",
        expected="a log with at least some interactions",
        todo="look at its file and at read() of the competition",
    )


def in_share(ids: pl.Expr, dtype: pl.DataType, share: float, *, salt: int = 0) -> pl.Expr:
    """Return the Boolean expression that holds for a share of the ids, and for null; ``dtype`` is that of the ids.

    An id is in the share if its hash, evenly spread over [0, 2^64), lies below ``share * 2^64``: so a smaller share
    is a part of a larger one of the same salt, and shares of different salts are independent. Integers are hashed
    with splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014), texts with
    blake2b first: the same ids on every machine and with every version of Polars.

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


def with_clock(log: pl.LazyFrame, clock: Clock, user: str) -> pl.LazyFrame:
    """Add the Int64 column ``clock`` to a log that holds ``row`` (unique row numbers).

    The value of a row depends on the row numbers, never on the physical order of the rows. Within a user it never
    falls when going through the rows in the order of (``clock.column``, ``row``).

    Parameters
    ----------
    log
        Interactions with ``row``, the column ``user`` and, if it is named, ``clock.column`` without nulls.
    clock
        ``time``: microseconds since 1970-01-01 (UTC). ``row``: the row number. ``per_user``: ``steps * i // n`` for
        the user's i-th of n rows, counted from 0: ``steps`` equal steps, the first is 0, the last ``steps - 1``.

    >>> log = pl.LazyFrame({"row": [0, 1, 2, 3], "user_id": [7, 7, 8, 7]})
    >>> with_clock(log, Clock("per_user", steps=3), "user_id").collect()["clock"].to_list()
    [0, 1, 0, 2]
    """
    return log.with_columns(clock=_value(clock, user))


def _value(clock: Clock, user: str) -> pl.Expr:
    """Expression of the clock over the columns that ``with_clock`` names."""
    if clock.kind == "time" and clock.column is not None:
        return pl.col(clock.column).dt.epoch("us").cast(pl.Int64)
    if clock.kind == "row":
        return pl.col("row").cast(pl.Int64)
    if clock.kind != "per_user":
        raise DataError(f"There is no clock of kind {clock.kind!r}.", expected="time, row or per_user")
    order = ["row"] if clock.column is None else [clock.column, "row"]
    # Only the rank is ordered here; `over` hands it back to the row it belongs to, wherever that row lies.
    i = pl.int_range(pl.len(), dtype=pl.Int64).over(user, order_by=order)
    n = pl.len().over(user).cast(pl.Int64)
    return clock.steps * i // n


def literals(c: Competition, numbers: Sequence[float]) -> list[pl.Expr]:
    """Return the thresholds as columns of one value, for derived columns and the relevance to read."""
    return [
        pl.lit(number, pl.Int64 if isinstance(number, int) else pl.Float64).alias(name)
        for name, number in zip(c.thresholds, numbers, strict=True)
    ]


def threshold_values(c: Competition, histories: Callable[[], Iterable[pl.DataFrame]]) -> tuple[float, ...]:
    """Return the number of each threshold, over checked interactions before the test window that come in parts.

    The values of the rows are counted part by part, so that a part and the different values are in memory; how the rows
    are cut into parts changes nothing. Raises DataError if no row has a value.
    """
    return tuple(_quantile(c, name, histories()) for name in c.thresholds)


def _quantile(c: Competition, name: str, histories: Iterable[pl.DataFrame]) -> float:
    counts, value = pl.DataFrame({"n": []}, schema={"n": pl.Int64}), c.thresholds[name].of.alias("value")
    for rows in histories:
        with blamed_on(c, f"the threshold {name!r}", "a number a row, from the columns of the interactions"):
            values = rows.select(value).to_series()
            exact = values.cast(pl.Int64 if values.dtype.is_integer() else pl.Float64)
        new = exact.filter(exact.is_finite()).value_counts(name="n").with_columns(pl.col("n").cast(pl.Int64))
        both = pl.concat([counts, new], how="diagonal")
        counts = both.group_by("value").agg(pl.col("n").sum())
    if counts.is_empty():
        raise DataError(
            f"The threshold {name!r} of competition {c.name!r} has no value: no row before the test window has one.",
            expected="rows of the log with a finite number",
            todo="correct the threshold in the file of the competition, or look at the log",
        )
    ordered = counts.sort("value")
    share = Fraction(str(c.thresholds[name].quantile))  # 0.9 is nine tenths
    least = max(1, ceil(share * int(ordered["n"].sum())))
    found: float = ordered["value"][int(ordered["n"].cum_sum().search_sorted(least, side="left"))]
    return found


def log_rows(c: Competition, numbered: pl.DataFrame) -> pl.DataFrame:
    """Return the columns of the log from checked interactions with ``row`` and thresholds; the order of the rows stays.

    Raises DataError if a derived column or the relevance fails, or the relevance of a row is null.
    """
    clocked = with_clock(numbered.lazy(), c.clock, c.user).collect(engine="streaming")
    computed = with_relevance(c, with_derived(c, clocked, ("key", "observed", "outcome")))
    log = computed.select("row", "clock", *c.log_columns, "relevance")
    if n_unknown := log["relevance"].null_count():
        raise DataError(
            f"The relevance of competition {c.name!r} is null in {n_unknown} of {log.height} rows.",
            expected="a whole number for every row of the log",
            todo="say in its relevance expression what a missing outcome means, e.g. with fill_null(0)",
        )
    return log


def with_derived(c: Competition, rows: pl.DataFrame, roles: tuple[Role, ...]) -> pl.DataFrame:
    """Add the derived columns of these roles to rows that hold what they read. Raises DataError if one fails."""
    for name, expression in c.derived.items():
        if c.roles[name] in roles:
            with blamed_on(c, f"the derived column {name!r}", "one value a row, from the columns of the log"):
                rows = rows.with_columns(expression.alias(name))
    return rows.with_columns(
        pl.col(own).alias(alias)
        for alias, own in c.aliases.items()
        if own in c.log_columns and c.roles[own] in roles
    )


def with_relevance(c: Competition, rows: pl.DataFrame) -> pl.DataFrame:
    """Add the Int8 column ``relevance`` to rows that hold ``row`` and the outcomes; null where the expression is null.

    Raises DataError if the expression fails or Int8 cannot hold a value as it is: a fraction, NaN, an infinity,
    anything above 127 or below -128.
    """
    expected = "a Boolean, or whole numbers from -128 to 127"
    with blamed_on(c, "the relevance", expected):
        computed = rows.with_columns(relevance=c.relevance)
    exact = computed["relevance"]
    stored = exact.cast(pl.Int8, strict=False)
    is_lost = exact.is_not_null() & (stored.is_null() | (stored.cast(pl.Float64) != exact.cast(pl.Float64)))
    if is_lost.any():
        first = computed.filter(is_lost).row(0, named=True)
        raise DataError(
            f"The relevance of competition {c.name!r} ({file_of(c)}) is no whole number from -128 to 127 in "
            f"{is_lost.sum()} of {rows.height} rows, the first: row {first['row']} with {first['relevance']}.",
            expected=expected,
            todo="scale and round it in its relevance expression: only the order of the values matters",
        )
    return computed.with_columns(stored)
