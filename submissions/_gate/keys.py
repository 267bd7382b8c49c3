"""Second, the keys: exactly the given pairs, each as often as given, in order where that matters."""

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
    counts = key_counts(table.filter(~has_null), expected, names)
    n_found, n_given = pl.col("n_found"), pl.col("n_given")
    checks = (
        (_null_keys, table.with_row_index("found_row").filter(has_null)),
        (_missing, counts.filter(n_found.fill_null(0) < n_given)),
        (_extra, counts.filter(n_given.is_null())),
        (_duplicate, counts.filter(n_found > n_given)),
    )
    found = [
        check(rows, expected.height, _words(rows, names)) for check, rows in checks if not rows.is_empty()
    ]
    return found or (_order(table, expected, names) if ordered else [])


def _row_count(n_found: int, n_given: int) -> list[Finding]:
    """Check a format without keys, whose rows are told apart by position."""
    if n_found == n_given:
        return []
    rule = "missing rows" if n_found < n_given else "extra rows"
    return [Finding(rule, f"the file has {n_found:,} rows, {n_given:,} pairs were given.")]


def key_counts(table: pl.DataFrame, expected: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """How often each key is given (``n_given``) and found (``n_found``), null for not at all.

    ``given_row`` is its first row in the given pairs, ``found_row`` its last in the file.
    """
    tables = ((expected, "given", pl.Expr.min), (table, "found", pl.Expr.max))
    given, found = (
        rows.lazy()
        .with_row_index("_row")
        .group_by(keys)
        .agg(pl.len().alias(f"n_{name}"), edge(pl.col("_row")).alias(f"{name}_row"))
        for rows, name, edge in tables
    )
    both = given.join(found, on=keys, how="full", coalesce=True, validate="1:1")
    return both.sort("given_row", "found_row").collect(engine="streaming")


def _null_keys(rows: pl.DataFrame, _: int, first: str) -> Finding:
    return Finding("null keys", f"{rows.height:,} rows have an empty key.", f"{_line(rows)}: {first}")


def _missing(rows: pl.DataFrame, n_given: int, first: str) -> Finding:
    n = int((rows["n_given"] - rows["n_found"].fill_null(0)).sum())
    found = f"{n:,} of the {n_given:,} given pairs have no row."
    return Finding("missing keys", found, first, "score every given pair")


def _extra(rows: pl.DataFrame, _: int, first: str) -> Finding:
    found = f"{int(rows['n_found'].sum()):,} rows are for pairs that were not given."
    return Finding("extra keys", found, f"{_line(rows)}: {first}", "drop them")


def _duplicate(rows: pl.DataFrame, _: int, first: str) -> Finding:
    found = f"{rows.height:,} pairs have more rows than they were given."
    example = f"{_line(rows)}: {first} comes {rows['n_found'][0]} times"
    return Finding("duplicate keys", found, example, "keep one row a pair")


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


def _line(rows: pl.DataFrame) -> str:
    """Where the first row stands in the file, whose line 1 is the header."""
    return f"line {rows['found_row'][0] + 2}"


def _words(rows: pl.DataFrame, keys: Sequence[str]) -> str:
    """Name the first row by its keys: ``user_id=3, item_id=17``."""
    return ", ".join(f"{key}={'(empty)' if rows[key][0] is None else rows[key][0]}" for key in keys)
