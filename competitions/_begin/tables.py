"""What lies in a folder: its tables, and what of their columns can be seen from outside.

Each file is read once. What is asked later is asked of a copy as Parquet, in a temporary folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import polars as pl

from competitions._competition import RESERVED
from competitions._sources import scan_file
from engine import DataError

READABLE = re.compile(
    r"\.(csv|tsv|txt|dat|parquet|pq|jsonl|ndjson|inter|user|item)(\.gz|\.zst|\.zstd)?$", re.IGNORECASE
)
PROSE = re.compile(r"(^|/)[^/]*(readme|licen[cs]e|changelog|citation)[^/]*\.txt$", re.IGNORECASE)  # no tables
MOST_LEVELS = 64  # different texts that make a column one of levels
N_SAMPLE = 200
ASKED = ("null", "unique", "low", "high", "nan", "width", "least", "iso")
ISO = r"^\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?)?Z?$"
LISTED_SEPARATORS = ("|", ",", ";")  # of several levels in one text


@dataclass(frozen=True)
class Seen:
    """What a column looks like.

    Attributes
    ----------
    dtype
        As the file has it.
    n_null, n_unique
        Of its values; ``n_unique`` is 0 for lists and vectors, which are not counted.
    low, high
        The smallest and largest number or instant; None if there is none, or for other dtypes.
    levels
        The different texts, sorted, of a column of texts or of lists of them, if there are at most ``MOST_LEVELS``.
    separator
        What parts several levels in one text (``Action|Comedy``), by the sample; empty if the text is one level.
    width
        Elements of every list of numbers, if all are of one length.
    has_nan
        Whether numbers are NaN or infinite, which a schema refuses.
    share_iso
        Share of the texts that are written like instants, 2024-01-31 23:59:00.
    sample
        The first values that are not null.
    """

    dtype: pl.DataType
    n_null: int
    n_unique: int
    low: object = None
    high: object = None
    levels: tuple[str, ...] = ()
    separator: str = ""
    width: int = 0
    has_nan: bool = False
    share_iso: float = 0.0
    sample: tuple[object, ...] = ()

    @property
    def is_flag(self) -> bool:
        """Whether it is true or false: a Boolean, or whole numbers 0 and 1."""
        return self.dtype == pl.Boolean or (
            self.dtype.is_integer() and (self.low, self.high) == (0, 1) and self.n_null == 0
        )

    @property
    def is_id(self) -> bool:
        """Whether its values can be ids: whole numbers or texts."""
        return (self.dtype.is_integer() and not self.is_flag) or self.dtype == pl.String


@dataclass(frozen=True)
class Table:
    """A file, or several of one form whose names differ in numbers: their rows one after the other.

    Attributes
    ----------
    folder, files
        The data folder, and the paths of the files within it.
    renamed
        What Samewise needs as a name of its own -> what the column is called instead.
    rows
        Their rows, with the columns as they are renamed; see ``tables_in`` for how long.
    """

    folder: Path
    files: tuple[PurePosixPath, ...]
    n_rows: int
    columns: dict[str, Seen]
    renamed: dict[str, str]
    rows: pl.LazyFrame

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"{self.files[0]}" + (f" and {len(self.files) - 1} more" if len(self.files) > 1 else "")

    def scan(self) -> pl.LazyFrame:
        """Scan its rows."""
        return self.rows

    def words(self) -> set[str]:
        """Words in the name of its file, and of the subfolders that it lies in."""
        return {word for part in self.files[0].parts for word in words_of(part.split(".")[0])}

    def is_unique(self, name: str) -> bool:
        """Whether no value of a column repeats or is null."""
        return self.columns[name].n_unique == self.n_rows and not self.columns[name].n_null


def quoted(text: str) -> str:
    """Write a text of the files as a literal of Python: whatever it holds, it stays one."""
    return json.dumps(text, ensure_ascii=False)


def column_of(name: str) -> str:
    """Write the expression that a column of this name is."""
    return f"pl.col({quoted(name)})"


def words_of(name: str) -> set[str]:
    """Words of a name: ``userId``, ``user_id`` and ``userid`` are all "user" and "id".

    >>> sorted(words_of("ItemID")), sorted(words_of("shown_at"))
    (['id', 'item'], ['at', 'shown'])
    """
    spaced = (
        re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z0-9]+", " ", name).lower().split()
    )
    found: set[str] = set()
    for word in spaced:
        stem = word.removesuffix("id")
        found |= {stem, "id"} if stem != word and len(stem) > 2 else {word}
    return found


def tables_in(folder: Path, copies: Path) -> list[Table]:
    """Look at every table of a folder and of its subfolders, by name.

    Texts and JSON lines are read once and copied into the folder ``copies``, which has to stay as long as the tables
    are scanned. Raises DataError if there is no table, if one cannot be read, or if there is no room for the copies.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}.", expected="the folder of the competition's files")
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    names = [PurePosixPath(path.relative_to(folder).as_posix()) for path in found]
    names = [name for name in names if not any(part.startswith(".") for part in name.parts)]
    groups: dict[tuple[str, ...], list[tuple[PurePosixPath, pl.LazyFrame]]] = {}
    for number, name in enumerate(names):
        if READABLE.search(name.name) and not PROSE.search(str(name)):
            rows = _copied(folder / name, copies / f"{number}.parquet")
            form = (re.sub(r"\d+", "", str(name)), *rows.collect_schema().names())
            groups.setdefault(form, []).append((name, rows))
    if not groups:
        raise DataError(
            f"The folder {folder} holds no table: {', '.join(map(str, names[:5])) or 'nothing'}.",
            expected="CSV, TSV, Parquet or JSON lines, as they are or with .gz or .zst at the end",
        )
    return [_table(folder, sorted(files, key=lambda file: in_order(file[0]))) for files in groups.values()]


def in_order(name: PurePosixPath) -> list[str | int]:
    """Order names by the numbers in them: of file 9 and file 10, 9 comes first."""
    return [int(run) if run.isdigit() else run for run in re.split(r"(\d+)", str(name))]


def _copied(path: Path, copy: Path) -> pl.LazyFrame:
    """Scan a file, or its copy if it is not Parquet by itself: it is asked many things."""
    rows = scan_file(path)
    columns = rows.collect_schema().names()
    if not any(re.search(r"[A-Za-z]", name) for name in columns):
        raise DataError(
            f"The first line of {path} has no names of columns: {', '.join(columns[:5])}.",
            expected="a header",
            todo="add a line with the names of the columns",
        )
    if path.suffix.lower() in (".parquet", ".pq"):
        return rows
    with _whole(path):
        try:
            rows.sink_parquet(copy, compression="lz4")
        except OSError as error:
            raise DataError(
                f"{path} cannot be copied to {copy.parent}: {error}",
                expected="room for a copy of each file as Parquet while it is looked at",
                todo="free space, or let the environment variable TMPDIR name a folder that has more",
            ) from error
    return pl.scan_parquet(copy)


@contextmanager
def _whole(*paths: Path) -> Iterator[None]:
    """Refuse files whose later rows do not fit the first ones."""
    try:
        yield
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"{', '.join(map(str, paths[:3]))} cannot be read to the end: {str(error).splitlines()[0]}",
            expected="rows with as many values as there are columns, of one dtype a column",
            todo="mend the file; or read it by hand in read() of the competition",
        ) from error


def _table(folder: Path, files: list[tuple[PurePosixPath, pl.LazyFrame]]) -> Table:
    """Look at files of one form, all rows of them. Raises DataError for rows that do not fit the first ones."""
    with _whole(*(folder / name for name, _ in files)):
        return _looked_at(folder, files)


def _looked_at(folder: Path, files: list[tuple[PurePosixPath, pl.LazyFrame]]) -> Table:
    renamed = {n: f"{n}_" for n in files[0][1].collect_schema() if n in RESERVED}
    rows = pl.concat([part for _, part in files]).rename(renamed)
    schema = rows.collect_schema()
    wanted = [expression for name, dtype in schema.items() for expression in _asked(name, dtype)]
    facts = rows.select(pl.len().alias("n_rows"), *wanted).collect(engine="streaming").row(0, named=True)
    first = rows.head(N_SAMPLE).collect(engine="streaming")
    seen = {}
    for name, dtype in schema.items():
        own = {what: facts.get(f"{name}\x1f{what}") for what in ASKED}
        sample = tuple(first[name].drop_nulls())
        separator = _separator(sample) if dtype == pl.String else ""
        seen[name] = Seen(
            dtype, int(own["null"] or 0), own["unique"] or 0, own["low"], own["high"],
            _levels(rows, name, dtype, own["unique"] or 0, separator), separator,
            own["width"] or 0 if own["width"] == own["least"] else 0, bool(own["nan"]), own["iso"] or 0.0, sample,
        )  # fmt: skip
    return Table(folder, tuple(name for name, _ in files), facts["n_rows"], seen, renamed, rows)


def _asked(name: str, dtype: pl.DataType) -> Iterator[pl.Expr]:
    """Ask what is asked of a column of this dtype in one pass over the rows."""
    column = pl.col(name)
    yield column.null_count().alias(f"{name}\x1fnull")
    if not dtype.is_nested() and dtype != pl.Binary:
        yield column.drop_nulls().n_unique().alias(f"{name}\x1funique")
    if dtype.is_numeric() or dtype.is_temporal():
        yield column.min().alias(f"{name}\x1flow")
        yield column.max().alias(f"{name}\x1fhigh")
    if dtype == pl.String:
        yield column.str.contains(ISO).mean().alias(f"{name}\x1fiso")
    if dtype.is_float():
        yield (~column.is_finite()).any().alias(f"{name}\x1fnan")
    if isinstance(dtype, pl.List):
        yield column.list.len().max().alias(f"{name}\x1fwidth")
        yield column.list.len().min().alias(f"{name}\x1fleast")


def _separator(sample: tuple[object, ...]) -> str:
    """What parts several levels in a text: the separator that a third of the first texts have, without spaces."""
    texts = [str(text) for text in sample]
    for separator in LISTED_SEPARATORS:
        listed = [text for text in texts if separator in text and f"{separator} " not in text]
        if texts and 3 * len(listed) >= len(texts):
            return separator
    return ""


def _levels(
    rows: pl.LazyFrame, name: str, dtype: pl.DataType, n_unique: int, separator: str
) -> tuple[str, ...]:
    column = pl.col(name)
    if dtype == pl.String and separator:
        column = column.str.split(separator).explode(empty_as_null=True)
    elif dtype == pl.List(pl.String):
        column = column.explode(empty_as_null=True)
    elif dtype != pl.String or n_unique > MOST_LEVELS:
        return ()
    found = rows.select(column.drop_nulls().unique().sort().alias("level")).collect(engine="streaming")
    return tuple(found["level"]) if 0 < found.height <= MOST_LEVELS else ()
