"""First, the file: whether the file, as text, is the table that the leaderboard takes.

Everything is read as text first and cast afterwards, so nothing is coerced without a word.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from submissions._gate.verdict import Finding

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe", " ": "space", ":": "colon"}
_BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "UTF-8", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


def read_bytes(path: Path) -> bytes | Finding:
    """Read the whole file, or say why it cannot be read."""
    if path.is_dir():
        return Finding("unreadable file", f"{path} is a folder.", todo="name the file in it")
    if not path.exists():
        return Finding("unreadable file", f"there is no file {path}.", todo="check the path")
    try:
        return path.read_bytes()
    except OSError as error:
        return Finding("unreadable file", f"{path} cannot be read: {error.strerror or error}.")


def read_text_table(data: bytes, columns: Sequence[str], separator: str) -> pl.DataFrame | list[Finding]:
    """Parse the bytes of a file strictly into a table of text.

    Parameters
    ----------
    data
        Content of the file: UTF-8 without byte order mark, LF line ends, one header line.
    columns, separator
        What the header must be.

    Returns
    -------
    polars.DataFrame or list of Finding
        String columns named ``columns``, in the file's order (null = empty field), or what is wrong.
    """
    if not data.strip():
        return [Finding("empty file", f"the file holds {len(data)} bytes and no row.")]
    findings = _encoding_findings(data) or _header_findings(data, columns, separator)
    if findings:
        return findings
    try:
        table = pl.read_csv(io.BytesIO(data), separator=separator, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        return [_ragged(data, separator, len(columns)) or _unparsable(error)]
    if table.is_empty():
        return [Finding("empty file", "the file holds a header and no row.")]
    ragged = _ragged(data, separator, len(columns)) if _has_odd_lines(data, table, separator) else None
    return [ragged] if ragged else table


def _encoding_findings(data: bytes) -> list[Finding]:
    for mark, name in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            found = f"the file starts with a {name} byte order mark, which becomes part of the first column's name."
            return [Finding("byte order mark", found, repr(data[:12]), "save the file as UTF-8 without BOM")]
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"byte {error.start} (line {line}) is not UTF-8."
        return [Finding("unreadable file", found, todo="save the file as UTF-8 text, not compressed")]
    if b"\r" in data:
        line, n_returns = data.count(b"\n", 0, data.index(b"\r")) + 1, data.count(b"\r")
        found = f"{n_returns:,} carriage returns (CRLF, the line ends of Windows) are in the file."
        example = f"line {line}: {data.splitlines(keepends=True)[line - 1][:80]!r}"
        return [Finding("line ends", found, example, "save the file with LF line ends")]
    return []


def _header_findings(data: bytes, columns: Sequence[str], separator: str) -> list[Finding]:
    """Compare the header line with the declared columns; tell a wrong separator from wrong columns."""
    header = data.split(b"\n", 1)[0].decode("utf-8")
    names, wanted = _fields(header, separator), list(columns)
    if names == wanted:
        return []
    for other, word in SEPARATORS.items():
        if other != separator and _fields(header, other) == wanted and len(wanted) > 1:
            declared = SEPARATORS.get(separator, repr(separator))
            found = f"fields are separated by a {word}, not by a {declared}."
            return [Finding("wrong separator", found, f"line 1: {header!r}", f"write it with {separator!r}")]
    return [Finding("wrong columns", _column_words(names, wanted), f"line 1: {header[:120]!r}")]


def _column_words(names: list[str], wanted: list[str]) -> str:
    expected = f"expected {', '.join(wanted)}"
    if sorted(names) == sorted(wanted):
        return f"the columns are in the wrong order: {', '.join(names)}; {expected}."
    if all(_is_number(name) for name in names):
        return f"the header line is missing: line 1 holds numbers; {expected}."
    missing = [c for c in wanted if c not in names]
    extra = [c for c in names if c not in wanted]
    repeated = sorted({c for c in names if names.count(c) > 1})
    parts = [
        f"{word} {', '.join(map(repr, those))}"
        for word, those in (("missing", missing), ("not known", extra), ("repeated", repeated))
        if those
    ]
    return f"{'; '.join(parts)}; {expected}."


def _fields(line: str, separator: str) -> list[str]:
    return next(csv.reader([line], delimiter=separator), [])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _has_odd_lines(data: bytes, table: pl.DataFrame, separator: str) -> bool:
    """Tell whether some line is blank or has too few fields; Polars pads and skips those without a word."""
    n_lines = data.count(b"\n") + (not data.endswith(b"\n"))
    n_separators = data.count(separator.encode())
    return n_lines != table.height + 1 or n_separators != n_lines * (table.width - 1)


def _ragged(data: bytes, separator: str, n_columns: int) -> Finding | None:
    """Find the first line whose number of fields is not that of the header."""
    reader = csv.reader(io.StringIO(data.decode("utf-8"), newline=""), delimiter=separator)
    try:
        for fields in reader:
            if len(fields) != n_columns:
                line = f"line {reader.line_num}"
                found = f"{line} has {len(fields)} fields, the header has {n_columns}."
                return Finding("uneven rows", found, f"{line}: {separator.join(fields)[:120]!r}")
    except csv.Error as error:
        return Finding("uneven rows", f"line {reader.line_num} cannot be read: {error}.")
    return None


def _unparsable(error: Exception) -> Finding:
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return Finding("unreadable file", f"the table cannot be parsed: {first}.")
