"""The gate's second part, keys: exactly the given pairs, each as often as given, in order where that matters."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from submissions._gate.verdict import Finding


def key_findings(
    table: pl.DataFrame, expected: pl.DataFrame, keys: Sequence[str], *, ordered: bool
) -> list[Finding]:
    """Compare the keys of a submission with those of the given pairs.

    Parameters
    ----------
    table
        The submission; its columns ``keys`` have the dtypes of ``expected``. A null key is a finding of its own.
    expected
        The given pairs in file order. A key that is given twice is expected twice.
    ordered
        Whether the rows must come in the order of ``expected``.
    """
    names = list(keys)
    if not names:
        return _row_count(table.height, expected.height)
    has_null = pl.any_horizontal(pl.col(names).is_null())
    found = _null_keys(table.with_row_index("_row").filter(has_null), names)
    counts = _counts(table.filter(~has_null), expected, names)
    found += _missing(
        counts.filter(pl.col("n_found").fill_null(0) < pl.col("n_given")), names, expected.height
    )
    found += _extra(counts.filter(pl.col("n_given").is_null()), names)
    found += _duplicate(counts.filter(pl.col("n_found") > pl.col("n_given")), names)
    if ordered and not found:
        found += _order(table, expected, names)
    return found


def _row_count(n_found: int, n_given: int) -> list[Finding]:
    """Check a format without keys, whose rows are told apart by position."""
    if n_found == n_given:
        return []
    rule = "missing rows" if n_found < n_given else "extra rows"
    return [Finding(rule, f"the file has {n_found:,} rows, {n_given:,} pairs were given.")]


def _counts(table: pl.DataFrame, expected: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """How often each key is given and found, and the row of its first and last occurrence in the file."""
    given = (
        expected.lazy()
        .with_row_index("_given")
        .group_by(keys)
        .agg(n_given=pl.len(), given_row=pl.col("_given").min())
    )
    found = (
        table.lazy()
        .with_row_index("_found")
        .group_by(keys)
        .agg(n_found=pl.len(), found_row=pl.col("_found").max())
    )
    both = given.join(found, on=keys, how="full", coalesce=True, validate="1:1")
    return both.sort("given_row", "found_row").collect(engine="streaming")


def _null_keys(rows: pl.DataFrame, keys: list[str]) -> list[Finding]:
    if rows.is_empty():
        return []
    found = f"{rows.height:,} rows have an empty key."
    return [Finding("null keys", found, f"line {rows['_row'][0] + 2}: {_words(rows, keys)}")]


def _missing(rows: pl.DataFrame, keys: list[str], n_given: int) -> list[Finding]:
    if rows.is_empty():
        return []
    n = int((rows["n_given"] - rows["n_found"].fill_null(0)).sum())
    found = f"{n:,} of the {n_given:,} given pairs have no row."
    return [Finding("missing keys", found, _words(rows, keys), "score every given pair")]


def _extra(rows: pl.DataFrame, keys: list[str]) -> list[Finding]:
    if rows.is_empty():
        return []
    found = f"{int(rows['n_found'].sum()):,} rows are for pairs that were not given."
    return [
        Finding("extra keys", found, f"line {rows['found_row'][0] + 2}: {_words(rows, keys)}", "drop them")
    ]


def _duplicate(rows: pl.DataFrame, keys: list[str]) -> list[Finding]:
    if rows.is_empty():
        return []
    found = f"{rows.height:,} pairs have more rows than they were given."
    example = f"line {rows['found_row'][0] + 2}: {_words(rows, keys)} comes {rows['n_found'][0]} times"
    return [Finding("duplicate keys", found, example, "keep one row a pair")]


def _order(table: pl.DataFrame, expected: pl.DataFrame, keys: list[str]) -> list[Finding]:
    given = expected.select(pl.col(key).alias(f"given:{key}") for key in keys)
    differs = pl.any_horizontal(pl.col(key) != pl.col(f"given:{key}") for key in keys)
    rows = pl.concat([table, given], how="horizontal").select(differs.arg_true().alias("row"))["row"]
    if rows.is_empty():
        return []
    first = int(rows[0])
    found = f"{len(rows):,} rows are not where the given pairs have them, and this format needs that order."
    here, there = _words(table[first : first + 1], keys), _words(expected[first : first + 1], keys)
    return [Finding("wrong order", found, f"line {first + 2}: {here}, expected {there}")]


def _words(rows: pl.DataFrame, keys: Sequence[str]) -> str:
    """Name the first row by its keys: ``user_id=3, item_id=17``."""
    return ", ".join(f"{key}={'(empty)' if rows[key][0] is None else rows[key][0]}" for key in keys)
