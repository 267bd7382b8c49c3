"""Compute what a competition declares over its rows: derived columns, relevance, the choice of pairs."""

from __future__ import annotations

import polars as pl

from competitions._competition import Competition, Role
from competitions._intake.author_code import blamed_on, file_of
from engine import DataError

EVERY_ROLE: tuple[Role, ...] = ("key", "observed", "outcome")


def with_derived(c: Competition, rows: pl.DataFrame, roles: tuple[Role, ...] = EVERY_ROLE) -> pl.DataFrame:
    """Add the derived columns of these roles to rows that hold what they read. Raises DataError if one fails."""
    for name, expression in c.derived.items():
        if c.roles[name] in roles:
            with blamed_on(c, f"the derived column {name!r}", "one value a row, from the columns of the log"):
                rows = rows.with_columns(expression.alias(name))
    return rows


def with_relevance(c: Competition, rows: pl.DataFrame) -> pl.DataFrame:
    """Add the Int8 column ``relevance`` to rows that hold ``row`` and the outcomes; null where the expression is null.

    Raises DataError if the expression fails or Int8 cannot hold a value as it is: a fraction, NaN, an infinity,
    anything above 127 or below -128.
    """
    expected = "a Boolean, or whole numbers from -128 to 127"
    with blamed_on(c, "the relevance", expected):
        computed = rows.with_columns(relevance=c.relevance)
    exact = computed["relevance"]
    if not (exact.dtype.is_numeric() or exact.dtype in (pl.Boolean, pl.Null)):
        raise DataError(
            f"The relevance of competition {c.name!r} ({file_of(c)}) is of dtype {exact.dtype}.",
            expected=expected,
            todo="cast it in its relevance expression",
        )
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


def selected_pairs(c: Competition, targets: pl.DataFrame) -> pl.DataFrame:
    """Return the target rows that count as pairs, sorted by ``row``.

    Raises DataError if ``select_pairs`` fails, loses a column or gives a row twice.
    """
    expected = f"a LazyFrame of some of the target rows, with their columns {', '.join(targets.columns)}"
    with blamed_on(c, "select_pairs()", expected):
        chosen = c.select_pairs(targets.lazy()).sort("row").collect(engine="streaming")
        chosen = chosen.select(targets.columns)
    if chosen["row"].is_duplicated().any():
        raise DataError(
            f"select_pairs() of competition {c.name!r} ({file_of(c)}) gives {chosen.height} pairs of "
            f"{chosen['row'].n_unique()} rows.",
            expected="each row once",
            todo="correct the file of the competition",
        )
    return chosen
