"""Read the plain text tables that data sets come in: lines, a separator, no quotes."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from engine import DataError


def split_lines(text: str, separator: str, columns: Sequence[str], *, where: str) -> pl.DataFrame:
    r"""Return a table of String columns, one row a line; an empty field is null, empty lines are left out.

    Parameters
    ----------
    text
        The whole file. The separator may have several characters (ml-1m's ``::``), which CSV readers refuse.
    where
        What messages call the file.

    Raises
    ------
    DataError
        A line has more or fewer fields than there are columns: which, and how many such lines there are.

    >>> split_lines("1::2\n3::\n", "::", ["a", "b"], where="x").rows()
    [('1', '2'), ('3', None)]
    """
    lines = pl.DataFrame({"line": pl.Series(text.replace("\r\n", "\n").split("\n"), dtype=pl.String)})
    lines = lines.with_row_index("number", offset=1).filter(pl.col("line").str.strip_chars() != "")
    fields = lines.with_columns(
        pl.col("line").str.split(separator), n=pl.col("line").str.split(separator).list.len()
    )
    wrong = fields.filter(pl.col("n") != len(columns))
    if not wrong.is_empty():
        raise DataError(
            f"{where}: {wrong.height} of {fields.height} lines have a wrong number of fields, "
            f"the first: line {wrong['number'][0]} with {wrong['n'][0]}.",
            expected=f"{len(columns)} fields, separated by {separator!r}: {', '.join(columns)}",
            todo="look at the file: is it whole, and in the official layout?",
        )
    table = fields.select(pl.col("line").list.get(i).alias(name) for i, name in enumerate(columns))
    return table.with_columns(pl.when(pl.col(c) != "").then(pl.col(c)).alias(c) for c in columns)


def numbers(
    table: pl.DataFrame, column: str, dtype: pl.DataType | type[pl.DataType], *, where: str
) -> pl.Expr:
    """Return the expression that turns a String column into numbers; null stays null.

    For columns that become something else than a number on the way (seconds to a Datetime): what merely has to be
    parsed, the intake parses.

    Raises
    ------
    DataError
        Some text is no number: how many rows, and the first.
    """
    parsed = table[column].cast(dtype, strict=False)
    wrong = table.with_row_index("line", offset=1).filter(table[column].is_not_null() & parsed.is_null())
    if not wrong.is_empty():
        raise DataError(
            f"{where}: {wrong.height} of {table.height} values of {column!r} are no numbers, "
            f"the first: {wrong[column][0]!r} in data row {wrong['line'][0]}.",
            expected=f"values that can be read as {dtype}",
            todo="correct the file",
        )
    return pl.col(column).cast(dtype)
